"""The house keeps its shape: what may import what, and how long a file may be, read from the sources.

compat → adapters → detectors, and nobody imports a package's ``__init__`` from below it.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ("detectors", "adapters", "compat")  # from the ground up
LONGEST = 350  # lines of a file


@attrs.frozen
class Module:
    """A module's name, whether it is a package's ``__init__``, and its source."""

    name: str
    is_package: bool
    source: str = attrs.field(repr=False, eq=False)

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def floor(self) -> str:
        return self.name.partition(".")[0]

    @property
    def file(self) -> str:
        return self.name.replace(".", "/") + ("/__init__.py" if self.is_package else ".py")


#: Says what is wrong with a module: imports, calls, ...
Rule = Callable[[Module], Collection[str]]


def parse(name: str, source: str, *, is_package: bool = False) -> Module:
    return Module(name, is_package, source)


def read(path: Path) -> Module:
    parts = path.relative_to(ROOT).with_suffix("").parts
    is_package = parts[-1] == "__init__"
    return parse(".".join(parts[:-1] if is_package else parts), path.read_text(), is_package=is_package)


MODULES = [read(path) for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]
NAMES = {module.name for module in MODULES}


def imports(module: Module) -> Iterator[str]:
    """Every module that this one imports, wherever and under whatever condition.

    ``from package import name`` is an import of ``package.name`` where that is a module, and else of ``package``.
    """
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                above = module.name.split(".")
                above = above[: len(above) - node.level + module.is_package]
                source = ".".join([*above, *([source] if source else [])])
            inner = [f"{source}.{alias.name}" for alias in node.names]
            yield from (name if name in NAMES else source for name in inner)


def calls(module: Module) -> Iterator[str]:
    """Every function that is called by name, as it is written."""
    return (ast.unparse(node.func) for node in ast.walk(module.tree) if isinstance(node, ast.Call))


def top(name: str) -> str:
    return name.partition(".")[0]


def upward(module: Module) -> list[str]:
    """Imports of a floor above the module's own."""
    above = FLOORS[FLOORS.index(module.floor) + 1 :]
    return [name for name in imports(module) if top(name) in above]


def fronts(module: Module) -> list[str]:
    """Imports of a floor's front, and of the ``__init__`` of a package that the module is in."""
    own = {module.name[:dot] for dot, letter in enumerate(module.name) if letter == "."}
    return [name for name in imports(module) if name in own.union(FLOORS)]


def importing(*packages: str) -> Rule:
    """Imports from any of these packages."""
    return lambda module: [name for name in imports(module) if top(name) in packages]


def calling(*functions: str) -> Rule:
    """Calls of any of these functions."""
    return lambda module: [name for name in calls(module) if name in functions]


def undocumented(module: Module) -> list[str]:
    """That the module does not say what it is for."""
    return [] if ast.get_docstring(module.tree) else ["no docstring"]


def source_files() -> list[Path]:
    """The Python and WebAssembly text of the product, its tests, benchmarks and examples, and what builds fixtures."""
    folders = [ROOT / name for name in (*FLOORS, "tests", "benchmarks", "examples")]
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".wat")]
    return sorted([*found, *(ROOT / "fixtures").glob("*.py")])


def too_long(paths: Iterable[Path], root: Path = ROOT) -> list[str]:
    """A line for each file that has more than ``LONGEST`` lines, and how many it has."""
    lengths = [(path.relative_to(root), len(path.read_bytes().splitlines())) for path in paths]
    return [f"{file}: {length} lines, of {LONGEST} at most" for file, length in lengths if length > LONGEST]


def offenders(rule: Rule, modules: Iterable[Module] = MODULES) -> dict[str, Collection[str]]:
    """What a rule finds in every module in which it finds something, by the module's file."""
    return {module.file: found for module in modules if (found := rule(module))}


def nobody(rule: Rule, modules: Iterable[Module] = MODULES) -> None:
    """Fail with a line for each file in which the rule finds something."""
    lines = [f"{file}: {', '.join(found)}" for file, found in offenders(rule, modules).items()]
    assert not lines, "\n".join(["", *lines])


def test_all_three_floors_are_looked_at() -> None:
    assert {module.floor for module in MODULES} == set(FLOORS)
    assert {"detectors.rules", "adapters.runtime.engine", "compat.cli", "compat.demo.exchange"} <= NAMES


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import compat", ["compat"]),
        ("import compat.manager as m", ["compat.manager"]),
        ("from compat import StreamManager", ["compat"]),
        ("from compat import manager", ["compat.manager"]),
        ("from compat.manager import StreamManager", ["compat.manager"]),
        ("if TYPE_CHECKING:\n    from compat.manager import StreamManager", ["compat.manager"]),
        ("def f():\n    import extism, asyncio", ["extism", "asyncio"]),
        ("from . import errors", ["adapters.errors"]),
        ("from .errors import KeyFormatError", ["adapters.errors"]),
        ("from .. import compat", ["compat"]),
    ],
)
def test_every_form_of_import_is_seen(source: str, found: list[str]) -> None:
    name = "adapters.net.policy" if ".." in source else "adapters.legacy"
    if ".." in source:
        assert list(imports(parse(name, source))) == ["adapters"]
    else:
        assert list(imports(parse(name, source))) == found


