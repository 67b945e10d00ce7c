"""The audit: what is in order, what was told, and what was not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compat.demo.audit import Audit, number_of
from compat.demo.market import GENESIS


def audited(candles: list[int], gaps: set[int], *, gaps_first: bool = True) -> Audit:
    audit = Audit()
    if gaps_first:
        for place in gaps:
            audit.note_gaps(range(place, place + 1))
    for sequence, candle in enumerate(candles):
        audit.note_item(sequence, candle)
    if not gaps_first:
        for place in gaps:
            audit.note_gaps(range(place, place + 1))
    return audit


@given(st.lists(st.integers(1, 4), min_size=1, max_size=40), st.booleans())
def test_a_hole_is_a_problem_unless_it_was_told_whenever_the_audit_hears_of_it(
    steps: list[int], gaps_first: bool
) -> None:
    candles = [sum(steps[: place + 1]) for place in range(len(steps))]
    holes = {place for place, step in enumerate(steps) if place and step > 1}
    told = audited(candles, holes, gaps_first=gaps_first)
    assert (told.problems, told.holes) == ((), len(holes))
    assert told.missing == sum(step - 1 for step in steps[1:])
    for hole in holes:
        (problem,) = audited(candles, holes - {hole}, gaps_first=gaps_first).problems
        assert f"before item {hole}, untold" in problem


def test_a_gap_where_nothing_is_missing_is_no_problem() -> None:
    assert audited([5, 6, 7], {1, 3}).problems == ()


def test_gaps_that_were_told_together_cover_the_holes_from_the_first_to_the_last() -> None:
    for gaps_first in (True, False):
        audit = Audit()
        if gaps_first:
            audit.note_gaps(range(1, 4))
        for sequence, candle in enumerate([5, 7, 9, 11, 13]):
            audit.note_item(sequence, candle)
        if not gaps_first:
            audit.note_gaps(range(1, 4))
        assert audit.problems == ("1 candles missing before item 4, untold",)


def test_repeats_and_disorder_are_problems() -> None:
    assert audited([5, 6, 6], set()).problems == ("item 2: candle 6 came after candle 6",)
    assert audited([5, 6, 4], {2}).problems == ("item 2: candle 4 came after candle 6",)
    audit = Audit()
    audit.note_item(1, 5)
    assert audit.problems == ("item 0 has the number 1",)


def test_only_the_first_problems_are_kept() -> None:
    assert len(audited([7] * 1_000, set()).problems) == 20


def test_candles_are_known_by_when_they_open() -> None:
    assert number_of(GENESIS, "1m") == 0
    assert number_of(GENESIS + 600, "5m") == 2
