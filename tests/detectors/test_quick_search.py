"""Data segments that do not fit are found however they are written, and the quick search never overlooks one."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import wasmtime
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors import segments
from detectors.sections import read_sections
from detectors.segments import Misplaced, misplaced
from tests.detectors.counting import CountedBytes
from tests.detectors.encoding import leb, module_of, padded, padded_with, section, signed_leb
from tests.detectors.examples import few_and_many

ENGINE = wasmtime.Engine()
PAGE = 65_536
ONE_PAGE = section(5, b"\x01\x00\x01")


def _of(data: bytes) -> tuple[Misplaced, ...]:
    """What is misplaced in a module that is valid."""
    wasmtime.Module.validate(ENGINE, data)
    return misplaced(data, read_sections(data))


def _surely_fits(data: bytes) -> bool:
    found = read_sections(data)
    assert found.data is not None
    return segments._surely_fits(data, found.data, found)


class _Segment(NamedTuple):
    """A data segment as it is to be written: each number with its length in bytes."""

    flags: int
    offset: int
    contents: bytes
    flags_size: int
    offset_size: int
    length_size: int
    form: str


def _written(segment: _Segment) -> bytes:
    flags = padded_with(leb(segment.flags), segment.flags_size, 0)
    length = padded_with(leb(len(segment.contents)), segment.length_size, 0)
    if segment.flags == 1:
        return flags + length + segment.contents
    memory = padded_with(b"\0", segment.flags_size, 0) if segment.flags == 2 else b""
    offset = _constant(segment.offset, segment.offset_size)
    if segment.form == "sum":
        offset = _constant(segment.offset - 77, segment.offset_size) + _constant(77, 1) + b"\x6a"
    return flags + memory + offset + b"\x0b" + length + segment.contents


def _constant(value: int, size: int) -> bytes:
    signed = (value + 2**31) % 2**32 - 2**31
    return b"\x41" + padded(signed_leb(signed), size)


def _expected(written: list[_Segment], capacity: int) -> tuple[Misplaced, ...]:
    """The naive model: the first active segment whose end lies beyond the memory."""
    for index, segment in enumerate(written):
        offset, size = segment.offset % 2**32, len(segment.contents)
        if segment.flags != 1 and offset + size > capacity:
            return (Misplaced("data", index, offset, size, capacity),)
    return ()


# Contents that may be taken for the beginning of a segment.
_CONTENTS = st.one_of(
    st.binary(max_size=12),
    st.integers(0, 6).map(lambda times: b"\0\x41" * times),
    st.integers(0, 2**21).map(lambda offset: b"\0" + _constant(offset, 1) + b"\x0b\x05"),
    st.sampled_from([0, 127, 128, 16_383, 16_384, 16_385, 20_000]).map(bytes),
)


# Just below, at and above each length of an offset and each bound that the quick search has in its pattern.
_PAGES = [0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 2_047, 2_048, 65_535, 65_536]


@st.composite
def _modules(draw: st.DrawFn) -> tuple[int, list[_Segment]]:
    pages = draw(st.sampled_from(_PAGES))
    capacity = pages * PAGE
    written = []
    for _ in range(draw(st.integers(1, 6))):
        contents = draw(_CONTENTS)
        near_end = st.integers(-20_000, 3).map(lambda by, c=contents: capacity - len(c) + by)  # type: ignore[misc]
        offset = draw(st.one_of(st.integers(0, max(capacity - len(contents), 0)), near_end, st.integers(-3, 3)))
        written.append(
            _Segment(
                draw(st.sampled_from([0, 0, 0, 1, 2])),
                offset,
                contents,
                draw(st.integers(1, 5)),
                draw(st.integers(1, 5)),
                draw(st.integers(1, 5)),
                draw(st.sampled_from(["constant", "constant", "constant", "sum"])),
            )
        )
    return pages, written


@few_and_many(60, 2_000)
def test_whatever_does_not_fit_is_found_in_every_way_of_writing_it(examples: int) -> None:
    @settings(max_examples=examples)
    @given(_modules())
    @example((16, [_Segment(0, 16 * PAGE - 1, b"ab", 1, 3, 1, "constant")]))
    @example((16, [_Segment(0, 16 * PAGE - 16_384, bytes(16_385), 1, 4, 3, "constant")]))
    @example((128, [_Segment(0, 128 * PAGE - 16_384, bytes(16_385), 1, 4, 3, "constant")]))
    @example((16, [_Segment(0, 16 * PAGE - 19_999, bytes(20_000), 1, 4, 3, "constant")]))
    @example((17, [_Segment(0, 16 * PAGE - 1, bytes(PAGE + 2), 1, 3, 3, "constant")]))
    @example((65_535, [_Segment(0, -3, b"a", 1, 4, 1, "constant")]))
    @example((65_536, [_Segment(0, 2**32 - 1, b"ab", 1, 5, 1, "constant")]))
    def is_found(case: tuple[int, list[_Segment]]) -> None:
        pages, written = case
        body = leb(len(written)) + b"".join(_written(segment) for segment in written)
        data = module_of(section(5, b"\x01\x00" + leb(pages)), section(11, body))
        expected = _expected(written, pages * PAGE)
        assert _of(data) == expected
        assert not (expected and _surely_fits(data))

    is_found()


def test_the_quick_search_alone_decides_of_a_usual_module() -> None:
    usual = b"".join(_written(_Segment(0, PAGE + 64 * n, b"\x07" * 60, 1, 1, 1, "constant")) for n in range(30_000))
    data = CountedBytes(module_of(section(5, b"\x01\x00\x40"), section(11, leb(30_000) + usual)))
    assert _surely_fits(data)
    sections, data.taken = read_sections(data), 0
    assert misplaced(data, sections) == ()
    assert data.taken < 1_000  # while its segments have 200,000 bytes beside their contents


@pytest.mark.parametrize(
    "text",
    [
        '(memory 1) (memory 1) (data (i32.const 0) "a")',
        '(memory i64 1) (data (i64.const 0) "a")',
        '(global i32 (i32.const 0)) (memory 1) (data (global.get 0) "a")',
        '(memory 1) (data (i32.const 65535) "ab")',
    ],
    ids=["two memories", "64 bits", "a global to take the offset from", "one that does not fit"],
)
def test_the_quick_search_says_no_where_it_cannot_know(text: str) -> None:
    assert not _surely_fits(bytes(wasmtime.wat2wasm(f"(module {text})")))


def test_the_quick_search_looks_at_what_happens_to_look_like_a_segment() -> None:
    lookalike = b"\0\x41\xff\xff\xff\xff\x07\x0b\x01"  # as if it were one at 2 GiB
    harmless = b"\0\x41\x01\x02"
    for contents, expected in ((lookalike, False), (harmless, True)):
        written = _written(_Segment(0, 0, contents, 1, 1, 1, "constant"))
        data = module_of(ONE_PAGE, section(11, b"\x01" + written))
        assert _surely_fits(data) is expected
        assert _of(data) == ()
