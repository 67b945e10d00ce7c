from __future__ import annotations

import ast
import copy
import errno
import hashlib
import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import detectors
from detectors.batch import inspect_many
from detectors.bounds import InspectionBounds
from detectors.errors import PluginError
from detectors.formats import HEADER
from detectors.report import DetectionError, ModuleReport, inspect
from detectors.rules import PluginKind
from fixtures.diagnostics import SLUGS, near_miss, raises
from tests.detectors.encoding import leb, section
from tests.support.timing import measured

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


def _is_a_report_of(found: ModuleReport, data: bytes) -> bool:
    """Whether it is a report, whole and serialisable, of exactly these bytes."""
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.size == len(data)
    assert (found.kind != PluginKind.UNKNOWN) == bool(found.offers)
    assert found.runnable or found.errors
    assert found.reason
    return bool(json.loads(json.dumps(found.to_dict()))["sha256"] and msgspec.json.encode(found))


def test_a_good_plugin(build: Build) -> None:
    data = build(
        extra="""(import "env" "ws_send" (func (param i64) (result i64)))
        (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
        (func (export "start_stream") (export "stop_stream") (export "meta") (result i32) i32.const 0)"""
    )
    found = inspect(data)
    assert (found.path, found.kind, found.dialect) == (None, PluginKind.GENERIC, None)
    assert found.runnable
    assert found.wasi
    assert found.errors == ()
    assert [item.slug for item in found.diagnostics] == ["needs-wasi"]
    assert [item.name for item in found.host_imports] == ["ws_send"]
    assert found.has_export("meta")
    assert not found.has_export("init")
    found.raise_for_errors()


@pytest.mark.parametrize(
    ("written", "is_callable"),
    [
        ('(func (export "meta") (result i32) i32.const 0)', True),
        ('(func (export "meta"))', False),
        ('(func (export "meta") (param i32) (result i32) i32.const 0)', False),
        ('(func (export "meta") (result i64) i64.const 0)', False),
        ('(global (export "meta") i32 (i32.const 0))', False),
        ('(memory (export "meta") 1)', False),
        ('(table (export "meta") 1 funcref)', False),
    ],
)
def test_an_export_is_one_that_the_host_can_call(build: Build, written: str, *, is_callable: bool) -> None:
    assert inspect(build(GENERIC, extra=written)).has_export("meta") is is_callable


def test_what_an_offer_needs_and_cannot_be_called_is_told(build: Build) -> None:
    data = build(["start_stream"], extra='(func (export "stop_stream") (param i32))')
    (offer,) = inspect(data).to_dict()["offers"]
    assert offer == {"kind": "generic", "dialect": None, "missing": [], "uncallable": ["stop_stream"]}


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_bytes_in_any_form_give_the_same_report(build: Build, form: type) -> None:
    data = build(GENERIC)
    assert inspect(form(data)) == inspect(data)


def test_a_path_in_any_form_gives_the_report_of_its_bytes(build: Build, tmp_path: Path) -> None:
    file = tmp_path / "woox.wasm"
    file.write_bytes(build(GENERIC))
    assert inspect(file) == inspect(str(file))
    assert inspect(file).path == str(file)
    assert {**inspect(file).to_dict(), "path": None} == inspect(build(GENERIC)).to_dict()


@pytest.mark.parametrize("name", ["missing.wasm", "", "a\0b"], ids=["missing", "folder", "null character"])
def test_a_path_that_cannot_be_read_raises_an_os_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match=r"No such file|Is a directory|null character"):
        inspect(os.path.join(tmp_path, name))  # noqa: PTH118 - pathlib would drop the empty name


@pytest.mark.parametrize("name", ["\ud800.wasm", "folder/\udfff", "a\ud800\udc00.wasm"], ids=ascii)
@pytest.mark.parametrize("form", [str, Path])
def test_a_path_with_half_a_character_raises_an_os_error_that_can_be_printed(name: str, form: type) -> None:
    with pytest.raises(OSError, match="half a character") as caught:
        inspect(form(name))
    assert (caught.value.errno, str(caught.value).isascii()) == (errno.EINVAL, True)
    (outcome,) = inspect_many([form(name)])
    assert isinstance(outcome, OSError)


def test_what_is_neither_bytes_nor_a_path_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        inspect(0)  # type: ignore[arg-type]  # a file descriptor, to open()


def test_a_file_name_that_is_no_text_is_escaped(build: Build, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"woo\xff.wasm")
    file.write_bytes(build(GENERIC))
    found = inspect(file)
    assert found.path == str(tmp_path / "woo\\udcff.wasm")
    assert _is_a_report_of(found, build(GENERIC))


HUNDRED = InspectionBounds(max_size=100)