def test_an_import_upwards_and_an_import_of_a_front_are_found() -> None:
    assert upward(parse("adapters.legacy", "import compat.manager, detectors.report")) == ["compat.manager"]
    assert upward(parse("detectors.rules", "from adapters.errors import X")) == ["adapters.errors"]
    assert fronts(parse("adapters.legacy", "from detectors import inspect")) == ["detectors"]
    assert fronts(parse("compat.demo.wire", "from compat.demo import __doc__")) == ["compat.demo"]
    assert fronts(parse("compat.demo.session", "from compat.demo import wire")) == []


def test_an_offender_is_named_with_its_file_and_what_it_does() -> None:
    good, bad = (
        parse("adapters.legacy", "import adapters.host"),
        parse("adapters.net", "import compat", is_package=True),
    )
    assert offenders(upward, [good, bad]) == {"adapters/net/__init__.py": ["compat"]}
    assert offenders(importing("adapters", "rich"), [good, bad]) == {"adapters/legacy.py": ["adapters.host"]}
    loud = parse("detectors.rules", "def f():\n    print(1, file=sys.stderr)\n    print(2)")
    assert offenders(calling("print"), [loud, good]) == {"detectors/rules.py": ["print", "print"]}
    assert offenders(undocumented, [parse("compat.mute", "x = 1")]) == {"compat/mute.py": ["no docstring"]}
    many = [parse(f"detectors.n{number}", "import compat, compat.manager") for number in range(100)]
    with pytest.raises(AssertionError) as caught:
        nobody(upward, many)
    assert str(caught.value).count(".py: compat, compat.manager\n") == 100


def test_imports_go_down_only() -> None:
    nobody(upward)


def test_nobody_imports_a_front_from_below_or_another_floor_by_its_front() -> None:
    nobody(fronts)


def test_the_detector_knows_neither_the_runtime_nor_the_event_loop() -> None:
    banned = importing("extism", "extism_sys", "asyncio", "socket", "websockets", "httpx")
    nobody(banned, (module for module in MODULES if module.floor == "detectors"))


def test_the_c_interface_is_used_in_one_place() -> None:
    assert set(offenders(importing("extism", "extism_sys"))) == {"adapters/runtime/engine.py"}


def test_a_guest_is_rewritten_by_what_knows_no_runtime() -> None:
    pure = {f"adapters.companion.{name}" for name in ("rewriting", "trampoline", "writing")}
    assert pure <= NAMES
    allowed = (*pure, "adapters.runtime.errors", "detectors.", "__future__", "collections.abc", "typing", "attrs")

    def others(module: Module) -> list[str]:
        return [name for name in imports(module) if not name.startswith(allowed)]

    nobody(others, (module for module in MODULES if module.name in pure))


def test_modules_are_imported_by_computed_name_in_one_place() -> None:
    ways = calling("importlib.import_module", "import_module", "__import__", "exec", "eval", "runpy.run_module")
    assert offenders(ways) == {"adapters/registry.py": ["importlib.import_module"]}


def test_nothing_is_printed_but_the_version_for_which_click_is_not_imported() -> None:
    assert offenders(calling("print", "pprint", "sys.stdout.write")) == {"compat/__main__.py": ["sys.stdout.write"]}


def test_click_and_the_terminal_are_the_command_line_s_business() -> None:
    others = (module for module in MODULES if not module.name.startswith("compat.cli"))
    nobody(importing("click", "rich"), others)


def test_every_module_says_what_it_is_for() -> None:
    nobody(undocumented)


def test_a_file_that_is_too_long_is_named_with_its_length(tmp_path: Path) -> None:
    longest, longer = tmp_path / "longest.py", tmp_path / "longer.wat"
    longest.write_text("pass\n" * LONGEST)
    longer.write_text(";;\n" * (LONGEST + 1))
    assert too_long([longest, longer], tmp_path) == [f"longer.wat: {LONGEST + 1} lines, of {LONGEST} at most"]


def test_no_file_is_too_long() -> None:
    files = source_files()
    looked_at = {str(path.relative_to(ROOT).parent) for path in files}
    assert {"adapters/net", "adapters/companion/wat", "compat/demo", "detectors/checks", "fixtures"} <= looked_at
    assert {"tests", "tests/adapters", "tests/support", "benchmarks", "examples/adopting"} <= looked_at
    found = too_long(files)
    assert not found, "\n".join(["", *found])
