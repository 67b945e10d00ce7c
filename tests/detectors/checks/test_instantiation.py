from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from detectors.checks.instantiation import (
    command_and_reactor,
    huge_memory,
    segment_out_of_bounds,
    shared_memory,
    start_section,
    wrong_lifecycle_export,
)
from detectors.diagnostics import Severity
from detectors.sections import Limits
from detectors.segments import Misplaced
from tests.detectors.checks.finding import findings

if TYPE_CHECKING:
    from tests.detectors.conftest import Read

MIB, GIB = 1 << 20, 1 << 30
START, INITIALIZE = '(func (export "_start"))', '(func (export "_initialize"))'


def test_code_that_runs_at_instantiation(read: Read) -> None:
    assert findings(start_section, read(extra="(func $f)")) == []
    (found,) = findings(start_section, read(extra="(func $f (loop br 0)) (start $f)"))
    assert found.subject == "section start"
    assert "before the first call and under a deadline" in found.message
    assert found.remedy == ""


def test_a_module_that_is_both_a_command_and_a_reactor(read: Read) -> None:
    assert findings(command_and_reactor, read(extra=START)) == []
    assert findings(command_and_reactor, read(extra=INITIALIZE)) == []
    both = read(extra=START + INITIALIZE)
    (found,) = findings(command_and_reactor, both, "Go")
    assert found.subject == "export _start"
    assert "the runtime refuses" in found.message
    assert "go build -buildmode=c-shared" in found.remedy
    assert findings(wrong_lifecycle_export, both) == []


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ('(func (export "_initialize") (result i32) i32.const 0)', "() -> i32"),
        ('(func (export "_initialize") (param i32 i64))', "(i32, i64) -> ()"),
        ('(memory (export "_initialize") 1)', "a memory"),
    ],
)
def test_an_initialisation_that_the_runtime_cannot_call(read: Read, extra: str, what: str) -> None:
    (found,) = findings(wrong_lifecycle_export, read(extra=extra), "Zig")
    assert found.subject == "export _initialize"
    assert found.message.startswith(f"The export _initialize is {what}; the runtime calls it before anything else")
    assert found.remedy.startswith("Leave _initialize to the compiler: build without an entry")
    assert found.severity is None


def test_a_start_that_is_no_function(read: Read) -> None:
    (found,) = findings(wrong_lifecycle_export, read(extra='(global (export "_start") i32 (i32.const 0))'))
    assert found.subject == "export _start"
    assert found.message.startswith("The export _start is a global; the runtime takes it for a command's")
    assert found.remedy == "Give it another name."


@pytest.mark.parametrize("extra", ["", START, INITIALIZE, '(func (export "_start") (param i32))'])
def test_a_lifecycle_that_the_runtime_can_use(read: Read, extra: str) -> None:
    assert findings(wrong_lifecycle_export, read(extra=extra)) == []


@pytest.mark.parametrize(
    ("extra", "is_found"),
    [
        ("(memory 1 2)", False),
        ("(memory 1 2 shared)", True),
        ("(memory 1) (memory 1 2 shared)", True),
        ("(memory i64 1 2 shared)", True),
    ],
)
def test_a_memory_that_threads_may_share(read: Read, extra: str, *, is_found: bool) -> None:
    found = findings(shared_memory, read(extra=extra))
    assert [item.subject for item in found] == ["section memory"] * is_found
    assert all("refuses" in item.message and "without threads" in item.remedy for item in found)


@pytest.mark.parametrize(
    ("pages", "told", "severity"),
    [
        ([0], None, None),
        ([4_096], None, None),
        ([4_097], "256.1 MiB", None),
        ([1, 4_097, 14], "257.0 MiB", None),
        ([2_048, 2_048], None, None),
        ([2_048, 2_049], "256.1 MiB", None),
        ([65_536], "4.0 GiB", None),
        ([1 << 30], "64.0 TiB", None),
        ([(1 << 30) + 1], "64.0 TiB", Severity.ERROR),
        ([1 << 29, 1 << 29], "64.0 TiB", None),
        ([1 << 29, 1 << 29, 1], "64.0 TiB", Severity.ERROR),
        ([1 << 48], "16,384.0 PiB", Severity.ERROR),
    ],
)
def test_a_memory_that_is_large_from_the_beginning(
    read: Read, pages: list[int], told: str | None, severity: Severity | None
) -> None:
    module = attrs.evolve(read(), memories=tuple(Limits(count) for count in pages))
    found = findings(huge_memory, module)
    assert [(item.subject, item.severity) for item in found] == [("section memory", severity)] * (told is not None)
    for item in found:
        assert f" {told} of memory from the beginning" in item.message
        assert ("more than can be allocated" in item.message) is (severity is not None)
        assert "--initial-memory" in item.remedy
        assert "a memory can grow later" in item.remedy


@pytest.mark.parametrize(
    ("entries", "told", "severity"),
    [
        ([32 * MIB], None, None),
        ([33 * MIB], "264.0 MiB", None),
        ([16 * MIB, 16 * MIB], None, None),
        ([16 * MIB, 16 * MIB, MIB], "264.0 MiB", None),
        ([2 * GIB], "16.0 GiB", None),
        ([GIB, GIB], "16.0 GiB", None),
        ([2 * GIB + 1], "16.0 GiB", Severity.ERROR),
        ([GIB, GIB, 1], "16.0 GiB", Severity.ERROR),
    ],
)
def test_a_table_that_is_large_from_the_beginning(
    read: Read, entries: list[int], told: str | None, severity: Severity | None
) -> None:
    found = findings(huge_memory, attrs.evolve(read(), tables=tuple(Limits(count) for count in entries)))
    assert [(item.subject, item.severity) for item in found] == [("section table", severity)] * (told is not None)
    for item in found:
        assert f" {told} of table from the beginning" in item.message
        assert "a table can grow later" in item.remedy
        assert "linker" not in item.remedy


def test_a_memory_and_a_table_are_both_told(read: Read) -> None:
    module = attrs.evolve(read(), memories=(Limits(5_000),), tables=(Limits(64 * MIB),))
    assert [item.subject for item in findings(huge_memory, module)] == ["section memory", "section table"]


def test_memories_and_tables_are_added_up_each_for_themselves(read: Read) -> None:
    module = attrs.evolve(read(), memories=(Limits(4_096),), tables=(Limits(32 * MIB),))
    assert findings(huge_memory, module) == []


def test_how_far_a_memory_may_grow_does_not_count(read: Read) -> None:
    assert findings(huge_memory, read(extra="(memory 1 65536) (table 1 4294967295 funcref)")) == []


def test_initial_contents_that_do_not_fit(read: Read) -> None:
    places = (Misplaced("data", 3, 65_530, 7, 65_536), Misplaced("element", 0, 2**32 - 1, 1, 10))
    data, element = findings(segment_out_of_bounds, attrs.evolve(read(), misplaced=places))
    assert (data.subject, element.subject) == ("section data", "section element")
    assert data.message.startswith("The data segment 3 reaches to 65,537 in a memory of 65,536 bytes: the module traps")
    assert element.message.startswith("The element segment 0 reaches to 4,294,967,296 in a table of 10 slots:")
    assert "initial size of the memory" in data.remedy
    assert "initial size of the table" in element.remedy


def test_a_module_whose_contents_fit_has_no_such_finding(read: Read) -> None:
    assert findings(segment_out_of_bounds, read(extra='(memory 1) (data (i32.const 65535) "a")')) == []
    assert len(findings(segment_out_of_bounds, read(extra='(memory 1) (data (i32.const 65536) "a")'))) == 1
