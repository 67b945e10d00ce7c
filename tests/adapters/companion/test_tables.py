"""The sizes of a guest's tables: which are told, and that every module is linked with that as without it."""

from __future__ import annotations

import itertools

import pytest
import wasmtime

from adapters.companion.linking import link
from adapters.companion.rewriting import Ceilings, rewrite
from adapters.companion.trampoline import COLLECT
from adapters.runtime.engine import Instance, InstantiationError
from adapters.runtime.errors import CompanionError
from detectors.sections import Limits, read_sections
from tests.adapters.companion.linked import BEGIN as B
from tests.adapters.companion.linked import COLLECT as C
from tests.adapters.companion.linked import END as E
from tests.adapters.companion.linked import Linked
from tests.adapters.runtime.guests import border_of
from tests.detectors.examples import few_and_many
from tests.support.wasm_tools import modules

#: The tables of a module, and the sizes that are told of them where they may have nine entries.
TABLES = {
    "none": ("", ""),
    "one that says no maximum": ("(table 3 funcref)", "3"),
    "one that would grow further": ("(table 3 10 funcref)", "3"),
    "one that has all that it may": ("(table 9 funcref)", "9"),
    "one that cannot grow": ("(table 3 3 funcref)", ""),
    "one that goes no further by itself": ("(table 3 9 funcref)", ""),
    "several": ("(table 3 funcref) (table 4 4 funcref) (table 5 funcref) (table 2 funcref)", "352"),
    "one that is exported": ('(table (export "t") 3 funcref)', "3"),
    "one of 64 bits": ("(table i64 3 funcref) (table 4 funcref)", "34"),
    "one of the host's references": ("(table 3 externref) (table 4 funcref)", "34"),
    "one without null": ("(table 3 (ref func) (ref.func $g)) (elem declare func $g)", "3"),
    "one of a type of its own": ("(type $own (func (param f64))) (table 3 (ref null $own))", "3"),
    "those of collected types": ("""(rec (type $a (struct (field i8))) (type $b (array (ref $a)))) (table 3 anyref)
                                 (table 4 (ref null $b)) (table 5 i31ref) (table 6 structref)""", "3456"),
}  # fmt: skip


@pytest.mark.parametrize(("tables", "sizes"), TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("memory", ["", "(memory 1)"], ids=["alone", "with the shim"])
def test_the_sizes_of_the_tables_that_a_ceiling_holds_are_told(tables: str, sizes: str, memory: str) -> None:
    guest = Linked(f'(module {memory} {tables} (func $g) (func (export "f")))', Ceilings(table=9))
    assert guest.told([COLLECT]) == f"{B}{sizes}{C}"
    assert guest.told(["f"]) == f"{B}{E}"


def test_the_size_of_a_table_is_what_it_has_grown_to() -> None:
    grows = '(func (export "f") (result i32) (table.grow (ref.null func) (i32.const 2)))'
    guest = Linked(f"(module (table 3 funcref) {grows})", Ceilings(table=6))
    assert (guest.call("f"), guest.told([COLLECT])) == (3, f"{B}5{C}")
    assert (guest.call("f"), guest.told([COLLECT])) == (-1, f"{B}5{C}")


def test_a_table_that_no_ceiling_holds_is_left_as_it_is() -> None:
    for table, ceilings in (("3 funcref", None), ("3 9 funcref", Ceilings(table=9))):
        data = bytes(wasmtime.wat2wasm(f'(module (memory (export "memory") 1 1) (table {table}))'))
        assert rewrite(data, ceilings).wasm == data


def test_a_table_that_is_exported_for_that_has_a_name_of_the_host_s() -> None:
    data = bytes(wasmtime.wat2wasm("(module (table 1 1 funcref) (table 1 externref))"))
    guest = rewrite(data, Ceilings()).wasm
    assert read_sections(guest).exports == (("compat_table_1", "table", 1),)
    with pytest.raises(CompanionError, match=r"so it cannot be linked \(export compat_table_1\)"):
        rewrite(guest)


def collected(data: bytes, ceilings: Ceilings | None) -> int | None:
    """Link a module with Extism: the entries that its largest table is told to have; None if Extism refuses it."""
    border = border_of()
    try:
        instance = Instance(link(data, ceilings).manifest, border.exchange)
    except InstantiationError:
        return None
    try:
        border.collect(lambda: instance.call(COLLECT, b""))
    finally:
        instance.free()
    return border.table


def sizes_held(tables: tuple[Limits, ...], most: int) -> list[int]:
    return [table.minimum for table in tables if table.maximum is None or table.maximum > most]


@few_and_many(40, 1_000)
def test_a_random_module_is_linked_as_it_was_and_its_largest_table_told(examples: int) -> None:
    shape = {"gc-enabled": True, "memory64-enabled": True, "min-tables": 1, "max-tables": 4, "max-memories": 0,
             "max-imports": 0, "max-table-elements": 1_000}  # fmt: skip
    told = []
    for _, data in itertools.islice(modules(shape), examples):
        tables = read_sections(data).tables
        most = max([1, *(table.minimum for table in tables)])
        before = collected(data, None)
        assert before in {0, None}
        after = collected(data, Ceilings(table=most))
        assert after == (None if before is None else max(sizes_held(tables, most), default=0))
        told.append(after)
    assert any(told)
