from __future__ import annotations

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from detectors.bounds import InspectionBounds
from detectors.formats import HEADER, ModuleError
from detectors.framing import Place, SectionId
from detectors.sections import Limits, Sections, read_sections
from tests.detectors.encoding import custom, leb, module_of, section


def _read(text: str) -> Sections:
    return read_sections(bytes(wasmtime.wat2wasm(text)))


def test_an_empty_module_has_nothing() -> None:
    assert read_sections(HEADER) == Sections()


def test_imports_of_every_kind_are_read() -> None:
    found = _read("""(module
        (import "a" "f" (func (param i32)))
        (import "a" "t" (table 1 2 funcref))
        (import "a" "t64" (table i64 1 externref))
        (import "a" "m" (memory 1))
        (import "a" "m64" (memory i64 1 70000))
        (import "a" "shared" (memory 1 2 shared))
        (import "a" "g" (global (mut i64)))
        (import "a" "r" (global (ref null func)))
        (import "a" "x" (tag (param i32)))
        (import "b" "last" (func)))""")
    assert [(module, name, kind) for module, name, kind, _ in found.imports] == [
        ("a", "f", "function"),
        ("a", "t", "table"),
        ("a", "t64", "table"),
        ("a", "m", "memory"),
        ("a", "m64", "memory"),
        ("a", "shared", "memory"),
        ("a", "g", "global"),
        ("a", "r", "global"),
        ("a", "x", "tag"),
        ("b", "last", "function"),
    ]
    assert [index is not None for _, _, kind, index in found.imports] == [
        kind == "function" for _, _, kind, _ in found.imports
    ]


def test_exports_of_every_kind_are_read() -> None:
    found = _read("""(module
        (func (export "f")) (table (export "t") 1 funcref) (memory (export "m") 1)
        (global (export "g") i32 (i32.const 0)) (tag (export "x")))""")
    assert found.exports == (
        ("f", "function", 0),
        ("t", "table", 0),
        ("m", "memory", 0),
        ("g", "global", 0),
        ("x", "tag", 0),
    )


VALUE_TYPES = {
    **{name: name for name in ("i32", "i64", "f32", "f64", "v128")},
    **{name: name for name in ("funcref", "externref", "anyref", "eqref", "i31ref", "structref", "arrayref")},
    **{name: name for name in ("exnref", "nullref", "nullfuncref", "nullexternref", "nullexnref")},
    "(ref func)": "(ref func)",
    "(ref null func)": "funcref",
    "(ref none)": "(ref none)",
    "(ref $s)": "(ref 0)",
    "(ref null $s)": "(ref null 0)",
}


def test_value_types_have_the_names_of_the_text_format() -> None:
    found = _read(f"(module (type $s (struct)) (type $f (func (param {' '.join(VALUE_TYPES)}))))")
    assert found.types == (None, (tuple(VALUE_TYPES.values()), ()))


def test_the_long_form_of_a_nullable_reference_reads_like_the_short_one() -> None:
    assert read_sections(HEADER + section(1, b"\x01\x60\x01\x63\x70\x00")).types == ((("funcref",), ()),)


def test_types_that_are_no_functions_keep_their_place() -> None:
    found = _read("""(module
        (rec (type $a (sub (struct (field i8) (field (mut (ref null $b)))))) (type $b (sub $a (struct (field i8)
            (field (mut (ref null $b)))))))
        (type $c (array (mut i16)))
        (rec)
        (type $d (sub final (func (result f32 f64)))))""")
    assert found.types == (None, None, None, ((), ("f32", "f64")))


def test_the_types_of_the_modules_own_functions_are_read() -> None:
    found = _read("(module (type (func)) (type (func (param i32))) (func (type 1)) (func (type 0)) (func (type 1)))")
    assert found.functions == (1, 0, 1)


def test_own_memories_are_read_with_their_limits() -> None:
    found = _read("(module (memory 1) (memory 2 3) (memory 4 5 shared) (memory i64 6) (memory i64 7 8 shared))")
    assert found.memories == (
        Limits(1),
        Limits(2),
        Limits(4, shared=True),
        Limits(6, wide=True),
        Limits(7, shared=True, wide=True),
    )


