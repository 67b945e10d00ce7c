"""What the benchmarks share: an endless exchange within the process, and three profiles of message sizes."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from compat import Candle, ConnectionLostError, Socket
from compat.demo.market import GENESIS

__all__ = ["ACKNOWLEDGEMENT", "PROFILES", "Feed", "FeedConnector", "resident_mib"]

PROFILES = ("constant", "mixed", "log-uniform")

ACKNOWLEDGEMENT = '{"event":"subscribed","channel":"kline","symbol":"BTC-USDT","interval":"1m","id":1}'

_LARGE = 200_000  # bytes
_LARGE_EVERY = 1_000  # messages


def _sizes(profile: str, period: int, seed: int) -> list[int]:
    """Message sizes in bytes: 300; 50-1,500 with one in a thousand of 200,000; log-uniform 30-63,000."""
    rng = random.Random(seed)
    if profile == "constant":
        return [300] * period
    if profile == "log-uniform":
        return [int(math.exp(rng.uniform(math.log(30), math.log(63_000)))) for _ in range(period)]
    every = min(_LARGE_EVERY, period)
    return [_LARGE if number % every == every // 2 else rng.randint(50, 1_500) for number in range(period)]


class Feed:
    """Candles in the exchange's wire form, padded to a profile's sizes (a candle has about 150 bytes at least).

    Candle ``n`` opens ``n`` minutes after the market's first, and its volume is ``n`` and a half: no two are alike.

    Args:
        profile: One of ``PROFILES``.
        count: How many messages there are.
        seed: Decides the sizes.
        period: Messages after which the sizes repeat, so that each period makes the same work; ``None``: never.
        largest: Bytes that no message is longer than.
    """

    def __init__(
        self, profile: str, count: int, seed: int = 1, *, period: int | None = None, largest: int = _LARGE
    ) -> None:
        self.count = count
        self._sizes = [min(size, largest) for size in _sizes(profile, period or count, seed)]
        self.longest = max(self._sizes)

    def __iter__(self) -> Iterator[str]:
        return map(self.message, range(self.count))

    def message(self, number: int) -> str:
        """Candle ``number`` in the exchange's wire form."""
        text = (
            '{"event":"kline","channel":"kline","symbol":"BTC-USDT","interval":"1m",'
            f'"t":{GENESIS + 60 * number},"o":"100.10","h":"101.00","l":"99.50","c":"100.70","v":"{number}.5"'
        )
        padding = self._sizes[number % len(self._sizes)] - len(text) - len(',"pad":""}')
        return f'{text},"pad":"{"x" * padding}"}}' if padding > 0 else f"{text}}}"

    @staticmethod
    def number_of(candle: Candle | None) -> int | None:
        """The number of a candle that a plugin has made of a message; ``None`` if any digit of it is wrong."""
        if candle is None:
            return None
        number = (candle.opened // 10**9 - GENESIS) // 60
        return number if candle == _candle(number) else None


def _candle(number: int) -> Candle:
    return Candle((GENESIS + 60 * number) * 10**9, *_PRICES, number + _HALF)


_PRICES = (Decimal("100.10"), Decimal("101.00"), Decimal("99.50"), Decimal("100.70"))
_HALF = Decimal("0.5")


class _FeedSocket:
    def __init__(self, feed: Iterable[str]) -> None:
        self._messages = iter(feed)
        self._acknowledged = False
        self._closed = asyncio.Event()

    async def receive(self) -> str | bytes:
        return (await self.receive_many(1))[0]

    async def receive_many(self, most: int) -> list[str | bytes]:
        if not self._acknowledged:
            self._acknowledged = True
            return [ACKNOWLEDGEMENT]
        messages: list[str | bytes] = list(itertools.islice(self._messages, most))
        if not messages:
            await self._closed.wait()
            raise ConnectionLostError("wss://stream.simex.example/ws", "the feed is at its end")
        return messages

    async def send(self, message: str) -> None:
        """The subscription; its acknowledgement is on its way."""

    async def close(self) -> None:
        self._closed.set()


class FeedConnector:
    """Connects to a feed instead of the network.

    Args:
        feed: A ``Feed``, or messages that were made of one.
    """

    def __init__(self, feed: Iterable[str]) -> None:
        self._feed = feed

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:  # noqa: ARG002
        """Open the feed from its beginning: a new connection is subscribed anew, and begins with message 0."""
        return _FeedSocket(self._feed)


def resident_mib() -> float:
    """Resident memory of this process in MiB."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - read a million times, measured with the rest
        return int(file.read().split()[1]) * 4096 / 2**20
