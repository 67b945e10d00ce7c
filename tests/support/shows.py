"""Shows as a demo would have made them, without an exchange or a plugin."""

from __future__ import annotations

from collections.abc import Iterable

from adapters.contract import EventKind, StreamData, StreamEvent, StreamKey, StreamState
from compat.demo.market import GENESIS, Market
from compat.demo.show import INTERVAL, Feed, Phase, Show
from compat.demo.verdict import Evidence, judge, true_candle

__all__ = ["MARKET", "deliver", "evidence_of", "feed", "finished_show", "gap", "item_of", "opened", "recovered_show"]

MARKET = Market(7, ("BTC-USDT",), ("1m",))


def opened(n: int) -> int:
    """When candle ``n`` opened, in nanoseconds."""
    return GENESIS * 10**9 + n * INTERVAL


def item_of(source: str, n: int, sequence: int) -> StreamData:
    """Candle ``n`` as a plugin delivers it."""
    c = MARKET.candle("BTC-USDT", "1m", n)
    data = f'{{"timestamp":{c.t},"open":{c.open},"high":{c.high},"low":{c.low},"close":{c.close},"volume":{c.volume}}}'
    return StreamData(StreamKey("ohlcv", source, "BTC-USDT"), 0, "ohlcv", data.encode(), sequence)


def gap(sequence: int) -> StreamEvent:
    return StreamEvent(EventKind.GAP, 0, sequence, "items may be missing: the connection was interrupted")


def feed(name: str) -> Feed:
    return Feed(name, f"{name} plugin", "exports something", StreamState.STREAMING, rate=5.0)


def deliver(show: Show, source: str, numbers: Iterable[int], *, at: float = 1.0) -> None:
    """Let candles of these numbers arrive."""
    for n in numbers:
        sequence = len(show.feeds[source].arrivals) + show.feeds[source].unreadable
        show.take(at, source, item_of(source, n, sequence), 0.002)


def recovered_show() -> Show:
    """Both delivered candles 0 to 4, were interrupted, and delivered 8 to 10; one came back a candle later."""
    show = Show(wanted=4, encore=2, rate=5.0, market="BTC-USDT 1m", address="ws://127.0.0.1:1")
    for name in ("legacy", "generic"):
        show.introduce(0.1, feed(name))
    deliver(show, "legacy", range(5))
    deliver(show, "generic", range(5))
    show.interrupt(2.0, "drops both connections")
    for name, first in (("legacy", 8), ("generic", 9)):
        show.hear(2.1, name, StreamEvent(EventKind.STATE, 0, 5, "it was lost", StreamState.RECOVERING))
        show.hear(2.1, name, gap(5))
        deliver(show, name, range(first, 11), at=3.5)
    return show


def evidence_of(show: Show, *, connections: int = 0, lingering: int = 0) -> Evidence:
    """What an exchange knows that sent candles 0 to 5 and, after the interruption, 8 to 11 and 9 to 11."""
    sent = {"legacy": (range(6), range(8, 12)), "generic": (range(6), range(9, 12))}
    return Evidence(
        sent={name: tuple(tuple(map(opened, part)) for part in sent[name]) for name in show.feeds},
        truth=lambda at: true_candle(MARKET.candle("BTC-USDT", "1m", (at - opened(0)) // INTERVAL)),
        connections=connections,
        lingering=lingering,
    )


def finished_show() -> Show:
    """The same with its verdict."""
    show = recovered_show()
    show.checks, show.phase = judge(show, evidence_of(show)), Phase.OVER
    return show
