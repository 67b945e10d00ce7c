"""Nothing in this room can compile, instantiate or run anything: that is tried, and it is read in the room's files."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import detectors
from detectors.report import inspect
from detectors.rules import PluginKind
from fixtures.diagnostics import SLUGS, near_miss, raises
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from tests.detectors.conftest import Build

GENERIC = ("start_stream", "stop_stream")
ROOM = Path(detectors.__file__).parent
ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(ROOM.rglob("*.py"))
PLUGINS = [
    *sorted((ROOT / "compat/demo/plugins").glob("*.wasm")),
    *sorted((ROOT / "fixtures").glob("*/*/plugin.wasm")),
]


@pytest.mark.parametrize("body", ["unreachable", "(loop br 0)", "call $start"], ids=["trap", "endless", "recursion"])
def test_a_start_section_is_never_run(build: Build, body: str) -> None:
    found = inspect(build(GENERIC, extra=f"(func $start {body}) (start $start)"))
    assert [item.slug for item in found.diagnostics] == ["start-section"]
    assert (found.kind, found.runnable) == (PluginKind.GENERIC, True)


def test_unsatisfiable_imports_and_a_huge_memory_are_only_read(build: Build) -> None:
    found = inspect(build(GENERIC, [("nowhere", "nothing")], "(memory 65536)"))
    assert [item.slug for item in found.diagnostics] == ["unknown-host-function", "huge-memory"]


# Nothing in this room can instantiate anything: that is read in its files, and then tried.

# What a file could reach a name by without writing it.
INDIRECT = {"__import__", "eval", "exec", "getattr", "globals", "vars", "ctypes", "importlib", "runpy", "subprocess"}


def _wrong_uses(source: str) -> list[str]:
    """Whatever a file does with wasmtime, or may do, beyond making an engine and having a module validated."""
    tree = ast.parse(source)
    wrong: list[str] = []
    allowed: set[ast.AST] = set()  # those names for wasmtime, and for its Module, that are used in an allowed way
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        if isinstance(node.value, ast.Name) and node.attr in {"Config", "Engine", "Module", "WasmtimeError"}:
            allowed.add(node.value)
        if isinstance(node.value, ast.Attribute) and node.attr == "validate":
            allowed.add(node.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported = [(alias.name, alias.asname) for alias in node.names]
            wrong += [name for name, new in imported if name.startswith("wasmtime.") or (name == "wasmtime" and new)]
            wrong += [name for name, _ in imported if name.partition(".")[0] in INDIRECT]
        elif isinstance(node, ast.ImportFrom):
            above = (node.module or "").partition(".")[0]
            wrong += [f"from {node.module}"] if above in {"wasmtime", *INDIRECT} else []
        elif isinstance(node, ast.Name):
            wrong += [node.id] if node.id in INDIRECT or (node.id == "wasmtime" and node not in allowed) else []
        elif isinstance(node, ast.Attribute):
            is_module = isinstance(node.value, ast.Name) and node.value.id == "wasmtime" and node.attr == "Module"
            wrong += ["wasmtime.Module"] if is_module and node not in allowed else []
            wrong += [f".{node.attr}"] if node.attr in {"wasmtime", "__globals__", *INDIRECT} else []
    return wrong


def _imported(source: str) -> set[str]:
    """The packages that a file imports from."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


def test_no_file_of_the_room_can_run_a_module_or_knows_the_floors_above() -> None:
    offences = {}
    for file in FILES:
        text = file.read_text()
        words = [word for word in ("Instance(", "Linker", "Store") if word in text]
        above = sorted(_imported(text) & {"extism", "extism_sys", "asyncio", "adapters", "compat"})
        if found := [*_wrong_uses(text), *words, *above]:
            offences[str(file.relative_to(ROOM))] = found
    assert offences == {}


OTHER_USES = (
    "import wasmtime as w",
    "import wasmtime.loader",
    "from wasmtime import Module",
    "from wasmtime import Store as Engine",
    "import wasmtime\nwasmtime.Store()",
    "import wasmtime\nwasmtime.Linker(wasmtime.Engine())",
    "import wasmtime\nwasmtime.Module(wasmtime.Engine(), b'')",
    "import wasmtime\nwasmtime.Module.deserialize(wasmtime.Engine(), b'')",
    "import wasmtime\nkind = wasmtime.Module",
    "import wasmtime\nw = wasmtime",
    "import wasmtime\ngetattr(wasmtime, 'St' + 'ore')",
    "import importlib",
    "from importlib import import_module",
    "import ctypes.util",
    "__import__('extism')",
    "import sys\nsys.modules['x'].wasmtime",
    "def f():\n    import wasmtime\n    return [wasmtime.Instance]",
)


def test_any_other_use_of_wasmtime_would_be_seen() -> None:
    assert [source for source in OTHER_USES if not _wrong_uses(source)] == []
    assert _wrong_uses("import wasmtime\nwasmtime.Module.validate(wasmtime.Engine(wasmtime.Config()), b'')") == []
    assert _imported("import a.b, c\ndef f():\n    from d.e import f") == {"a", "c", "d"}


def test_the_rooms_files_are_found_and_one_of_them_validates() -> None:
    assert {"sections.py", "module.py", "catalogue.py", "checks/imports.py", "checks/instantiation.py"} <= {
        str(file.relative_to(ROOM)) for file in FILES
    }
    assert [str(file.relative_to(ROOM)) for file in FILES if "import wasmtime" in file.read_text()] == ["module.py"]


# Every way to compile or instantiate raises, and so does the import of the runtime for plugins.
TRAPPED = """
import json, sys
import wasmtime

def forbidden(*_, **__):
    raise AssertionError("something was compiled or instantiated")

kinds = (wasmtime.Store, wasmtime.Linker, wasmtime.Instance, wasmtime.Module)
for kind in kinds:
    kind.__init__ = forbidden
for name in ("deserialize", "deserialize_file", "from_file"):
    setattr(wasmtime.Module, name, forbidden)
for name in ("extism", "extism_sys"):
    sys.modules[name] = None

raised = 0
for attempt in (
    wasmtime.Store,
    lambda: wasmtime.Linker(wasmtime.Engine()),
    lambda: wasmtime.Instance(None, None, ()),
    lambda: wasmtime.Module(wasmtime.Engine(), b"\\0asm\\1\\0\\0\\0"),
    lambda: __import__("extism"),
):
    try:
        attempt()
    except (AssertionError, ImportError):
        raised += 1
assert raised == 5, raised

from detectors import inspect
from fixtures.diagnostics import SLUGS, near_miss, raises

print(json.dumps(
    [inspect(make(slug)).to_dict() for slug in SLUGS for make in (raises, near_miss)]
    + [inspect(path).to_dict() for path in sys.argv[1:]]
))
"""


def test_nothing_is_instantiated_or_compiled_in_the_course_of_an_inspection() -> None:
    paths = [str(file) for file in PLUGINS]
    done = subprocess.run(
        [sys.executable, "-c", TRAPPED, *paths], cwd=ROOT, capture_output=True, text=True, check=False, timeout=HANG
    )
    assert (done.returncode, done.stderr) == (0, "")
    expected = [inspect(make(slug)).to_dict() for slug in SLUGS for make in (raises, near_miss)]
    expected += [inspect(path).to_dict() for path in paths]
    assert json.loads(done.stdout) == expected
    assert len(expected) == 2 * len(SLUGS) + len(PLUGINS) > 70
