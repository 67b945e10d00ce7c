from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.wording import amount, capitalised, counted, listed, neither, shown


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


@given(st.text())
def test_whatever_is_shown_is_printable(text: str) -> None:
    assert shown(text).isprintable()


def test_the_limit_can_be_set() -> None:
    assert shown("abcdef", limit=3) == "abc…"


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


@given(st.integers(0, 2**80))
def test_any_amount_is_a_number_and_a_unit(size: int) -> None:
    number, unit = amount(size).split(" ")
    assert float(number.replace(",", "")) >= min(size, 1)
    assert unit in {"byte", "bytes", "KiB", "MiB", "GiB", "TiB", "PiB"}


@pytest.mark.parametrize(
    ("text", "expected"), [("build it", "Build it"), ("//go:x", "//go:x"), ("", ""), ("WASI Is", "WASI Is")]
)
def test_a_clause_begins_a_sentence(text: str, expected: str) -> None:
    assert capitalised(text) == expected


def test_escapes_do_not_make_a_text_longer_than_its_limit() -> None:
    assert len(shown("\x1b" * 80)) == len(shown("\U000e0001" * 80)) == 81
