from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.wording import listed, neither, shown


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
