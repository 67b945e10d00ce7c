"""``compat`` is the only public import: what it offers, and that it is all that users need."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import adapters
import compat
import compat.public
import detectors
from compat import CompatError, NetworkError, PluginError, UsageError

# Read_module raises it, and compat.inspect turns it into a report.
NEVER_MET = {"ModuleError"}


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
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_the_names_are_sorted_and_stand_once() -> None:
    classes = sorted(name for name in compat.__all__ if name[0].isupper())
    assert compat.__all__ == [*classes, *sorted(name for name in compat.__all__ if name[0].islower())]
    assert len(compat.__all__) == len(set(compat.__all__))


@pytest.mark.parametrize("name", [name for name in compat.__all__ if name != "Observer"])  # which is a type alias
def test_everything_public_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(getattr(compat, name))


def documented(heading: str | None = None) -> list[str]:
    """The names in the tables of ``docs/api.md``, of one of its chapters or of all."""
    text = (Path(__file__).parents[1] / "docs" / "api.md").read_text(encoding="utf-8")
    chapter = text if heading is None else text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", chapter, re.MULTILINE)


def test_what_is_public_is_what_is_documented() -> None:
    names = documented()
    assert sorted(names) == sorted(compat.__all__)


def test_the_documented_errors_stand_below_whose_fault_they_are() -> None:
    faults = {"PluginError": PluginError, "NetworkError": NetworkError, "UsageError": UsageError}
    at_fault: type[CompatError] = CompatError
    for name in documented("Errors"):
        at_fault = faults.get(name, at_fault)
        assert issubclass(getattr(compat, name), at_fault), name


def subclasses(kind: type[CompatError]) -> Iterator[type[CompatError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_error_that_a_user_can_meet_is_public_and_says_whose_fault_it_is() -> None:
    for package in (detectors, adapters, compat):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name != "compat.__main__":
                importlib.import_module(module.name)
    ours = {kind for kind in subclasses(CompatError) if kind.__module__.partition(".")[0] != "tests"}
    assert {kind.__name__ for kind in ours} - NEVER_MET <= set(compat.__all__)
    assert all(issubclass(kind, (PluginError, NetworkError, UsageError)) for kind in ours)


@pytest.mark.parametrize("package", [compat, adapters, detectors], ids=lambda package: package.__name__)
def test_every_package_ships_its_types(package: types.ModuleType) -> None:
    assert package.__file__ is not None
    assert (Path(package.__file__).parent / "py.typed").is_file()
