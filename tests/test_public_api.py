"""``compat`` is the only public import: what it offers, and that it is all that users need."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import adapters
import compat
import compat.blocking
import compat.public
import detectors
from compat import CompatError, MachineError, NetworkError, PluginError, UsageError
from detectors.formats import ModuleError
from tests.support.processes import python

PACKAGES = {"detectors", "adapters", "compat"}


def test_what_is_public_is_what_is_importable() -> None:
    offered = {
        name
        for name, value in vars(compat.public).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }
    assert offered | {"blocking"} == set(compat.__all__)


def test_everything_public_is_found_and_nothing_else() -> None:
    assert set(compat.__all__) <= set(dir(compat))
    assert all(getattr(compat, name) is getattr(compat.public, name) for name in compat.__all__)
    for name in ("nonsense", "_nonsense", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"module 'compat' has no attribute '{name}'"):
            getattr(compat, name)


def test_importing_compat_is_cheap_until_a_name_is_used() -> None:
    program = """
import sys, compat
assert not {"adapters", "detectors", "logging", "asyncio"}.intersection(sys.modules)
from compat import StreamKey
assert compat.StreamKey is StreamKey
assert {"adapters", "detectors"}.issubset(sys.modules)
"""
    finished = python("-c", program)
    assert (finished.code, finished.err) == (0, "")


def test_the_names_are_sorted_and_stand_once() -> None:
    classes = sorted(name for name in compat.__all__ if name[0].isupper())
    assert compat.__all__ == [*classes, *sorted(name for name in compat.__all__ if name[0].islower())]
    assert len(compat.__all__) == len(set(compat.__all__))


def words(thing: object) -> str:
    """What something says of itself; what its base says does not count."""
    own = vars(thing).get("__doc__") if inspect.isclass(thing) else getattr(thing, "__doc__", None)
    return own or ""


def members(kind: type) -> Iterator[tuple[str, object]]:
    """The public methods and properties that stand in a class itself."""
    for name, member in vars(kind).items():
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function):
            yield name, function


def silent(things: Mapping[str, object]) -> list[str]:
    """Those that do not say what they are, or one of whose members does not."""
    found = [name for name, thing in things.items() if not words(thing)]
    classes = {name: thing for name, thing in things.items() if inspect.isclass(thing)}
    return found + [f"{name}.{of}" for name, thing in classes.items() for of, each in members(thing) if not words(each)]


def test_everything_public_says_what_it_is() -> None:
    public = {name: getattr(compat, name) for name in compat.__all__ if name != "Observer"}  # which is a type alias
    assert silent(public) == []
    assert silent({f"blocking.{name}": getattr(compat.blocking, name) for name in compat.blocking.__all__}) == []


def test_what_is_silent_would_be_found() -> None:
    class Inherits(compat.Plugin):
        def stop(self) -> None: ...

        @property
        def name_of_it(self) -> str:
            return ""

        @staticmethod
        def said() -> None:
            """That counts."""

    assert silent({"x": Inherits}) == ["x", "x.stop", "x.name_of_it"]


#: The errors that say whose fault it is.
FAULTS = {kind.__name__: kind for kind in (PluginError, NetworkError, MachineError, UsageError)}


def documented(heading: str | None = None) -> list[str]:
    """The names in the tables of ``docs/api.md``, of one of its chapters or of all."""
    text = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    chapter = text if heading is None else text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", chapter, re.MULTILINE)


def test_what_is_public_is_what_is_documented() -> None:
    names = documented()
    assert sorted(names) == sorted(compat.__all__)


def test_the_documented_errors_stand_below_whose_fault_they_are() -> None:
    at_fault: type[CompatError] = CompatError
    for name in documented("Errors"):
        at_fault = FAULTS.get(name, at_fault)
        assert issubclass(getattr(compat, name), at_fault), name


def subclasses(kind: type[CompatError]) -> Iterator[type[CompatError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


# read_module raises ModuleError, and compat.inspect turns it into a report.
def test_every_error_that_a_user_can_meet_is_public_and_says_whose_fault_it_is() -> None:
    for package in (detectors, adapters, compat):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name != "compat.__main__":
                importlib.import_module(module.name)
    ours = {kind for kind in subclasses(CompatError) if kind.__module__.partition(".")[0] in PACKAGES}
    assert len(ours) > 20
    assert {kind for kind in ours if getattr(compat, kind.__name__, None) is not kind} == {ModuleError}
    assert {kind for kind in ours if not issubclass(kind, tuple(FAULTS.values()))} == set()


@pytest.mark.parametrize("package", [compat, adapters, detectors], ids=lambda package: package.__name__)
def test_every_package_ships_its_types(package: types.ModuleType) -> None:
    assert package.__file__ is not None
    assert (Path(package.__file__).parent / "py.typed").is_file()