def test_own_tables_are_read_with_their_limits_and_their_first_value_is_stepped_over() -> None:
    found = _read("""(module (import "a" "g" (global externref)) (func $f)
        (table 1 funcref) (table 2 3 externref) (table i64 4 funcref)
        (table 5 (ref func) (ref.func $f)) (table 6 7 externref (global.get 0)) (table 300 funcref))""")
    assert found.tables == (Limits(1), Limits(2), Limits(4, wide=True), Limits(5), Limits(6), Limits(300))


def test_own_globals_are_read_with_the_value_that_the_module_alone_decides() -> None:
    found = _read("""(module (import "a" "g" (global i32)) (func $f)
        (global i32 (i32.const -1)) (global (mut i64) (i64.const 5)) (global i32 (global.get 1))
        (global i32 (global.get 0)) (global i32 (i32.add (global.get 3) (i32.const 2)))
        (global f64 (f64.const 1)) (global (mut funcref) (ref.func $f)) (global v128 (v128.const i64x2 1 2)))""")
    assert found.globals_ == (
        (2**32 - 1, False),
        (5, True),
        (2**32 - 1, False),
        (None, False),
        (1, False),
        (None, False),
        (None, True),
        (None, False),
    )


def test_a_global_that_refers_to_one_behind_it_runs_off_the_end() -> None:
    with pytest.raises(IndexError):
        read_sections(module_of(section(6, b"\x01\x7f\x00\x23\x00\x0b")))


def test_a_start_section_is_told() -> None:
    assert _read("(module (func) (func $f) (start $f))").start == 1
    assert _read('(module (func (export "_start")))').start is None


def test_the_large_sections_are_told_by_where_they_stand() -> None:
    text = '(module (memory 1) (table 1 funcref) (func $f) (elem (i32.const 0) $f) (data (i32.const 0) "hello"))'
    data = bytes(wasmtime.wat2wasm(text))
    found = read_sections(data)
    assert found.elements is not None
    assert found.data is not None
    assert data[slice(*found.elements)] == b"\x01\x00\x41\x00\x0b\x01\x00"
    assert data[slice(*found.data)] == b"\x01\x00\x41\x00\x0b\x05hello"
    nothing = _read("(module)")
    assert (nothing.elements, nothing.data) == (None, None)


def test_every_custom_section_is_told_with_its_whole_size() -> None:
    customs = [custom(b"name", b"abc"), custom(b".debug_info", bytes(300)), custom(b"name"), custom(b"x" * 500)]
    found = read_sections(module_of(*customs))
    assert found.custom_sizes == (
        ("name", len(customs[0])),
        (".debug_info", len(customs[1])),
        ("name", len(customs[2])),
        ("x" * 120, len(customs[3])),
    )


@pytest.mark.parametrize("body", [b"", b"\x05ab", b"\x02\xff\xff"], ids=["none", "cut", "not text"])
def test_a_custom_section_without_a_readable_name_is_counted_without_one(body: bytes) -> None:
    assert read_sections(module_of(section(0, body))).custom_sizes == (("", 2 + len(body)),)


def test_only_the_wanted_custom_sections_are_kept_and_the_first_of_a_name_counts() -> None:
    data = HEADER + custom(b"keep", b"one") + custom(b"skip", b"x") + custom(b"keep", b"two")
    assert read_sections(data, frozenset({"keep"})).customs == {"keep": b"one"}
    assert read_sections(data).customs == {}


@pytest.mark.parametrize("body", [b"", b"\x05ab", b"\x02\xff\xff"], ids=["none", "cut", "not text"])
def test_a_custom_section_without_a_readable_name_is_none_of_the_wanted(body: bytes) -> None:
    assert read_sections(HEADER + section(0, body), frozenset({"keep"})).customs == {}


@pytest.mark.parametrize(
    ("tail", "missing"),
    [
        (b"\x01", "1 bytes"),
        (b"\x01\x85", "1 bytes"),
        (b"\x0a\x05ab", "3 bytes"),
        (b"\x0a" + leb(2**40), "1,099,511,627,776 bytes"),
    ],
    ids=["identity only", "half a size", "half a body", "huge size"],
)
def test_a_section_that_is_cut_off_is_told_with_what_is_missing(tail: bytes, missing: str) -> None:
    with pytest.raises(ModuleError, match="cut off") as caught:
        read_sections(HEADER + tail)
    assert caught.value.slug == "truncated"
    assert f"needs at least {missing} more" in caught.value.message


