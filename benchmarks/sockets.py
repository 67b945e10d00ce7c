"""Streams over real sockets from a sender in another process: all delivered, how late, and at what cost.

Latency is from the sender's clock, written into the message before it is sent, to the consumer that has the item in its
hands: the plugin, and everything else on the way, is in it. Beside it stands a plain consumer: ``websockets`` and
nothing else.
"""

from __future__ import annotations

import asyncio
import time

from websockets.asyncio.client import connect

import compat
from benchmarks.cases import Case, Outcome
from benchmarks.payloads import number_and_time, problems_of
from benchmarks.product import consume, until_stalled
from benchmarks.sender import market_of, sending
from benchmarks.stopwatch import Stopwatch, Wakeups, percentiles

__all__ = ["plain_consumer", "sockets"]

_SLOW = 1.0  # seconds that a slow consumer takes for an item
_SMALL = 64  # items that may wait for it
_FROM = "wss://stream.simex.example"


class _Arrivals:
    """What has come on all streams of a case, and how late it was.

    Args:
        case: The case.
    """

    def __init__(self, case: Case) -> None:
        self._case = case
        self._first = 1 if case.trouble else 0  # the stream that has the trouble does not count
        measured = case.streams - self._first
        self.watch = Stopwatch(measured * case.count)
        self._late: list[float] = []
        self._numbers: list[list[int]] = [[] for _ in range(case.streams)]

    def take(self, stream: int, payloads: list[bytes]) -> None:
        """These have come just now."""
        now, numbers = time.monotonic_ns(), self._numbers[stream]
        for payload in payloads:
            number, sent = number_and_time(payload)
            numbers.append(number)
            if number * 5 >= self._case.count:  # the first fifth warms up
                self._late.append((now - sent) * 1e-9)
        self.watch.add(len(payloads))

    def outcome(self) -> Outcome:
        """What it came to."""
        problems = []
        for stream in range(self._first, self._case.streams):
            problems += problems_of(self._numbers[stream], self._case.count, f"stream {stream}: ")
        return Outcome({**self.watch.values(), **percentiles(self._late)}, problems)


def sockets(case: Case) -> Outcome:
    """Streams of this project's host, all through one plugin."""
    if case.counted:
        Wakeups.watch()
    with sending(case.streams, case.count, case.rate, flood=case.trouble == "flood") as url:
        return asyncio.run(_sockets(case, url))


async def _sockets(case: Case, url: str) -> Outcome:
    arrivals = _Arrivals(case)
    settings = compat.AdapterSettings(pacing=compat.Pacing(rate=1_000, burst=1_000))
    if case.trouble == "slow":
        settings = compat.AdapterSettings(pacing=settings.pacing, buffer=_SMALL)

    async def one(plugin: compat.Plugin, number: int) -> None:
        async with plugin.stream(compat.StreamKey("ohlcv", "simex", market_of(number), {"timeframe": "1m"})) as stream:
            await consume(stream, case.count, case.by, lambda payloads: arrivals.take(number, payloads))

    async def troubled(plugin: compat.Plugin) -> None:
        async with plugin.stream(compat.StreamKey("ohlcv", "simex", market_of(0), {"timeframe": "1m"})) as stream:
            async for _ in stream:
                await asyncio.sleep(_SLOW if case.trouble == "slow" else 0)

    opening = compat.open_plugin(case.path, rewrite={_FROM: url}, allow_private=True, settings=settings)
    async with opening as plugin:
        beside = asyncio.create_task(troubled(plugin)) if case.trouble else None
        measured = range(1 if beside else 0, case.streams)
        streams = asyncio.gather(*(one(plugin, number) for number in measured))
        await until_stalled(streams, lambda: arrivals.watch.done)
        if beside:
            beside.cancel()
            await asyncio.wait([beside])
    return arrivals.outcome()


def plain_consumer(case: Case) -> Outcome:
    """The same messages, by ``websockets`` alone."""
    with sending(case.streams, case.count, case.rate) as url:
        return asyncio.run(_plain_consumer(case, url))


async def _plain_consumer(case: Case, url: str) -> Outcome:
    arrivals = _Arrivals(case)

    async def one(number: int) -> None:
        async with connect(f"{url}/ws", compression=None, ping_interval=None, proxy=None) as client:
            subscription = (
                f'{{"op":"subscribe","channel":"kline","symbol":"{market_of(number)}","interval":"1m","id":1}}'
            )
            await client.send(subscription)
            await client.recv()
            for _ in range(case.count):
                arrivals.take(number, [await client.recv(decode=False)])

    streams = asyncio.gather(*(one(number) for number in range(case.streams)))
    await until_stalled(streams, lambda: arrivals.watch.done)
    return arrivals.outcome()