def test_a_file_beyond_the_bound_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "large.wasm"
    file.write_bytes(HEADER + bytes(1000))
    found = inspect(file, bounds=HUNDRED)
    assert (found.size, found.sha256, found.diagnostics[0].slug) == (1008, "", "too-large")


def test_of_a_device_without_an_end_one_byte_more_than_the_bound_is_read() -> None:
    found = inspect("/dev/zero", bounds=HUNDRED)
    assert (found.size, found.sha256, found.runnable) == (101, "", False)
    assert [item.slug for item in found.diagnostics] == ["too-large"]


def test_a_file_up_to_the_bound_is_read_whole(tmp_path: Path) -> None:
    whole = HEADER + section(0, leb(1) + b"x" + bytes(88))
    assert len(whole) == 100
    file = tmp_path / "largest.wasm"
    file.write_bytes(whole)
    found = inspect(file, bounds=HUNDRED)
    assert _is_a_report_of(found, whole)
    assert [item.slug for item in found.diagnostics] == ["no-interface"]
    file.write_bytes(whole + b"\0")
    assert [item.slug for item in inspect(file, bounds=HUNDRED).diagnostics] == ["too-large"]


@pytest.mark.parametrize("size", [0, 1, 8, 300_000])
def test_a_pipe_is_read_to_its_end(build: Build, tmp_path: Path, size: int) -> None:
    data = build(GENERIC, extra=f'(@custom "x" "{"x" * 300_000}")')
    data = data if size > len(HEADER) else data[:size]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(data,), daemon=True)
    writer.start()
    found = inspect(pipe)
    writer.join(10)
    assert found.path == str(pipe)
    assert _is_a_report_of(found, data)
    assert found.runnable is (size > len(HEADER))


def test_a_file_that_does_not_tell_its_size_is_read_to_its_end() -> None:
    file = Path("/proc/version")
    assert file.stat().st_size == 0
    found = inspect(file)
    assert _is_a_report_of(found, file.read_bytes())
    assert "plain text" in found.reason


def test_a_file_that_fails_while_it_is_read_is_named_in_the_error() -> None:
    with pytest.raises(OSError, match="/proc/self/mem") as caught:
        inspect("/proc/self/mem")
    assert caught.value.filename == "/proc/self/mem"


def test_bytes_that_are_no_module_have_one_finding_and_no_kind() -> None:
    found = inspect(b"<html>404</html>")
    assert (found.kind, found.runnable, found.imports, found.exports) == (PluginKind.UNKNOWN, False, (), ())
    assert [item.slug for item in found.diagnostics] == ["html"]
    assert "HTML page" in found.reason


def test_a_warning_does_not_keep_a_plugin_from_running(build: Build) -> None:
    found = inspect(build(GENERIC, extra='(func (export "meta"))'))
    assert len(found.diagnostics) == 1
    assert found.errors == ()
    assert found.runnable


def test_a_module_of_no_kind_is_not_runnable_and_one_without_wasi_says_so(build: Build) -> None:
    found = inspect(build(["meta"]))
    assert (found.kind, found.runnable, found.wasi) == (PluginKind.UNKNOWN, False, False)
    assert not inspect(b"").wasi
    assert not inspect(build(GENERIC, [("wasi_unstable", "fd_write")])).wasi


def test_errors_are_raised_with_file_finding_and_remedy(build: Build, tmp_path: Path) -> None:
    file = tmp_path / "woox.wasm"
    file.write_bytes(build(["start_stream"]))
    with pytest.raises(DetectionError) as caught:
        inspect(file).raise_for_errors()
    error = caught.value
    assert isinstance(error, PluginError)
    assert str(error).startswith(
        f"{file}: incomplete-interface: The generic interface is incomplete: the module exports start_stream "
        "but no stop_stream. Export stop_stream as well"
    )
    assert not str(error).endswith(".")
    assert error.report == inspect(file)
    assert error.diagnostics == error.report.errors == error.report.diagnostics


@pytest.mark.parametrize(
    ("imports", "also"),
    [
        (["ws_sent"], "(and 1 more error: unknown-host-function)"),
        (["ws_sent", "read_disk", "f"], "(and 3 more errors: unknown-host-function)"),
        (["ws_sent", "alloc", "read_disk"], "(and 3 more errors: unknown-host-function and foreign-namespace)"),
    ],
)
def test_the_first_error_is_told_and_the_others_are_named(build: Build, imports: list[str], also: str) -> None:
    found = inspect(build(["start_stream", "meta"], [("env", name) for name in imports]))
    with pytest.raises(DetectionError) as caught:
        found.raise_for_errors()
    assert f"but no stop_stream {also}. Export stop_stream as well" in str(caught.value)
    assert len(caught.value.diagnostics) == len(imports) + 1


