"""How much of a module is read: each bound at its edge, and what is no bound."""

from __future__ import annotations

import math
from pathlib import Path

import attrs
import pytest

from detectors.bounds import USUAL, InspectionBounds
from detectors.errors import UsageError
from detectors.formats import HEADER
from detectors.module import MAX_MODULE_SIZE
from detectors.report import inspect
from tests.detectors.encoding import custom, module_of, section

FIELDS = [field.name for field in attrs.fields(InspectionBounds)]
SECONDS = "a finite number of seconds above 0"
COUNT = "a whole number, 1 or more"
NO_NUMBERS = ("1", None, True, math.nan, [1], 1j)


def test_the_defaults_are_those_of_the_documentation() -> None:
    assert attrs.asdict(USUAL) == {
        "max_size": 104_857_600,
        "max_section": 1_048_576,
        "max_sections": 10_000,
        "max_imports": 10_000,
        "max_exports": 10_000,
        "max_instructions": 500_000,
        "validation_timeout": 10.0,
    }
    assert USUAL.max_size == MAX_MODULE_SIZE


@pytest.mark.parametrize("name", FIELDS)
def test_what_is_no_bound_is_refused_by_name(name: str) -> None:
    words, wrong = (SECONDS, (0, -1, math.inf)) if name == "validation_timeout" else (COUNT, (0, -1, 1.5, math.inf))
    for value in (*wrong, *NO_NUMBERS):
        with pytest.raises(UsageError) as caught:
            InspectionBounds(**{name: value})
        assert caught.value.message.startswith(f"InspectionBounds: {name} must be {words}, not ")
        assert caught.value.remedy == f"Correct InspectionBounds({name}=...)"


def test_a_value_at_the_edge_of_sense_is_a_bound() -> None:
    least = InspectionBounds(max_size=1, max_section=1, max_sections=1, max_instructions=1, validation_timeout=1e-9)
    assert inspect(b"", bounds=least).diagnostics[0].slug == "not-wasm"
    endless = InspectionBounds(validation_timeout=10**400)
    assert inspect(HEADER, bounds=endless).diagnostics[0].slug == "no-interface"


# The type of a function, and its import.
FUNCTION, IMPORT = b"\x01\x60\x01\x7e\x01\x7e", b"\x0fextism:host/env\x05alloc\0\0"
# A module that is just within a bound, the same with a little more, the bound, and what the finding says.
EDGES = {
    "max_size": (HEADER, HEADER + custom(b"x"), {"max_size": 8}, "The module is larger than 8 bytes."),
    "max_sections": (
        module_of(custom(b"x") * 2),
        module_of(custom(b"x") * 3),
        {"max_sections": 2},
        "The module has more than 2 sections.",
    ),
    "max_section": (
        module_of(section(1, b"\x02\x60\0\0\x60\0\0")),
        module_of(section(1, b"\x03\x60\0\0\x60\0\0\x60\0\0")),
        {"max_section": 7},
        "The section at offset 10 takes 10 bytes to declare types, imports or exports; 7 are read.",
    ),
    "max_imports": (
        module_of(section(1, FUNCTION), section(2, b"\x02" + IMPORT * 2)),
        module_of(section(1, FUNCTION), section(2, b"\x03" + IMPORT * 3)),
        {"max_imports": 2},
        "The module has 3 imports; 2 are read.",
    ),
    "max_exports": (
        module_of(section(1, FUNCTION), section(2, b"\x01" + IMPORT), section(7, b"\x02\x01a\0\0\x01b\0\0")),
        module_of(section(1, FUNCTION), section(2, b"\x01" + IMPORT), section(7, b"\x03\x01a\0\0\x01b\0\0\x01c\0\0")),
        {"max_exports": 2},
        "The module has 3 exports; 2 are read.",
    ),
    "max_instructions of globals": (
        module_of(section(6, b"\x02" + b"\x7f\0\x41\0\x0b" * 2)),
        module_of(section(6, b"\x03" + b"\x7f\0\x41\0\x0b" * 3)),
        {"max_instructions": 2},
        "The constant expressions of one section take more than 2 instructions.",
    ),
    "max_instructions of data": (
        module_of(section(5, b"\x01\0\x01"), section(11, b"\x01\0" + b"\x41\0\x41\0\x6a" + b"\x0b\0")),
        module_of(section(5, b"\x01\0\x01"), section(11, b"\x01\0" + b"\x41\0\x41\0\x6a\x41\0\x6a" + b"\x0b\0")),
        {"max_instructions": 3},
        "The constant expressions of one section take more than 3 instructions.",
    ),
    "max_instructions of elements": (
        module_of(section(4, b"\x01\x70\0\0"), section(9, b"\x02" + b"\0\x41\0\x0b\0" * 2)),
        module_of(section(4, b"\x01\x70\0\0"), section(9, b"\x03" + b"\0\x41\0\x0b\0" * 3)),
        {"max_instructions": 2},
        "The constant expressions of one section take more than 2 instructions.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("edge", EDGES)
def test_a_module_within_a_bound_is_read_and_one_beyond_is_too_large(edge: str) -> None:
    within, beyond, bound, message = EDGES[edge]
    bounds = InspectionBounds(**bound)
    assert [found.slug for found in inspect(within, bounds=bounds).diagnostics] == ["no-interface"]
    report = inspect(beyond, bounds=bounds)
    assert [(found.slug, found.message) for found in report.diagnostics] == [("too-large", message)]
    assert (report.runnable, report.size) == (False, len(beyond))
    assert [found.slug for found in inspect(beyond).diagnostics] == ["no-interface"]


def test_a_file_has_the_same_bounds_as_bytes(tmp_path: Path) -> None:
    file = tmp_path / "plugin.wasm"
    for within, beyond, bound, _ in EDGES.values():
        for data in (within, beyond):
            file.write_bytes(data)
            of_file, of_bytes = (inspect(source, bounds=InspectionBounds(**bound)) for source in (file, data))
            assert of_file.diagnostics == of_bytes.diagnostics


def test_a_custom_section_has_no_bound_of_its_own_and_is_looked_at_as_far_as_one_goes() -> None:
    producers = b"\x01\x0cprocessed-by\x01\x06TinyGo\x060.39.0"
    data = module_of(custom(b"producers", producers), custom(b"x", bytes(1_000)))
    assert str(inspect(data, bounds=InspectionBounds(max_section=200)).toolchain) == "TinyGo 0.39.0"
    as_far_as_the_name = len("\x09producers") + producers.index(b"TinyGo") + len("TinyGo")
    cut = inspect(data, bounds=InspectionBounds(max_section=as_far_as_the_name))
    assert str(cut.toolchain) == "TinyGo"
    assert [found.slug for found in cut.diagnostics] == ["no-interface"]


def test_a_count_beyond_the_bound_is_told_before_anything_of_it_is_read() -> None:
    exports = b"".join(b"\x06e%05d\0\0" % number for number in range(10_001))
    beyond = module_of(section(1, FUNCTION), section(2, b"\x01" + IMPORT), section(7, b"\x91\x4e" + exports))
    assert [str(found.message) for found in inspect(beyond).diagnostics] == [
        "The module has 10,001 exports; 10,000 are read."
    ]
    assert len(inspect(beyond, bounds=InspectionBounds(max_exports=10_001)).exports) == 10_001
