from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from detectors.checks.build import debug_build, oversized
from detectors.classify import classify
from detectors.diagnostics import Case, Finding
from detectors.module import ModuleInterface, read_module
from detectors.rules import INTERFACES
from detectors.toolchain import Toolchain
from tests.detectors.encoding import custom, module_of

if TYPE_CHECKING:
    from detectors.diagnostics import Check

KIB, MIB = 1 << 10, 1 << 20
EMPTY = ModuleInterface(imports=(), exports=(), size=0, sha256="")


def _found(check: Check, size: int, dwarf: int = 0, names: int = 0, toolchain: str | None = None) -> list[Finding]:
    """What is found of a module of so many bytes."""
    module = attrs.evolve(
        EMPTY,
        size=size,
        dwarf_size=dwarf,
        names_size=names,
        toolchain=None if toolchain is None else Toolchain(toolchain),
    )
    return list(check(Case(module, classify(module), INTERFACES)))


@pytest.mark.parametrize(
    ("size", "dwarf", "names", "subject", "what"),
    [
        (5 * KIB, 4 * KIB, 0, "section .debug_info", "(DWARF): 4.0 KiB of its 5.0 KiB, 80 %,"),
        (4 * KIB, 0, 4 * KIB, "section name", "(names): 4.0 KiB of its 4.0 KiB, 100 %,"),
        (8 * KIB, 2 * KIB, 3 * KIB, "section .debug_info", "(DWARF and names): 5.0 KiB of its 8.0 KiB, 62 %,"),
        (100 * MIB, 3 * MIB, 2 * MIB, "section .debug_info", "(DWARF and names): 5.0 MiB of its 100.0 MiB, 5 %,"),
    ],
)
def test_debug_information_that_is_worth_leaving_out(
    size: int, dwarf: int, names: int, subject: str, what: str
) -> None:
    (found,) = _found(debug_build, size, dwarf, names)
    assert found.subject == subject
    assert found.message == f"The module carries debug information {what} could be saved."
    assert found.remedy == "Run wasm-tools strip --all over the built module."


@pytest.mark.parametrize(
    ("size", "dwarf", "names"),
    [(5 * KIB, 0, 0), (5 * KIB, 4 * KIB - 1, 0), (5 * KIB, 2 * KIB, 2 * KIB - 1), (100 * MIB, 3 * MIB, 2 * MIB - 1)],
)
def test_a_little_debug_information_is_not_worth_a_word(size: int, dwarf: int, names: int) -> None:
    assert _found(debug_build, size, dwarf, names) == []


def test_the_sections_of_a_module_are_what_is_counted() -> None:
    sections = [custom(b".debug_info", bytes(300)), custom(b".debug_line", bytes(20)), custom(b"name", bytes(9_000))]
    found = read_module(module_of(*sections, custom(b"debug_", bytes(10_000)), custom(b"x.debug_", bytes(10_000))))
    assert found.dwarf_size == len(sections[0]) + len(sections[1])
    assert found.names_size == len(sections[2])


@pytest.mark.parametrize(
    ("toolchain", "remedy"),
    [
        ("Go", 'Build with -ldflags="-s -w".'),
        ("Rust", "Set strip = true under [profile.release] in Cargo.toml and build with --release."),
        ("Haskell", "Run wasm-tools strip --all over the built module."),
    ],
)
def test_how_it_is_left_out_depends_on_the_toolchain(toolchain: str, remedy: str) -> None:
    (found,) = _found(debug_build, 5 * KIB, 4 * KIB, toolchain=toolchain)
    assert found.remedy == remedy


def test_a_module_that_takes_long_to_load() -> None:
    assert _found(oversized, 16 * MIB) == []
    (found,) = _found(oversized, 16 * MIB + 1)
    assert found.subject == "module"
    assert found.message.startswith("The module has 16.0 MiB. Plugins have 3 to 5 MiB;")
    assert found.remedy == "Drop data and libraries that are not needed."


def test_a_large_module_with_debug_information_is_told_to_leave_that_out_first() -> None:
    (found,) = _found(oversized, 20 * MIB, 3 * MIB, 2 * MIB, "Go")
    assert found.message.startswith("The module has 20.0 MiB; 5.0 MiB of it is debug information. Plugins")
    assert found.remedy == 'Build with -ldflags="-s -w", and drop what is not needed.'