def test_errors_can_be_ignored_by_their_slugs(build: Build) -> None:
    found = inspect(build(GENERIC, [("env", "ws_sent")], "(func $f) (start $f)"))
    assert [item.slug for item in found.errors] == ["unknown-host-function", "start-section"]
    assert not found.runnable
    found.raise_for_errors(ignoring={"start-section", "unknown-host-function"})
    for ignored, left in (("start-section", "unknown-host-function"), ("unknown-host-function", "start-section")):
        with pytest.raises(DetectionError, match=f"^the module: {left}: ") as caught:
            found.raise_for_errors(ignoring=[ignored])
        assert [item.slug for item in caught.value.diagnostics] == [left]
        assert "more error" not in str(caught.value)
        again = pickle.loads(pickle.dumps(caught.value))
        assert (str(again), again.diagnostics, again.report) == (str(caught.value), caught.value.diagnostics, found)
    with pytest.raises(DetectionError, match="more error"):
        found.raise_for_errors(ignoring=["start_section", "module"])


def test_warnings_and_information_are_never_raised(build: Build) -> None:
    found = inspect(build(GENERIC, extra='(func (export "_start")) (memory 5000)'))
    assert [item.slug for item in found.diagnostics] == ["command-module", "huge-memory"]
    found.raise_for_errors()
    inspect(raises("legacy-deprecated")).raise_for_errors()


def test_the_error_of_bytes_names_no_file_and_can_be_pickled() -> None:
    with pytest.raises(DetectionError, match=r"^the module: not-wasm: .* an empty file\. Download") as caught:
        inspect(b"").raise_for_errors()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.report) == (str(caught.value), caught.value.report)


def test_the_report_as_plain_values(build: Build) -> None:
    data = build(["start_stream"], [("env", "time_now")], '(memory (export "memory") 1) (@custom "go:buildid" "x")')
    assert inspect(data).to_dict() == {
        "path": None,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "kind": "generic",
        "dialect": None,
        "runnable": False,
        "toolchain": {"name": "Go", "version": None, "sdks": []},
        "wasi": False,
        "offers": [{"kind": "generic", "dialect": None, "missing": [["stop_stream"]], "uncallable": []}],
        "reason": "exports start_stream but no stop_stream",
        "evidence": [
            {"subject": "export start_stream", "meaning": "the mark of the generic interface"},
            {"subject": "import env time_now", "meaning": "the host function that tells the time"},
        ],
        "imports": [{"module": "env", "name": "time_now", "type": "(i64) -> i64"}],
        "exports": [{"name": "start_stream", "type": "() -> i32"}, {"name": "memory", "type": "memory"}],
        "diagnostics": [
            {
                "slug": "incomplete-interface",
                "severity": "error",
                "subject": "module",
                "message": "The generic interface is incomplete: the module exports start_stream but no stop_stream.",
                "remedy": "Export stop_stream as well: write //go:wasmexport stop_stream above a func() int32.",
            }
        ],
    }


def test_a_toolchain_is_told_with_its_version_and_its_sdks_or_is_null(build: Build) -> None:
    assert inspect(PLUGINS[0]).to_dict()["toolchain"] == {
        "name": "Go",
        "version": "go1.26.8",
        "sdks": [{"name": "github.com/extism/go-pdk", "version": "v1.1.3"}],
    }
    assert inspect(PLUGINS[0]).to_dict()["wasi"] is True
    assert inspect(build(GENERIC)).to_dict()["toolchain"] is None
    assert inspect(b"").to_dict()["toolchain"] is None


@pytest.mark.parametrize("slug", SLUGS)
def test_the_report_of_every_finding_is_made_of_plain_values(slug: str) -> None:
    found = inspect(raises(slug))
    plain = found.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert pickle.loads(pickle.dumps(found)) == found
    assert type(plain["wasi"]) is type(plain["runnable"]) is bool


def test_the_report_itself_can_be_encoded_copied_and_pickled(build: Build) -> None:
    found = inspect(build(GENERIC, [("env", "ws_send")]))
    assert msgspec.json.decode(msgspec.json.encode(found))["kind"] == {"value": "generic"}
    assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == found


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_a_report(data: bytes) -> None:
    assert _is_a_report_of(inspect(data), data)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_behind_a_modules_header_give_a_report(tail: bytes) -> None:
    assert _is_a_report_of(inspect(HEADER + tail), HEADER + tail)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_plugin_gives_a_report(build: Build, data: st.DataObject) -> None:
    whole = bytearray(build([*GENERIC, "meta"], [("env", "ws_send")], '(memory 1) (data (i32.const 0) "abc")'))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert _is_a_report_of(inspect(whole), bytes(whole))


