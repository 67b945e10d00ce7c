from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.binary import Reader, Word
from detectors.bounds import USUAL
from detectors.formats import ModuleError
from tests.detectors.encoding import leb, padded, padded_with, signed_leb

I32, I64 = 0x41, 0x42
WIDTHS = {I32: 32, I64: 64}


def _pushes(instruction: int, value: int) -> bytes:
    return bytes([instruction]) + signed_leb(value)


def _evaluated(expression: bytes, *globals_: Word) -> Word:
    """The value of an expression; its end and nothing more must have been read."""
    reader = Reader(expression + b"\x0b\xff")
    found = reader.constant(globals_)
    assert reader.at == len(expression) + 1
    return found


@given(st.integers(0, 2**64 - 1), st.integers(0, 10))
def test_an_unsigned_number_is_read_in_its_shortest_form_and_in_longer_ones(value: int, size: int) -> None:
    written = padded_with(leb(value), size, 0)
    reader = Reader(b"\xff" + written + b"\xff", 1)
    assert (reader.number(), reader.at) == (value, 1 + len(written))


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 10))
def test_a_signed_number_is_read_in_its_shortest_form_and_in_longer_ones(value: int, size: int) -> None:
    written = padded(signed_leb(value), size)
    reader = Reader(b"\xff" + written + b"\xff", 1)
    assert (reader.signed(), reader.at) == (value, 1 + len(written))


@pytest.mark.parametrize("size", [10, 11, 100_000])
def test_a_number_of_more_than_ten_bytes_is_refused_at_once(size: int) -> None:
    for read in (Reader.number, Reader.signed):
        reader = Reader(b"\x80" * size + b"\0")
        with pytest.raises(ValueError, match="longer than 64 bits"):
            read(reader)
        assert reader.at == 10


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff\xff"])
def test_a_number_that_is_cut_off_runs_off_the_end(data: bytes) -> None:
    for read in (Reader.number, Reader.signed):
        with pytest.raises(IndexError):
            read(Reader(data))


def test_bytes_and_names_are_taken_one_behind_the_other() -> None:
    reader = Reader(b"\x07\x03abc\x06gr\xc3\xb6\xc3\x9f\xff")
    assert (reader.byte(), reader.name(), reader.name(), reader.take(0), reader.take(1)) == (
        7,
        "abc",
        "größ",
        b"",
        b"\xff",
    )
    with pytest.raises(IndexError):
        reader.byte()


def test_more_bytes_than_there_are_cannot_be_taken() -> None:
    with pytest.raises(IndexError, match="5 bytes announced at offset 1, 3 left"):
        Reader(b"\x05abc").name()
    with pytest.raises(IndexError, match=f"{2**70} bytes announced"):
        Reader(b"abc").take(2**70)


def test_a_name_that_is_no_text_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="utf-8"):
        Reader(b"\x02\xff\xff").name()


SHORT = {
    **dict(zip(range(0x7F, 0x7A, -1), ("i32", "i64", "f32", "f64", "v128"), strict=True)),
    0x78: "i8",
    0x77: "i16",
    0x74: "nullexnref",
    0x73: "nullfuncref",
    0x72: "nullexternref",
    0x71: "nullref",
    0x70: "funcref",
    0x6F: "externref",
    0x6E: "anyref",
    0x6D: "eqref",
    0x6C: "i31ref",
    0x6B: "structref",
    0x6A: "arrayref",
    0x69: "exnref",
}


def test_every_value_type_of_one_byte_is_known_and_no_other() -> None:
    known = {}
    for code in set(range(256)) - {0x63, 0x64}:  # which begin a longer one
        reader = Reader(bytes([code, 0xFF]))
        try:
            known[code] = reader.value_type()
        except ValueError as error:
            assert f"value type 0x{code:02x}" in str(error)  # noqa: PT017 - of each code that is not known
        assert reader.at == 1
    assert known == SHORT
    references = {code: name for code, name in SHORT.items() if code <= 0x74}
    assert {code: Reader(bytes([0x63, code])).value_type() for code in references} == references


@pytest.mark.parametrize(
    ("written", "name"),
    [
        (b"\x64\x70", "(ref func)"),
        (b"\x64\x71", "(ref none)"),
        (b"\x64\x00", "(ref 0)"),
        (b"\x63\x05", "(ref null 5)"),
        (b"\x64\xc0\x00", "(ref 64)"),
        (b"\x63\x80\x08", "(ref null 1024)"),
    ],
)
def test_a_value_type_that_names_what_it_refers_to(written: bytes, name: str) -> None:
    reader = Reader(written + b"\xff")
    assert (reader.value_type(), reader.at) == (name, len(written))


def test_a_list_of_value_types() -> None:
    reader = Reader(b"\x03\x7f\x64\x70\x7e\xff")
    assert (reader.value_types(), reader.at) == (("i32", "(ref func)", "i64"), 5)
    assert Reader(b"\0").value_types() == ()


def test_a_value_type_that_is_cut_off_runs_off_the_end() -> None:
    with pytest.raises(IndexError):
        Reader(b"\x63").value_type()


