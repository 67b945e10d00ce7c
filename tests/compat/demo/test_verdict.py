"""The verdict: every claim passes where it holds, and fails where it does not."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from compat.demo.show import Check, Show
from compat.demo.verdict import Evidence, judge
from tests.support.shows import deliver, evidence_of, feed, gap, item_of, opened, recovered_show

SAME, TRUE, COMPLETE, GAPS, BACK, LEFT = range(6)


def verdict(show: Show, evidence: Evidence | None = None) -> tuple[Check, ...]:
    return judge(show, evidence or evidence_of(show))


def test_a_good_show_passes_every_check() -> None:
    checks = verdict(recovered_show())
    assert [check.text for check in checks if check.passed] == [
        "7 candles from both plugins, the same to the last digit",
        "all 15 that arrived equal those of the exchange's own market",
        "in order, none missing while connected, by the exchange's own journal",
        "missing only where a gap was told: legacy 3 (item 5), generic 4 (item 5)",
        "back by themselves: legacy after 1.5 s, generic after 1.5 s",
        "nothing left behind: no connection open at the exchange, no guest lingering",
    ]
    assert not any(check.details for check in checks)


def wrong_price(show: Show) -> None:
    at = opened(2)
    candle = show.feeds["generic"].candles[at]
    wrong = attrs.evolve(candle, volume=candle.volume + 1)
    show.feeds["generic"].candles[at] = wrong
    show.feeds["generic"].arrivals[2] = attrs.evolve(show.feeds["generic"].arrivals[2], candle=wrong)


def both_wrong(show: Show) -> None:
    wrong_price(show)
    show.feeds["legacy"].candles[opened(2)] = show.feeds["generic"].candles[opened(2)]


def one_lost(show: Show) -> None:
    del show.feeds["legacy"].arrivals[1]


def one_twice(show: Show) -> None:
    deliver(show, "legacy", [10])


def never_sent(show: Show) -> None:
    deliver(show, "legacy", [50])


def out_of_order(show: Show) -> None:
    arrivals = show.feeds["generic"].arrivals
    arrivals[1], arrivals[2] = arrivals[2], arrivals[1]


def no_candle(show: Show) -> None:
    show.feeds["legacy"].unreadable = 1


def gap_untold(show: Show) -> None:
    show.feeds["legacy"].gaps.clear()


def gap_without_cause(show: Show) -> None:
    show.feeds["legacy"].gaps.append(2)


def too_few(show: Show) -> None:
    show.wanted = 50


def too_few_since(show: Show) -> None:
    show.wanted, show.encore = 1, 3


def not_back(show: Show) -> None:
    show.feeds["generic"].back = None


@pytest.mark.parametrize(
    ("spoil", "failing", "told"),
    [
        (wrong_price, {SAME, TRUE}, "generic: 2025-01-01T00:02"),
        (both_wrong, {TRUE}, "exchange: 2025-01-01T00:02"),
        (one_lost, {COMPLETE, GAPS}, "legacy: 1 missing before item 2, untold"),
        (one_twice, {COMPLETE}, "legacy: connection 2 brought 4 candles, not the first 4 that were sent"),
        (never_sent, {COMPLETE, GAPS}, "legacy: some candles came twice, in another order, or were never sent"),
        (out_of_order, {COMPLETE, GAPS}, "generic: connection 1 brought 5 candles, not the first 5 that were sent"),
        (no_candle, {COMPLETE}, "legacy: 1 item without a candle"),
        (gap_untold, {GAPS}, "legacy: 3 missing before item 5, untold"),
        (gap_without_cause, {GAPS}, "legacy: a gap told before item 2, while connected"),
        (too_few, {SAME}, "7 candles from both plugins of 52 wanted, 0 of them different"),
        (too_few_since, {SAME}, "7 candles from both plugins of 4 wanted, 0 of them different"),
        (not_back, {SAME, BACK}, "back by themselves: legacy after 1.5 s, generic is not"),
    ],
)
def test_what_is_wrong_fails_the_checks_that_it_concerns(
    spoil: Callable[[Show], None], failing: set[int], told: str
) -> None:
    show = recovered_show()
    spoil(show)
    checks = verdict(show)
    assert {number for number, check in enumerate(checks) if not check.passed} == failing
    said = [text for check in checks if not check.passed for text in (check.text, *check.details)]
    assert any(text.startswith(told) for text in said), said


def test_what_was_left_behind_is_counted() -> None:
    show = recovered_show()
    check = verdict(show, evidence_of(show, connections=2, lingering=1))[LEFT]
    assert not check.passed
    assert check.details == ("open connections at the exchange: 2", "lingering guests: 1")


def test_a_show_that_never_began_fails_what_it_did_not_prove() -> None:
    show = Show(wanted=1, encore=1, rate=5.0, market="")
    for name in ("legacy", "generic"):
        show.introduce(0.0, feed(name))
    evidence = attrs.evolve(evidence_of(show), sent={"legacy": (), "generic": ()})
    assert [check.passed for check in verdict(show, evidence)] == [False, False, True, False, False, True]


def test_a_gap_that_cost_nothing_may_be_told_where_the_connection_changed() -> None:
    show = Show(wanted=1, encore=1, rate=5.0, market="")
    show.introduce(0.0, feed("legacy"))
    deliver(show, "legacy", [0, 1])
    show.interrupt(1.5, "drops the connection")
    show.hear(1.6, "legacy", gap(2))
    show.take(2.0, "legacy", item_of("legacy", 2, 2), None)
    evidence = attrs.evolve(evidence_of(show), sent={"legacy": ((opened(0), opened(1)), (opened(2),))})
    check = verdict(show, evidence)[GAPS]
    assert (check.passed, check.text) == (True, "missing only where a gap was told: legacy 0 (item -)")