def test_every_truncation_of_a_plugin_gives_a_report_and_none_is_runnable(build: Build) -> None:
    whole = build([*GENERIC, "meta"], [("env", "ws_send")])
    reports = [inspect(whole[:length]) for length in range(len(whole))]
    assert all(_is_a_report_of(found, whole[:length]) for length, found in enumerate(reports))
    assert not any(found.runnable for found in reports)
    assert {found.diagnostics[0].slug for found in reports} == {
        "not-wasm",
        "truncated",
        "invalid-module",
        "no-interface",
    }


MILLION = 1_000_000
HOSTILE = {
    "a million imports": HEADER + b"\x01\x04\x01\x60\0\0" + b"\x02" + leb(4 * MILLION + 3) + leb(MILLION)
        + b"\0\0\0\0" * MILLION,
    "a million imports announced": HEADER + b"\x02\x04" + leb(MILLION) + b"\0",
    "a million sections": HEADER + b"\0\x01\0" * MILLION,
    "a million types": HEADER + b"\x01" + leb(3 * MILLION + 3) + leb(MILLION) + b"\x60\0\0" * MILLION,
    "a number without an end": HEADER + b"\x01" + b"\xff" * 100_000,
    "a section of 4 GB": HEADER + b"\x0a\xff\xff\xff\xff\x0f",
    "deep nesting": HEADER + b"\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a" + leb(200_007) + b"\x01" + leb(200_003) + b"\0"
        + b"\x02\x40" * 100_001,
    "a name of a megabyte": HEADER + b"\x01\x04\x01\x60\0\0\x02" + leb(1_000_007) + b"\x01\0" + leb(1_000_000)
        + b"x" * 1_000_000 + b"\0\0",
    "a deep expression": HEADER + section(5, b"\x01\0\x01")
        + section(11, b"\x01\0" + b"\x41\0" * 100_000 + b"\x6a" * 99_999 + b"\x0b\0"),
    "100,000 segments": HEADER + section(5, b"\x01\0\x01") + section(11, leb(100_000) + b"\0\x41\0\x0b\0" * 100_000),
    "50,000 globals each computed from the one before": HEADER
        + section(6, leb(50_000) + b"\x7f\0\x41\0\x0b" + b"".join(
            b"\x7f\0\x23" + leb(n) + b"\x41\x7f\x6c\x0b" for n in range(49_999))),
    "20,000 exports that look like others": HEADER + section(1, b"\x01\x60\0\x01\x7f") + section(3, b"\x01\0")
        + section(7, leb(20_000) + b"".join(b"\x11start_strea%06d\0\0" % n for n in range(20_000)))
        + section(10, b"\x01\x04\0\x41\0\x0b"),
    "a name that is no text": HEADER + b"\x01\x04\x01\x60\0\0\x02\x07\x01\x02\xff\xff\0\0\0",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_modules_give_a_report_soon(name: str) -> None:
    with measured() as took:
        found = inspect(HOSTILE[name])
    assert took() < 5
    assert _is_a_report_of(found, HOSTILE[name])
    assert found.errors
    assert all(len(item.message) < 1000 for item in found.diagnostics)


@pytest.mark.parametrize("body", ["unreachable", "(loop br 0)", "call $start"], ids=["trap", "endless", "recursion"])
def test_a_start_section_is_never_run(build: Build, body: str) -> None:
    found = inspect(build(GENERIC, extra=f"(func $start {body}) (start $start)"))
    assert [item.slug for item in found.errors] == ["start-section"]
    assert (found.kind, found.runnable) == (PluginKind.GENERIC, False)


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


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOM)))
def test_no_file_of_the_room_can_run_a_module_or_knows_the_floors_above(file: Path) -> None:
    text = file.read_text()
    assert _wrong_uses(text) == []
    assert [word for word in ("Instance(", "Linker", "Store") if word in text] == []
    imported: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported.isdisjoint({"extism", "extism_sys", "asyncio", "adapters", "compat"})
    assert imported or file.name == "__init__.py"  # an empty set would mean that nothing was looked at


@pytest.mark.parametrize(
    "source",
    [
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
    ],
)
def test_any_other_use_of_wasmtime_would_be_seen(source: str) -> None:
    assert _wrong_uses(source)


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
        [sys.executable, "-c", TRAPPED, *paths], cwd=ROOT, capture_output=True, text=True, check=False, timeout=50
    )
    assert (done.returncode, done.stderr) == (0, "")
    expected = [inspect(make(slug)).to_dict() for slug in SLUGS for make in (raises, near_miss)]
    expected += [inspect(path).to_dict() for path in paths]
    assert json.loads(done.stdout) == expected
    assert len(expected) == 2 * len(SLUGS) + len(PLUGINS) > 70


def test_every_public_name_exists() -> None:
    assert [name for name in detectors.__all__ if not hasattr(detectors, name)] == []
    assert sorted(detectors.__all__) == sorted(set(detectors.__all__))
