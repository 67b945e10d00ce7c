"""The demo's plot: the same market through a legacy and a generic plugin, an interruption, and the way back.

Nothing is shown here: what happens goes into a ``Show``, and a ``View`` looks at it ten times a second. It does not
look at every candle, because it has the event loop to itself while it draws, and latencies are measured meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import attrs

from adapters.contract import Candle, Stream, StreamData, StreamKey
from adapters.runtime.watch import lingering_guests
from adapters.settings import AdapterSettings, Backoff
from compat.demo.bundled import plugin_path
from compat.demo.exchange import Exchange
from compat.demo.journal import SentKlines
from compat.demo.market import GENESIS
from compat.demo.show import INTERVAL, Feed, Phase, Show, View
from compat.demo.verdict import Evidence, judge, true_candle
from compat.manager import StreamManager

__all__ = ["BRISK", "WATCHED", "Pace", "perform"]

_PLUGINS = ("legacy", "generic")
_MARKET = ("BTC-USDT", "1m")
_LOOKS = 0.1  # seconds between two looks of the view
_CALLERS = 10_000  # more than will call while the exchange is down
_BACKOFF = Backoff(first=0.2, highest=0.4, attempts=_CALLERS)


@attrs.frozen
class Pace:
    """How fast the plot goes, and for how long it is waited for.

    Attributes:
        rate: Candles a second, at least.
        outage: Seconds for which the exchange is down.
        encore: Candles that both are to deliver after that.
        longest: Seconds for the candles before it; the exchange sends faster if many are wanted.
        patience: Seconds, beside those that the plot needs, until the demo gives up.
        farewell: Seconds for the exchange to see that both have left, in the end.
    """

    rate: float
    outage: float
    encore: int = 10
    longest: float = 10.0
    patience: float = 12.0
    farewell: float = 2.0


WATCHED = Pace(rate=5.0, outage=1.5)
"""For people who watch."""

BRISK = Pace(rate=10.0, outage=0.5)
"""For logs and pipes."""


async def perform(candles: int, seed: int, pace: Pace, view: View, *, logger: logging.Logger | None = None) -> Show:
    """Stream through both plugins, interrupt them, let them recover, and judge what came out.

    Args:
        candles: How many both are to deliver before the interruption.
        seed: Decides the market's prices.
        pace: How fast to go.
        view: Who looks on.
        logger: Where the plugins' log goes; by default where it always does.

    Returns:
        The show, with its verdict; one that took too long ends early, with a verdict that says what is missing.

    Raises:
        CompatError: What broke a plugin.
    """
    rate = max(pace.rate, candles / pace.longest)
    async with Exchange(seed=seed, rate=rate, ping_interval=1.0) as exchange:
        show = Show(wanted=candles, encore=pace.encore, rate=rate, market=" ".join(_MARKET), address=exchange.ws_url)
        performance = _Performance(exchange, show, pace, logger)
        await _first_of(performance.play(), _look(view, performance))
    view.show(show)
    return show


class _Performance:
    """One run of the plot."""

    def __init__(self, exchange: Exchange, show: Show, pace: Pace, logger: logging.Logger | None) -> None:
        self.show = show
        self._exchange = exchange
        self._pace = pace
        self._settings = AdapterSettings(backoff=_BACKOFF, logger=logger)
        self._began = time.monotonic()
        self._changed = asyncio.Event()  # replaced at each change
        self._streams: dict[str, Stream] = {}

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def update(self) -> None:
        """Take what nobody tells by itself."""
        self.show.now = self.now
        for source, stream in self._streams.items():
            feed = self.show.feeds[source]
            feed.state, feed.rate = stream.state, stream.stats.rate

    async def play(self) -> None:
        """Everything, from the first introduction to the verdict."""
        show, lingering = self.show, lingering_guests()
        show.tell(self.now, "exchange", f"simulated on {show.address}, {show.rate:g} candles a second", routine=True)
        async with StreamManager() as manager:
            for source in _PLUGINS:
                await self._introduce(source, manager)
            show.tell(self.now, "demo", "starts both plugins; the first time they are compiled, which takes seconds")
            followers = (self._follow(source, manager) for source in _PLUGINS)
            patience = self._pace.patience + self._pace.outage + show.wanted / show.rate
            await _first_of(self._plot(), *followers, patience=patience)
            if show.common_since < show.encore:
                show.tell(self.now, "demo", f"given up after {self.now:.1f} s, while {show.phase}")
            show.phase = Phase.LEAVING
        with contextlib.suppress(TimeoutError):
            await self._exchange.wait_for_disconnect(timeout=self._pace.farewell)
        evidence = Evidence(
            sent={source: tuple(map(_open_times, self._sent_to(source))) for source in _PLUGINS},
            truth=self._true_candle,
            connections=self._exchange.connections,
            lingering=lingering_guests() - lingering,
        )
        self.update()
        show.checks, show.phase = judge(show, evidence), Phase.OVER

    async def _introduce(self, source: str, manager: StreamManager) -> None:
        exchange = self._exchange
        plugin = await manager.register(
            source,
            plugin_path(source),
            # With its name, by which the exchange's journal knows it.
            rewrite={"wss://stream.simex.example/ws": f"{exchange.ws_url}/ws?{source}", **exchange.rewrites},
            allow_private=True,
            settings=self._settings,
        )
        report = plugin.report
        kind = f"{report.kind} plugin" + (f", {report.dialect} dialect" if report.dialect else "")
        self.show.introduce(self.now, Feed(source, kind, report.reason))

    async def _plot(self) -> None:
        show, exchange, outage = self.show, self._exchange, self._pace.outage
        await self._until(lambda: len(show.common) >= show.wanted)
        exchange.reject(_CALLERS)
        show.interrupt(self.now, f"drops both connections, and turns callers away for {outage:g} s")
        await exchange.drop_all()
        await asyncio.sleep(outage)
        exchange.reject(0)
        show.phase = Phase.RECOVERING
        show.tell(self.now, "exchange", "lets callers in again")
        await self._until(lambda: show.common_since >= show.encore)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    async def _follow(self, source: str, manager: StreamManager) -> None:
        """Take every item of a plugin. Returns only if the plugin ends its stream."""
        async with manager.subscribe(StreamKey("ohlcv", source, _MARKET[0], {"timeframe": _MARKET[1]})) as subscription:
            stream = self._streams[source] = subscription.stream
            hearing = asyncio.create_task(self._listen(source, stream))
            try:
                async for item in subscription:
                    self._take(source, item)
            finally:
                hearing.cancel()

    def _take(self, source: str, item: StreamData) -> None:
        now, candle = time.monotonic(), item.candle()
        sent = self._sent_at(source, _number(candle)) if candle is not None else None
        self.show.take(now - self._began, source, item, None if sent is None else now - sent)
        if self.show.phase is Phase.STARTING and self.show.common:
            self.show.phase = Phase.STREAMING
        self._changed.set()
        self._changed = asyncio.Event()

    async def _listen(self, source: str, stream: Stream) -> None:
        async for event in stream.events():
            self.show.hear(self.now, source, event)

    # What the exchange knows

    def _sent_to(self, source: str) -> list[SentKlines]:
        return [record.klines for record in self._exchange.journal.connections if record.path == f"/ws?{source}"]

    def _sent_at(self, source: str, n: int) -> float | None:
        """When a candle was handed to a plugin's socket, monotonic seconds; over the latest connection that had it."""
        times = (klines.sent_at(*_MARKET, n) for klines in reversed(self._sent_to(source)))
        return next((sent for sent in times if sent is not None), None)

    def _true_candle(self, opened: int) -> Candle | None:
        n, rest = divmod(opened - GENESIS * 10**9, INTERVAL)
        return None if rest or n < 0 else true_candle(self._exchange.market.candle(*_MARKET, n))


def _number(candle: Candle) -> int:
    return (candle.opened - GENESIS * 10**9) // INTERVAL


def _open_times(klines: SentKlines) -> tuple[int, ...]:
    return tuple(GENESIS * 10**9 + n * INTERVAL for n in klines.numbers(*_MARKET))


async def _look(view: View, performance: _Performance) -> NoReturn:
    while True:
        performance.update()
        view.show(performance.show)
        await asyncio.sleep(_LOOKS)


async def _first_of(*work: Coroutine[Any, Any, None], patience: float | None = None) -> None:
    """Run all until the first has ended, or for so many seconds; end the others, and raise what one raised."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.wait(tasks, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
