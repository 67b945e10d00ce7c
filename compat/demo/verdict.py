"""What a demo has proven: every line of its summary is computed here, from what came out and what the exchange knows.

Pure functions over a show and the evidence. The exchange's journal says what was sent over which connection, so that
"nothing is missing" is a comparison and no impression.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from itertools import pairwise

import attrs

from adapters.contract import Candle
from compat.demo.market import Candle as MarketCandle
from compat.demo.show import INTERVAL, Check, Feed, Show, candle_line, counted

__all__ = ["Evidence", "judge", "true_candle"]

_SHOWN = 3  # counter-examples


@attrs.frozen(kw_only=True)
class Evidence:
    """What the exchange knows, and what was left behind.

    Attributes:
        sent: By plugin, for each of its connections the open times of the candles sent, in order.
        truth: The exchange's own candle that opened then; ``None`` if there is none.
        connections: How many are open at the exchange after leaving.
        lingering: How many guests of the demo live on after leaving.
    """

    sent: Mapping[str, tuple[tuple[int, ...], ...]]
    truth: Callable[[int], Candle | None]
    connections: int
    lingering: int


def true_candle(candle: MarketCandle) -> Candle:
    """The exchange's candle as both plugins must deliver it."""
    numbers = (candle.open, candle.high, candle.low, candle.close, candle.volume)
    return Candle(candle.t * 10**9, *map(Decimal, numbers))


def judge(show: Show, evidence: Evidence) -> tuple[Check, ...]:
    """Check all that a demo claims."""
    return tuple(check(show, evidence) for check in _CHECKS)


def _the_same(show: Show, _: Evidence) -> Check:
    wanted, different = show.wanted + show.encore, show.different
    # Neither is enough in place of the other.
    if len(show.common) >= wanted and show.common_since >= show.encore and not different:
        return Check(True, f"{counted(len(show.common), 'candle')} from both plugins, the same to the last digit")
    details = [
        f"{feed.name}: {candle_line(feed.candles[opened])}"
        for opened in different[:_SHOWN]
        for feed in show.feeds.values()
    ]
    text = f"{len(show.common)} candles from both plugins of {wanted} wanted, {len(different)} of them different"
    return Check(False, text, tuple(details))


def _true(show: Show, evidence: Evidence) -> Check:
    arrived = [(feed, arrival.candle) for feed in show.feeds.values() for arrival in feed.arrivals]
    wrong = [(feed, candle) for feed, candle in arrived if evidence.truth(candle.opened) != candle]
    if arrived and not wrong:
        return Check(True, f"all {len(arrived)} that arrived equal those of the exchange's own market")
    details = []
    for feed, candle in wrong[:_SHOWN]:
        truth = evidence.truth(candle.opened)
        details.append(f"{feed.name}: {candle_line(candle)}")
        details.append(f"exchange: {candle_line(truth) if truth is not None else 'no candle opened then'}")
    return Check(
        False, f"{len(wrong)} of {len(arrived)} that arrived differ from the exchange's market", tuple(details)
    )


def _complete(show: Show, evidence: Evidence) -> Check:
    problems = [f"{feed.name}: {problem}" for feed in show.feeds.values() for problem in _disorder(feed, evidence)]
    if problems:
        return Check(False, "something is missing, repeated or out of order within a connection", tuple(problems))
    return Check(True, "in order, none missing while connected, by the exchange's own journal")


def _disorder(feed: Feed, evidence: Evidence) -> list[str]:
    """What speaks against that each connection's candles came in the order sent, up to the moment when it ended."""
    arrived = [arrival.candle.opened for arrival in feed.arrivals]
    came = _by_connection(feed, evidence)
    problems = [f"{counted(feed.unreadable, 'item')} without a candle"] if feed.unreadable else []
    for number, (sent, part) in enumerate(zip(evidence.sent[feed.name], came, strict=True), 1):
        if part != sent[: len(part)]:
            problems.append(
                f"connection {number} brought {len(part)} candles, not the first {len(part)} that were sent"
            )
    if [opened for part in came for opened in part] != arrived:
        problems.append("some candles came twice, in another order, or were never sent")
    return problems


def _by_connection(feed: Feed, evidence: Evidence) -> list[tuple[int, ...]]:
    """What arrived, by the connection over which it was sent."""
    parts = [frozenset(sent) for sent in evidence.sent[feed.name]]
    return [tuple(each.candle.opened for each in feed.arrivals if each.candle.opened in part) for part in parts]


def _gaps_told(show: Show, evidence: Evidence) -> Check:
    costs, problems = [], []
    for feed in show.feeds.values():
        holes = {
            later.sequence: (later.candle.opened - earlier.candle.opened) // INTERVAL - 1
            for earlier, later in pairwise(feed.arrivals)
            if later.candle.opened > earlier.candle.opened + INTERVAL
        }
        changes = _first_items(feed, evidence)
        told = set(feed.gaps)
        problems += [
            f"{feed.name}: {holes[place]} missing before item {place}, untold" for place in holes if place not in told
        ]
        problems += [f"{feed.name}: a gap told before item {place}, while connected" for place in told - changes]
        costs.append(f"{feed.name} {sum(holes.values())} (item {', '.join(map(str, holes)) or '-'})")
    if problems or show.interrupted is None:
        return Check(
            False, "gaps were not told where candles are missing", tuple(problems or ["nothing was interrupted"])
        )
    return Check(True, f"missing only where a gap was told: {', '.join(costs)}")


def _first_items(feed: Feed, evidence: Evidence) -> set[int]:
    """The numbers of the items that came first over a new connection, and of the one that would have come next."""
    firsts = {part[0] for part in _by_connection(feed, evidence)[1:] if part}
    following = {feed.arrivals[-1].sequence + 1} if feed.arrivals else {0}
    return {arrival.sequence for arrival in feed.arrivals if arrival.candle.opened in firsts} | following


def _recovered(show: Show, _: Evidence) -> Check:
    if show.interrupted is None:
        return Check(False, "nothing was interrupted: it did not come so far")
    took = {feed.name: feed.back - show.interrupted if feed.back is not None else None for feed in show.feeds.values()}
    texts = ", ".join(f"{name} after {s:.1f} s" if s is not None else f"{name} is not" for name, s in took.items())
    return Check(show.all_back, f"back by themselves: {texts}")


def _left(_: Show, evidence: Evidence) -> Check:
    left = {"open connections at the exchange": evidence.connections, "lingering guests": evidence.lingering}
    problems = tuple(f"{what}: {count}" for what, count in left.items() if count)
    if problems:
        return Check(False, "something was left behind", problems)
    return Check(True, "nothing left behind: no connection open at the exchange, no guest lingering")


_CHECKS = (_the_same, _true, _complete, _gaps_told, _recovered, _left)
