from __future__ import annotations

import pytest
import wasmtime

from detectors.bounds import InspectionBounds
from detectors.formats import ModuleError
from detectors.sections import read_sections
from detectors.segments import Misplaced, misplaced
from tests.detectors.counting import CountedBytes
from tests.detectors.encoding import leb, module_of, padded, padded_with, section, signed_leb

ENGINE = wasmtime.Engine()
PAGE = 65_536
ONE_PAGE = section(5, b"\x01\x00\x01")


def _of(data: bytes) -> tuple[Misplaced, ...]:
    """What is misplaced in a module that is valid."""
    wasmtime.Module.validate(ENGINE, data)
    return misplaced(data, read_sections(data))


def _wat(text: str) -> tuple[Misplaced, ...]:
    return _of(bytes(wasmtime.wat2wasm(f"(module {text})")))


@pytest.mark.parametrize(
    ("memory", "offset", "fitting", "beyond"),
    [
        ("(memory 1)", "(i32.const 65530)", 6, 7),
        ("(memory 1 9)", "(i32.const 65530)", 6, 7),
        ("(memory i64 1)", "(i64.const 65530)", 6, 7),
        ("(memory 70)", "(i32.const 4587519)", 1, 2),
        ("(memory 300)", "(i32.const 19660790)", 10, 11),
        ("(global i32 (i32.const 65530)) (memory 1)", "(global.get 0)", 6, 7),
        ("(global i64 (i64.const 65530)) (memory i64 1)", "(global.get 0)", 6, 7),
        ("(global (mut i32) (i32.const 1)) (memory 1)", "(i32.const 65530)", 6, 7),
        (
            "(global i32 (i32.const 65000)) (global i32 (i32.add (global.get 0) (i32.const 530))) (memory 1)",
            "(global.get 1)",
            6,
            7,
        ),
        ("(memory 1)", "(i32.sub (i32.mul (i32.const 2) (i32.const 32766)) (i32.const 2))", 6, 7),
        ("(memory 1)", "(i32.add (i32.const -1) (i32.const 65531))", 6, 7),
        ("(memory i64 1)", "(i64.sub (i64.mul (i64.const -1) (i64.const -65532)) (i64.const 2))", 6, 7),
        ("(memory 0)", "(i32.const 0)", 0, 1),
    ],
)
def test_a_data_segment_just_inside_and_just_outside(memory: str, offset: str, fitting: int, beyond: int) -> None:
    assert _wat(f'{memory} (data {offset} "{"x" * fitting}")') == ()
    (found,) = _wat(f'{memory} (data {offset} "{"x" * beyond}")')
    assert (found.what, found.index, found.size) == ("data", 0, beyond)
    assert found.offset + found.size == found.capacity + 1
    assert found.capacity % PAGE == 0


