"""The ledger of the benchmarks: what it passes, and that nothing else passes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.ledger import Ledger
from compat import EventKind, StreamEvent

STALE = "the guest is replaced in 0.0 s: plugin 'p' used a block of Extism's memory again, after so much else"


def told(kind: EventKind, place: int, message: str = "") -> StreamEvent:
    return StreamEvent(kind, 0, place, message)


def ledger(numbers: Sequence[int | None], *events: StreamEvent, first: int = 0, comes_back: bool = False) -> Ledger:
    """The ledger of a stream that delivered these messages, and told of these events in the end."""
    made = Ledger(first, comes_back=comes_back)
    for place, number in enumerate(numbers):
        made.note_item(place, number)
    for event in events:
        made.note_event(event)
    return made


def test_each_message_once_and_in_order_is_no_problem() -> None:
    assert ledger(range(5)).problems == []
    assert ledger([-1, 0, 1], first=-1).problems == []


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ([1, 2], "item 0 is message 1 instead of 0, and no gap was told"),
        ([0, 1, 3, 4], "item 2 is message 3 instead of 2, and no gap was told"),
        ([0, 1, 1, 2], "item 2 is message 1 instead of 2: it came before"),
        ([0, 2, 1, 3], "item 2 is message 1 instead of 3: it came before"),
        ([0, None, 2], "item 1 is not what message 1 should have become"),
        ([0, 1, 0, 1], "item 2 is message 0 instead of 2, and no gap was told"),
    ],
)
def test_whatever_is_missing_or_doubled_or_damaged_is_a_problem(numbers: list[int | None], problem: str) -> None:
    assert problem in ledger(numbers).problems


def test_what_is_missing_where_a_gap_was_told_is_no_problem_and_only_there() -> None:
    gap = told(EventKind.GAP, 2)
    assert ledger([0, 1, 4, 5], gap).problems == []
    assert ledger([0, 1, 2, 5], gap).problems == ["item 3 is message 5 instead of 3, and no gap was told"]
    assert ledger([0, 1, 1, 2], gap).problems == ["item 2 is message 1 instead of 2: it came before"]


def test_gaps_that_were_told_together_stand_at_every_place_from_the_first_to_the_last() -> None:
    gaps = StreamEvent(EventKind.GAP, 0, 2, "", count=2, until=4)
    assert ledger([0, 1, 4, 5, 8], gaps).problems == []
    assert ledger([0, 1, 4, 5, 8, 10], gaps).problems == ["item 5 is message 10 instead of 9, and no gap was told"]


def test_a_guest_that_comes_back_is_restarted_and_its_feed_begins_anew() -> None:
    restart, gap = told(EventKind.RESTART, 3, STALE), told(EventKind.GAP, 3)
    made = ledger([-1, 0, 1, -1, 0], restart, gap, first=-1, comes_back=True)
    assert made.problems == []
    assert made.restarts == [3]


@pytest.mark.parametrize(
    ("message", "gaps", "comes_back", "problem"),
    [
        (STALE, [3], False, f"a restart before item 3: {STALE}"),
        ("it trapped", [3], True, "a restart before item 3: it trapped"),
        (STALE, [2], True, "a restart before item 3 without a gap"),
    ],
    ids=["another guest", "another reason", "no gap"],
)
def test_any_other_restart_is_a_problem(message: str, gaps: list[int], comes_back: bool, problem: str) -> None:
    events = [told(EventKind.RESTART, 3, message), *(told(EventKind.GAP, place) for place in gaps)]
    assert problem in ledger([0, 1, 2, 0, 1], *events, comes_back=comes_back).problems


def test_many_problems_are_counted() -> None:
    found = ledger([None] * 20).problems
    assert len(found) == 6
    assert found[-1] == "and 15 more"
