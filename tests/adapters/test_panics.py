"""Where a panic begins, and what of a guest's last words stands in an error's text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.panics import begins_panic, excerpt
from adapters.runtime.errors import PluginExitError, PluginTrapError
from detectors.wording import printable

#: What Go writes: the panic first, and then where each function was.
DUMP = "\n\ngoroutine 1 [running]:\n" + "main.f(0x2a)\n\t/src/plugin/main.go:17 +0x2\n" * 40


@pytest.mark.parametrize(
    "line",
    [
        "panic: runtime error: index out of range [3] with length 3",
        "fatal error: all goroutines are asleep - deadlock!",
        "thread 'main' panicked at src/lib.rs:3:5:",
        "thread '<unnamed>' (1) panicked at src/lib.rs:3:5:",
        "thread 1 panic: index out of bounds",
    ],
)
def test_the_first_line_of_a_panic_is_known(line: str) -> None:
    assert begins_panic(line)
    assert not begins_panic(f"we had a {line}")
    assert excerpt(printable(f"old line\n{line}{DUMP}")).startswith(line)


@pytest.mark.parametrize("line", ["panicked", "a panic: no", "fatal errors: 3", "thread pool has 3 workers", ""])
def test_other_lines_are_none(line: str) -> None:
    assert not begins_panic(line)


def test_what_is_short_stands_whole_although_a_panic_is_in_it() -> None:
    said = "reading\\npanic: no price\\n" + "x" * (300 - 26)
    assert len(said) == 300
    assert excerpt(said) == said


def test_without_a_panic_it_is_the_end() -> None:
    assert excerpt("a" * 500 + "b" * 300) == "..." + "b" * 300


def test_the_last_panic_counts_and_one_that_is_told_within_it_does_not_begin_another() -> None:
    first, second = "panic: one" + DUMP, "panic: two [recovered]\n\tpanic: three" + DUMP
    shown = excerpt(printable(first + second))
    assert shown.startswith("panic: two [recovered]\\n\\tpanic: three\\n\\ngoroutine 1")
    assert shown.endswith("...")


def test_a_short_panic_after_much_else_is_shown_to_its_end() -> None:
    assert excerpt("x" * 1_000 + "\\npanic: no price\\nexit status 2") == "panic: no price\\nexit status 2"


@given(st.text(max_size=2_000) | st.text("panic: \n", min_size=300, max_size=2_000))
def test_an_excerpt_is_part_of_what_was_said_and_short(said: str) -> None:
    shown = excerpt(said)
    assert len(shown) <= 300 + 3
    assert shown.removeprefix("...") in said or shown.removesuffix("...") in said


def test_an_errors_text_has_the_excerpt_and_its_attribute_all() -> None:
    said = printable("x" * 1_000 + "\npanic: no price" + DUMP)
    for error in (PluginTrapError("p", "e", "", said=said), PluginExitError("p", "e", 2, said=said)):
        assert "; it said: panic: no price\\n\\ngoroutine 1 [running]" in error.message
        assert error.said == said