def test_an_interface_section_of_any_kind_beyond_the_bound_is_refused() -> None:
    bounds = InspectionBounds(max_section=20)
    for identity in range(1, 9):
        found = read_sections(HEADER + section(identity, bytes(20)), bounds=bounds)
        assert found == Sections(start=0 if identity == SectionId.START else None, places=found.places)
        with pytest.raises(ModuleError, match=r"at offset 10 takes 21 bytes .*; 20 are read") as caught:
            read_sections(HEADER + section(identity, bytes(21)), bounds=bounds)
        assert caught.value.slug == "too-large"


def test_every_section_but_the_custom_ones_is_told_by_where_it_stands() -> None:
    data = module_of(custom(b"x"), section(1, b"\0"), custom(b"y"), section(7, b"\0"), section(13, b"ab"))
    found = read_sections(data)
    assert found.places == (Place(1, 12, 14, 15), Place(7, 19, 21, 22), Place(13, 22, 24, 26))
    assert found.place(SectionId.EXPORT) == Place(SectionId.EXPORT, 19, 21, 22)
    assert found.place(SectionId.START) is None


def test_the_type_of_each_import_is_told_by_where_it_stands() -> None:
    data = bytes(
        wasmtime.wat2wasm("""(module (import "a" "f" (func (param i32))) (import "b" "t" (table 1 2 funcref))
        (import "c" "m" (memory 1)) (import "d" "g" (global (mut i64))) (import "e" "x" (tag (param i32))))""")
    )
    spans = read_sections(data).import_types
    assert [data[start:end] for start, end in spans] == [
        b"\x00\x00",
        b"\x01\x70\x01\x01\x02",
        b"\x02\x00\x01",
        b"\x03\x7e\x01",
        b"\x04\x00\x00",
    ]


def test_code_data_and_elements_have_no_bound() -> None:
    bounds = InspectionBounds(max_section=20)
    found = read_sections(module_of(*(section(identity, bytes(100)) for identity in (9, 10, 11))), bounds=bounds)
    assert [span and span[1] - span[0] for span in (found.elements, found.data)] == [100] * 2


def test_more_sections_than_the_bound_are_refused() -> None:
    bounds = InspectionBounds(max_sections=5)
    assert len(read_sections(HEADER + custom(b"x") * 5, bounds=bounds).custom_sizes) == 5
    with pytest.raises(ModuleError, match="more than 5 sections") as caught:
        read_sections(HEADER + custom(b"x") * 6, bounds=bounds)
    assert caught.value.slug == "too-large"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (section(1, b"\x01\x5d\x00"), "type form 0x5d"),
        (section(1, b"\x01\x60\x01\x50"), "value type 0x50"),
        (section(2, b"\x01\x00\x00\x20\x00"), "kind 0x20"),
        (section(2, b"\x01\x00\x00\x02\x08\x01\x00"), "limits 0x08"),
        (section(3, b"\xff" * 12), "longer than 64 bits"),
        (section(7, b"\x01\x00\x05\x00"), "kind 0x05"),
        (section(4, b"\x01\x50\x00\x01"), "value type 0x50"),
        (section(5, b"\x01\x08\x01"), "limits 0x08"),
        (section(6, b"\x01\x7f\x00\x01\x0b"), "instruction 0x01"),
    ],
)
def test_an_encoding_that_is_not_known_is_never_guessed(body: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_sections(HEADER + body)


def test_a_name_longer_than_its_section_is_an_error() -> None:
    with pytest.raises(IndexError, match="9 bytes announced"):
        read_sections(HEADER + section(7, b"\x01\x09ab\x00\x00"))


def _refused_or_read(data: bytes) -> None:
    """That a module is read as something that lies within it, or refused as declared."""
    try:
        found = read_sections(data, frozenset({"producers"}))
    except (ModuleError, ValueError, IndexError):
        return
    spans = [span for span in (found.elements, found.data) if span is not None]
    assert all(len(HEADER) < start <= end <= len(data) for start, end in spans)
    assert sum(size for _, size in found.custom_sizes) <= len(data) - len(HEADER)
    assert all(body in data for body in found.customs.values())
    entries = (*found.types, *found.imports, *found.functions, *found.memories, *found.globals_, *found.exports)
    assert len(entries) + len(found.tables) <= len(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_in_the_declared_ways(tail: bytes) -> None:
    _refused_or_read(HEADER + tail)


@given(st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=100)), max_size=3))
def test_any_bodies_of_sections_are_read_or_refused(bodies: list[tuple[int, bytes]]) -> None:
    _refused_or_read(module_of(*(section(identity, body) for identity, body in bodies)))