@pytest.mark.parametrize(
    ("table", "offset", "fitting", "beyond"),
    [
        ("(table 10 funcref)", "(i32.const 7)", 3, 4),
        ("(table 10 20 funcref)", "(i32.const 7)", 3, 4),
        ("(table i64 10 funcref)", "(i64.const 7)", 3, 4),
        ("(table 10 (ref null func) (ref.func $f))", "(i32.const 7)", 3, 4),
        ("(global i32 (i32.const 7)) (table 10 funcref)", "(global.get 0)", 3, 4),
        ("(table 10 funcref)", "(i32.mul (i32.const 7) (i32.const 1))", 3, 4),
        ("(table 0 funcref)", "(i32.const 0)", 0, 1),
    ],
)
def test_an_element_segment_just_inside_and_just_outside(table: str, offset: str, fitting: int, beyond: int) -> None:
    assert _wat(f"(func $f) {table} (elem {offset} func {'$f ' * fitting})") == ()
    (found,) = _wat(f"(func $f) {table} (elem {offset} func {'$f ' * beyond})")
    assert (found.what, found.index, found.size) == ("element", 0, beyond)
    assert found.offset + found.size == found.capacity + 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('(memory 1) (data (i32.const 65536) "")', ()),
        ('(memory 1) (data (i32.const 65537) "")', (Misplaced("data", 0, 65537, 0, PAGE),)),
        ('(memory 0) (data (i32.const 0) "")', ()),
        ("(table 3 funcref) (elem (i32.const 3) func)", ()),
        ("(table 3 funcref) (elem (i32.const 4) func)", (Misplaced("element", 0, 4, 0, 3),)),
    ],
)
def test_an_empty_segment_may_stand_at_the_end_and_not_beyond(text: str, expected: tuple[Misplaced, ...]) -> None:
    assert _wat(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('(memory 1) (data (i32.const -1) "")', Misplaced("data", 0, 2**32 - 1, 0, PAGE)),
        ('(memory 1) (data (i32.const -8) "four")', Misplaced("data", 0, 2**32 - 8, 4, PAGE)),
        ('(memory 1) (data (i32.sub (i32.const 0) (i32.const 1)) "a")', Misplaced("data", 0, 2**32 - 1, 1, PAGE)),
        ('(memory i64 1) (data (i64.const -1) "a")', Misplaced("data", 0, 2**64 - 1, 1, PAGE)),
        ("(table 1 funcref) (elem (i32.const -1) func)", Misplaced("element", 0, 2**32 - 1, 0, 1)),
    ],
)
def test_a_negative_offset_is_a_large_one(text: str, expected: Misplaced) -> None:
    assert _wat(text) == (expected,)


def test_the_last_page_of_four_gibibytes_can_be_filled() -> None:
    assert _wat('(memory 65536) (data (i32.const -1) "a")') == ()
    assert _wat('(memory 65536) (data (i32.const -1) "ab")') == (Misplaced("data", 0, 2**32 - 1, 2, 2**32),)


def test_each_segment_is_measured_against_its_own_memory_or_table() -> None:
    memories = "(memory 1) (memory 2) (memory i64 3)"
    assert _wat(f'{memories} (data (memory 1) (i32.const 65537) "a") (data (memory 2) (i64.const 131073) "a")') == ()
    assert _wat(f'{memories} (data (memory 1) (i32.const 65537) "a") (data (i32.const 65537) "a")') == (
        Misplaced("data", 1, 65537, 1, PAGE),
    )
    tables = "(func $f) (table 1 funcref) (table 2 funcref)"
    assert _wat(f"{tables} (elem (table 1) (i32.const 1) func $f)") == ()
    assert _wat(f"{tables} (elem (table 0) (i32.const 1) func $f)") == (Misplaced("element", 0, 1, 1, 1),)


def test_the_first_data_and_the_first_element_segment_that_do_not_fit_are_told() -> None:
    assert _wat("""(func $f) (table 2 funcref) (memory 1)
        (elem (i32.const 0) func $f $f) (elem (i32.const 1) func $f $f) (elem (i32.const 9) func $f)
        (data (i32.const 0) "a") (data "passive") (data (i32.const 70000) "bc") (data (i32.const 80000) "d")""") == (
        Misplaced("element", 1, 1, 2, 2),
        Misplaced("data", 2, 70000, 2, PAGE),
    )


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_passive_and_indexed_data_segments_in_every_length_of_their_numbers(size: int) -> None:
    def flags(value: int) -> bytes:
        return padded_with(leb(value), size, 0)

    passive = flags(1) + flags(3) + b"abc"
    plain = flags(0) + b"\x41" + padded(signed_leb(65_533), size) + b"\x0b" + flags(3) + b"abc"
    indexed = flags(2) + flags(0) + b"\x41" + padded(signed_leb(65_534), size) + b"\x0b" + flags(3) + b"abc"
    assert _of(module_of(ONE_PAGE, section(11, flags(2) + passive + plain))) == ()
    assert _of(module_of(ONE_PAGE, section(11, flags(3) + passive + plain + indexed))) == (
        Misplaced("data", 2, 65_534, 3, PAGE),
    )