@given(st.sampled_from([I32, I64]), st.data())
def test_a_constant_is_the_number_without_its_sign(instruction: int, data: st.DataObject) -> None:
    bits = WIDTHS[instruction]
    value = data.draw(st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
    assert _evaluated(_pushes(instruction, value)) == value % 2**bits


@given(st.sampled_from([I32, I64]), st.sampled_from("+-*"), st.data())
def test_arithmetic_wraps_around(instruction: int, operation: str, data: st.DataObject) -> None:
    bits = WIDTHS[instruction]
    numbers = st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    left, right = data.draw(numbers), data.draw(numbers)
    code = {"+": 0, "-": 1, "*": 2}[operation] + (0x6A if instruction == I32 else 0x7C)
    expected = {"+": left + right, "-": left - right, "*": left * right}[operation] % 2**bits
    assert _evaluated(_pushes(instruction, left) + _pushes(instruction, right) + bytes([code])) == expected


def test_arithmetic_nests() -> None:
    inner = _pushes(I32, 3) + _pushes(I32, 4) + b"\x6c"  # 3 * 4
    assert _evaluated(_pushes(I32, 100) + inner + b"\x6b") == 88


def test_a_global_stands_for_its_value() -> None:
    assert _evaluated(b"\x23\x01", None, 7) == 7
    assert _evaluated(b"\x23\x01" + _pushes(I32, 1) + b"\x6a", None, 7) == 8
    with pytest.raises(IndexError):
        _evaluated(b"\x23\x02", None, 7)


@pytest.mark.parametrize("order", ["known first", "unknown first"])
def test_what_is_computed_from_an_unknown_global_is_unknown(order: str) -> None:
    known, unknown = _pushes(I32, 1), b"\x23\x00"
    operands = known + unknown if order == "known first" else unknown + known
    assert _evaluated(operands + b"\x6a", None) is None


@pytest.mark.parametrize(
    "expression",
    [
        b"\x43\x0b\x0b\x0b\x0b",
        b"\x44" + b"\x0b" * 8,
        b"\xfd\x0c" + b"\x0b" * 16,
        b"\xd0\x70",
        b"\xd0\xc0\x00",
        b"\xd2\x8b\x0b",
        b"\xfb\x01\x0b",
        b"\xfb\x00\x0b",
        b"\x41\x01\xfb\x06\x0b",
        b"\x41\x01\xfb\x07\x0b",
        b"\x41\x01\x41\x02\xfb\x08\x0b\x02",
        b"\xd0\x6f\xfb\x1a",
        b"\xd0\x6e\xfb\x1b",
        b"\x41\x07\xfb\x1c",
        b"\x41\x07\xfb\x9c\x00",
    ],
    ids=[
        "f32.const",
        "f64.const",
        "v128.const",
        "ref.null func",
        "ref.null 64",
        "ref.func",
        "struct.new_default",
        "struct.new",
        "array.new",
        "array.new_default",
        "array.new_fixed",
        "any.convert_extern",
        "extern.convert_any",
        "ref.i31",
        "ref.i31 written longer",
    ],
)
def test_what_is_no_number_is_stepped_over_and_unknown(expression: bytes) -> None:
    assert _evaluated(expression) is None


@pytest.mark.parametrize(
    ("expression", "message"),
    [(b"\x01", "instruction 0x01"), (b"\x6d", "instruction 0x6d"), (b"\xfb\x02\x00", "instruction 0xfb 2")],
)
def test_an_unknown_instruction_is_refused(expression: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Reader(expression + b"\x0b").constant(())


@pytest.mark.parametrize("expression", [b"\x0b", b"\x6a\x0b", b"\x41\x01\x6a\x0b", b"\x41\x01", b"\x43\0\0", b""])
def test_an_expression_that_is_cut_off_or_lacks_an_operand_runs_off_the_end(expression: bytes) -> None:
    with pytest.raises(IndexError):
        Reader(expression).constant(())


def test_instructions_are_bounded_over_all_that_one_reader_evaluates() -> None:
    five = b"\x41\x01" * 5 + b"\x0b"
    reader = Reader(five * 3, max_instructions=10)
    assert [reader.constant(()), reader.constant(())] == [1, 1]
    with pytest.raises(ModuleError, match="more than 10 instructions") as caught:
        reader.constant(())
    assert caught.value.slug == "too-large"
    assert reader.at == len(five) * 2 + 1  # it does not go on to see how many more there are


@pytest.mark.nightly
def test_instructions_have_the_usual_bound_unless_another_is_given() -> None:
    most = USUAL.max_instructions
    assert Reader(b"\x41\x01" * most + b"\x0b").constant(()) == 1
    with pytest.raises(ModuleError, match="more than 500,000 instructions"):
        Reader(b"\x41\x01" * (most + 1) + b"\x0b").constant(())


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_in_the_declared_ways_whatever_follows(data: bytes) -> None:
    for read in (Reader.number, Reader.signed, Reader.name, Reader.value_types, lambda r: r.constant((None, 1))):
        reader, longer = Reader(data), Reader(data + b"\xff" * 20)
        try:
            value = read(reader)
        except (ValueError, IndexError):
            continue
        assert (read(longer), longer.at) == (value, reader.at)
        assert 0 < reader.at <= len(data)
