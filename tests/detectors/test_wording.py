from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.wording import amount, capitalised, counted, listed, neither, shown
from tests.detectors.counting import counted_lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ws_connect", "ws_connect"),
        ("größe", "größe"),
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202eevil", "\\u202eevil"),
        ("x" * 81, "x" * 80 + "…"),
    ],
)
def test_foreign_text_is_shown_on_one_printable_line(text: str, expected: str) -> None:
    assert shown(text) == expected


def _escaped(text: str) -> str:
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def test_every_character_is_shown_as_itself_or_as_an_escape() -> None:
    every = "".join(map(chr, [*range(0x4_0000), *range(0xE_0000, 0xE_1000), 0x10_FFFF]))
    assert "\ud800" in every  # half a character, as in a file name that is no text
    told = shown(every, limit=10 * len(every))
    assert told.isprintable()
    assert told == _escaped(every)


@given(st.text("ab\n\x1b\x9bé…\u202e\U000e0001\ud800"), st.integers(1, 30))
def test_a_text_is_shown_up_to_the_limit_and_what_is_left_out_is_told(text: str, limit: int) -> None:
    told, whole = shown(text, limit=limit), _escaped(text)
    assert told == (whole if len(text) <= limit and len(whole) <= limit else whole[:limit] + "…")


def test_the_usual_limit_is_80_characters() -> None:
    assert (shown("x" * 80), shown("x" * 81)) == ("x" * 80, "x" * 80 + "…")
    assert shown("\x1b" * 80) == "\\x1b" * 20 + "…"


def test_a_text_without_end_is_escaped_no_further_than_it_is_shown() -> None:
    with counted_lines() as lines:
        assert shown("\x1b" * 1_000_000) == "\\x1b" * 20 + "…"
    assert lines() < 1_000


@pytest.mark.parametrize(
    ("names", "and_", "or_", "none"),
    [
        ([], "", "", "no "),
        (["a"], "a", "a", "no a"),
        (["a", "b"], "a and b", "a or b", "neither a nor b"),
        (["a", "b", "c"], "a, b and c", "a, b or c", "none of a, b and c"),
    ],
)
def test_lists_read_as_sentences(names: list[str], and_: str, or_: str, none: str) -> None:
    assert (listed(names), listed(names, "or"), neither(names)) == (and_, or_, none)


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 imports"), (1, "1 import"), (2, "2 imports"), (12_345, "12,345 imports")]
)
def test_things_are_counted_with_their_plural(number: int, text: str) -> None:
    assert counted(number, "import") == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (612, "612 bytes"),
        (1_023, "1,023 bytes"),
        (1_024, "1.0 KiB"),
        (76_698, "74.9 KiB"),
        (3_511_140, "3.3 MiB"),
        (1 << 20, "1.0 MiB"),
        (256 << 20, "256.0 MiB"),
        (4 << 30, "4.0 GiB"),
        (1 << 40, "1.0 TiB"),
        (3 << 50, "3.0 PiB"),
        (1 << 64, "16,384.0 PiB"),
    ],
)
def test_an_amount_has_the_unit_that_people_read(size: int, text: str) -> None:
    assert amount(size) == text


UNITS = {"byte": 0, "bytes": 0, "KiB": 1, "MiB": 2, "GiB": 3, "TiB": 4, "PiB": 5}


@given(st.integers(0, 2**80) | st.sampled_from(range(81)).map(lambda bits: 2**bits - 1))
def test_any_amount_is_what_it_says_in_the_largest_unit_that_fits(size: int) -> None:
    written, unit = amount(size).split(" ")
    number, scale = float(written.replace(",", "")), 1_024 ** UNITS[unit]
    assert number * scale == pytest.approx(size, abs=0.051 * scale)
    assert size >= scale or size == 0
    assert size < 1_024 * scale or unit == "PiB"


@pytest.mark.parametrize(
    ("text", "expected"), [("build it", "Build it"), ("//go:x", "//go:x"), ("", ""), ("WASI Is", "WASI Is")]
)
def test_a_clause_begins_a_sentence(text: str, expected: str) -> None:
    assert capitalised(text) == expected