# The eight forms of an element segment: what stands between the flags and the items, and whether these are expressions.
FORMS = {
    0: (b"\x41\x09\x0b", False),
    1: (b"\x00", False),
    2: (b"\x00\x41\x09\x0b\x00", False),
    3: (b"\x00", False),
    4: (b"\x41\x09\x0b", True),
    5: (b"\x70", True),
    6: (b"\x00\x41\x09\x0b\x70", True),
    7: (b"\x64\x70", True),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_element_segment_is_stepped_over_to_the_next(form: int) -> None:
    between, expressions = FORMS[form]
    item = b"\xd2\x00\x0b" if expressions else b"\x80\x00"
    last = b"\x00\x41\x02\x0b\x01\x00"  # one item at 2, which is beyond a table of 2
    before = section(1, b"\x01\x60\0\0") + section(3, b"\x01\0")
    behind = section(10, b"\x01\x02\x00\x0b")
    is_active = form in {0, 2, 4, 6}
    for items in (0, 1, 2, 255, 256, 600):
        elements = section(9, b"\x02" + bytes([form]) + between + leb(items) + item * items + last)
        small = module_of(before, section(4, b"\x01\x70\x00\x02"), elements, behind)
        large = module_of(before, section(4, b"\x01\x70\x00" + leb(9 + items)), elements, behind)
        found = Misplaced("element", 0, 9, items, 2) if is_active else Misplaced("element", 1, 2, 1, 2)
        assert _of(small) == (found,)
        assert _of(large) == ()


def test_an_element_expression_may_be_any_constant() -> None:
    assert _wat("""(func $f) (type $s (struct (field i32))) (global $g funcref (ref.func $f))
        (table 1 funcref) (table 2 anyref)
        (elem (table 0) (i32.const 0) funcref (global.get $g))
        (elem (table 1) (i32.const 0) anyref
            (ref.i31 (i32.const 5)) (struct.new $s (i32.add (i32.const 1) (i32.const 2))))
        (elem (table 0) (i32.const 1) funcref (ref.null func))""") == (Misplaced("element", 2, 1, 1, 1),)


@pytest.mark.parametrize(
    "imported", ["(memory 1)", "(table 1 funcref)", "(global i32)"], ids=["memory", "table", "global"]
)
def test_a_module_that_imports_a_memory_a_table_or_a_global_is_not_looked_at(imported: str) -> None:
    own = '(memory 1) (table 1 funcref) (data (i32.const -1) "a") (elem (i32.const 2) func)'
    assert len(_wat(own)) == 2
    assert _wat(f'(import "a" "b" {imported}) {own}') == ()
    assert len(_wat(f'(import "a" "b" (func)) {own}')) == 2


def test_without_segments_nothing_is_misplaced() -> None:
    assert _wat("(memory 0) (table 0 funcref)") == ()
    assert _wat('(memory 1) (data (i32.const 65530) "123456")') == ()


def test_an_encoding_that_is_not_known_is_never_guessed() -> None:
    for body, message in ((b"\x01\x00\x01\x0b\x00", "instruction 0x01"), (leb(100_001), "100,001 segments")):
        data = module_of(section(5, b"\x01\x04\x01"), section(11, body))
        with pytest.raises(ValueError, match=message):
            misplaced(data, read_sections(data))


FITS: tuple[Misplaced, ...] = ()
LARGE_MEMORY = section(5, b"\x01\x00" + leb(100))  # of 6,553,600 bytes
FEW = 2_000  # bytes
LOOKED_AT = 1_000 * 64 + FEW  # the suspects of the quick search, of each of which a header is read
# What to read, what is to be found or said, and the most bytes that may be taken out of it one by one: None for each
# byte once. A search for a pattern does not count. Each takes so much that its square would never be done.
HOSTILE: dict[str, tuple[bytes, tuple[Misplaced, ...] | str, int | None]] = {
    "100,000 segments": (section(11, leb(100_000) + b"\0\x41\0\x0b\0" * 100_000), FITS, None),
    "100,000 segments, the last of which does not fit": (
        section(11, leb(100_000) + b"\0\x41\0\x0b\0" * 99_999 + b"\0\x41\x7f\x0b\0"),
        (Misplaced("data", 99_999, 2**32 - 1, 0, 100 * PAGE),),
        None,
    ),
    "100,000 segments announced": (section(11, leb(100_000) + b"\0\x41\x7f"), "out of range", FEW),
    "more segments announced than there may be": (
        section(11, leb(2**63) + b"\0\x41\x7f\x0b\0"),
        "9,223,372,036,854,775,808 segments",
        FEW,
    ),
    "a run of beginnings": (section(11, b"\x01\0\x41\0\x0b" + leb(2_000_000) + b"\0\x41" * 1_000_000), FITS, FEW),
    "a run of headers": (
        section(11, b"\x01\0\x41\0\x0b" + leb(5_000_000) + b"\0\x41\0\x0b\0" * 1_000_000),
        FITS,
        LOOKED_AT,
    ),
    "a run of no headers": (
        section(11, b"\x01\0\x41\0\x0b" + leb(5_000_000) + b"\0\x41\x7f\x01\x0b" * 1_000_000),
        FITS,
        LOOKED_AT,
    ),
    "300,000 null references": (
        section(9, b"\x02" + (b"\x05\x70" + leb(300_000) + b"\xd0\x70\x0b" * 300_000) * 2),
        FITS,
        FEW,
    ),
    "300,000 functions in five bytes each": (
        section(9, b"\x02" + (b"\x01\0" + leb(300_000) + b"\x80\x80\x80\x80\0" * 300_000) * 2),
        FITS,
        FEW,
    ),
    "300,000 numbers as references": (
        section(9, b"\x02" + (b"\x05\x6c" + leb(300_000) + b"\x41\0\xfb\x1c\x0b" * 300_000) * 2),
        "more than 100,000 elements of an unusual form",
        FEW,
    ),
    "more elements announced than there are": (
        section(9, b"\x02\x01\0" + leb(2**62) + b"\0" * 1_000),
        "more than 100,000 elements of an unusual form",
        FEW,
    ),
    "a deep expression": (section(11, b"\x01\0" + b"\x41\0" * 50_000 + b"\x6a" * 49_999 + b"\x0b\0"), FITS, None),
    "a long expression": (section(11, b"\x01\0\x41\x01" + b"\x41\x7f\x6c" * 50_000 + b"\x0b\0"), FITS, None),
    "an expression without an end": (section(11, b"\x01\0" + b"\x41\0" * 50_000), "out of range", None),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_segments_are_read_or_refused_for_bounded_work(name: str) -> None:
    written, expected, most = HOSTILE[name]
    data = CountedBytes(module_of(LARGE_MEMORY, written))
    sections = read_sections(data)
    data.taken = 0
    found: tuple[Misplaced, ...] | str
    try:
        found = misplaced(data, sections)
    except (ModuleError, ValueError, IndexError) as error:
        found = str(error)
    if isinstance(expected, str):
        assert expected in str(found)
    else:
        assert found == expected
    assert data.taken <= (LOOKED_AT + len(data) if most is None else most)


@pytest.mark.parametrize(
    ("written", "instructions"),
    [
        (section(11, b"\x02" + b"\0\x41\x01\x41\x02\x6a\x0b\0" * 2), 6),
        (section(9, b"\x02" + b"\0\x41\x01\x41\x02\x6a\x0b\0" * 2), 6),
        (section(9, b"\x02\x04\x41\x01\x0b\x02\xd2\0\x0b\xd0\x70\x0b\0\x41\0\x0b\0"), 4),
    ],
    ids=["data", "elements", "elements that are expressions"],
)
def test_the_instructions_of_all_segments_of_a_section_have_one_bound(written: bytes, instructions: int) -> None:
    two_memories = section(5, b"\x02\0\x01\0\x01")  # about which the quick search knows nothing
    data = module_of(section(4, b"\x01\x70\0\x09"), two_memories, written)
    sections = read_sections(data)
    assert misplaced(data, sections, InspectionBounds(max_instructions=instructions)) == ()
    with pytest.raises(ModuleError, match=f"more than {instructions - 1} instructions"):
        misplaced(data, sections, InspectionBounds(max_instructions=instructions - 1))
