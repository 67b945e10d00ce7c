"""Streams of both kinds at full speed over connections that drop, and whether each loss was told at its place.

An exchange within the process says its candles as fast as they are taken. Every connection breaks after a random number
of them, and what it says until the next one is opened is lost. Every stream has to deliver rising candles with a gap
told wherever one is missing, and nothing else may be missing. Half of the streams are read one by one, half in batches.
Exits with 1 if a stream did not tell the truth.

    python -m benchmarks.endurance [--messages N] [--seed N]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import time
from collections.abc import Mapping

import compat
from benchmarks.feed import ACKNOWLEDGEMENT, Feed
from compat.demo import plugin_path
from compat.demo.audit import Audit, number_of

KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"
KINDS = ("legacy", "generic")
LONGEST_CONNECTION = 20_000  # messages
MOST_LOST = 50  # while there is none
PERIOD = 1_000  # messages, after which their sizes repeat

WAYS = {"one by one": 1, "in batches": 1_000}


class Dropping:
    """Connects one stream to an exchange whose connections drop."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._feed = Feed("mixed", PERIOD, seed, largest=20_000)
        self._said = 0
        self.connections = 0

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> compat.Socket:  # noqa: ARG002
        """Open a connection, on which the market goes on some way ahead."""
        if self.connections:
            self._said += self._random.randint(0, MOST_LOST)
        self.connections += 1
        return _Socket(self, url, self._random.randint(1, LONGEST_CONNECTION))

    def say(self, count: int) -> list[str | bytes]:
        """The next messages."""
        first, self._said = self._said, self._said + count
        return [self._feed.message(number) for number in range(first, first + count)]


class _Socket:
    def __init__(self, exchange: Dropping, url: str, messages: int) -> None:
        self._exchange = exchange
        self._url = url
        self._left = messages
        self._acknowledged = False

    async def receive(self) -> str | bytes:
        return (await self.receive_many(1))[0]

    async def receive_many(self, most: int) -> list[str | bytes]:
        await asyncio.sleep(0)
        if not self._acknowledged:
            self._acknowledged = True
            return [ACKNOWLEDGEMENT]
        if not self._left:
            raise compat.ConnectionLostError(self._url, "it dropped")
        count = min(most, self._left)
        self._left -= count
        return self._exchange.say(count)

    async def send(self, message: str) -> None:
        """The subscription; its acknowledgement is on its way."""

    async def close(self) -> None:
        """There is nothing to close."""


async def endure(kind: str, way: str, count: int, seed: int) -> list[str]:
    """Read a stream until so many items have come. Returns what is wrong with it."""
    exchange, audit, begun = Dropping(seed), Audit(), time.monotonic()
    backoff = compat.Backoff(first=0.001, highest=0.002, healthy_after=0.0)
    settings = compat.AdapterSettings(
        connector=exchange, backoff=backoff, pacing=compat.Pacing(rate=1_000.0, burst=1_000)
    )
    problems: list[str] = []
    async with compat.open_plugin(plugin_path(kind), allow_private=True, settings=settings) as plugin:
        async with plugin.stream(KEY) as stream:
            stream.follow(lambda event: audit.note_gaps(event.places) if event.kind is compat.EventKind.GAP else None)
            try:
                async for batch in stream.batches(limit=WAYS[way]):
                    for item in batch:
                        candle = item.candle()
                        opened = -1 if candle is None else candle.opened // 10**9
                        audit.note_item(item.sequence, number_of(opened, "1m"))
                    if audit.delivered >= count:
                        break
            except compat.CompatError as error:
                problems.append(f"it broke: {error}")
        stats = stream.stats
    rate = audit.delivered / (time.monotonic() - begun)
    print(
        f"{kind}, {way}: {audit.delivered:,} items at {rate:,.0f}/s, {exchange.connections:,} connections,"
        f" {audit.missing:,} missing in {audit.holes:,} gaps; {stats.restarts:,} restarts"
    )
    return [*problems, *audit.problems]


async def main(count: int, seed: int) -> int:
    """Let every kind be read in every way. Returns the exit code."""
    failed = False
    for number, (kind, way) in enumerate(itertools.product(KINDS, WAYS)):
        for problem in await endure(kind, way, count, seed + number):
            failed = True
            print(f"FAILED     {problem}")
    print("not every loss was told" if failed else "passed     every loss was told at its place; nothing came twice")
    return int(failed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000, help="Of each of the four streams.")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sys.exit(asyncio.run(main(options.messages, options.seed)))
