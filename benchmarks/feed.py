"""What the benchmarks share: an endless exchange within the process, and three profiles of message sizes."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterator, Mapping

from compat import ConnectionLostError, Socket
from compat.demo.market import GENESIS

__all__ = ["PROFILES", "Feed", "FeedConnector", "resident_mib"]

PROFILES = ("constant", "mixed", "log-uniform")


def sizes(profile: str, seed: int) -> Iterator[int]:
    """Message sizes in bytes: 300; 50-1,500 with one in a thousand of 200,000; log-uniform 30-63,000."""
    rng = random.Random(seed)
    while True:
        if profile == "constant":
            yield 300
        elif profile == "mixed":
            yield 200_000 if rng.random() < 0.001 else rng.randint(50, 1_500)
        else:
            yield int(math.exp(rng.uniform(math.log(30), math.log(63_000))))


class Feed:
    """Candles in the exchange's wire form, padded to a profile's sizes (a candle has about 150 bytes at least).

    Numbered by their open time: candle ``n`` opens ``n`` minutes after the market's first.
    """

    def __init__(self, profile: str, count: int, seed: int = 1) -> None:
        self._profile = profile
        self._count = count
        self._seed = seed

    def __iter__(self) -> Iterator[str]:
        for number, size in zip(range(self._count), sizes(self._profile, self._seed), strict=False):
            text = (
                '{"event":"kline","channel":"kline","symbol":"BTC-USDT","interval":"1m",'
                f'"t":{GENESIS + 60 * number},"o":"100.10","h":"101.00","l":"99.50","c":"100.70","v":"12.5000"'
            )
            padding = size - len(text) - len(',"pad":""}')
            yield f'{text},"pad":"{"x" * padding}"}}' if padding > 0 else f"{text}}}"


ACKNOWLEDGEMENT = '{"event":"subscribed","channel":"kline","symbol":"BTC-USDT","interval":"1m","id":1}'


class _FeedSocket:
    def __init__(self, feed: Feed) -> None:
        self._messages = iter(feed)
        self._acknowledged = False
        self._closed = asyncio.Event()

    async def receive(self) -> str | bytes:
        if not self._acknowledged:
            self._acknowledged = True
            return ACKNOWLEDGEMENT
        message = next(self._messages, None)
        if message is None:
            await self._closed.wait()
            raise ConnectionLostError("wss://stream.simex.example/ws", "the feed is at its end")
        return message

    async def send(self, message: str) -> None:
        """The subscription; its acknowledgement is on its way."""

    async def close(self) -> None:
        self._closed.set()


class FeedConnector:
    """Connects to a feed instead of the network."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:  # noqa: ARG002
        """Open the feed from its beginning."""
        return _FeedSocket(self._feed)


def resident_mib() -> float:
    """Resident memory of this process in MiB."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - read a million times, measured with the rest
        return int(file.read().split()[1]) * 4096 / 2**20
