"""What the exchange really did: every connection, every request, every text received, every candle sent.

Tests compare it with what came out at the far end. "Sent" means handed to the socket in this order; what a dropped
connection had still in its buffers never arrived, and no server can know how much that was.

A candle takes 14 bytes here, so a flood of 500,000 is 7 MB.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Closure", "ConnectionRecord", "Journal", "RequestRecord", "SentKlines"]


class SentKlines:
    """The candles sent over one connection, in order, as ``(symbol, interval, n)``, and when each was."""

    __slots__ = ("_index", "_markets", "_numbers", "_pairs", "_times")

    def __init__(self, pairs: tuple[tuple[str, str], ...]) -> None:
        self._pairs = pairs
        self._index = {pair: index for index, pair in enumerate(pairs)}
        self._markets = array("H")
        self._numbers = array("I")
        self._times = array("d")

    def add(self, pair: tuple[str, str], n: int) -> None:
        """Note that candle ``n`` of a market is handed to the socket now."""
        self._markets.append(self._index[pair])
        self._numbers.append(n)
        self._times.append(time.monotonic())

    def numbers(self, symbol: str, interval: str) -> list[int]:
        """The ``n`` of one market's candles, in the order sent."""
        wanted = self._index[symbol, interval]
        return [n for market, n in zip(self._markets, self._numbers, strict=True) if market == wanted]

    def sent_at(self, symbol: str, interval: str, n: int) -> float | None:
        """When candle ``n`` was last handed to the socket, monotonic seconds; ``None`` if it was not.

        It looks from the latest candle backwards: asking for one that was sent a moment ago costs little.
        """
        wanted = self._index[symbol, interval]
        for place in range(len(self._numbers) - 1, -1, -1):
            if self._numbers[place] == n and self._markets[place] == wanted:
                return self._times[place]
        return None

    def counts(self) -> dict[tuple[str, str], int]:
        """How many candles of each market; markets without any are missing."""
        return {self._pairs[market]: count for market, count in Counter(self._markets).items()}

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[tuple[str, str, int]]:
        for market, n in zip(self._markets, self._numbers, strict=True):
            yield (*self._pairs[market], n)


@attrs.frozen
class Closure:
    """How a connection ended: when (monotonic seconds), and its close code and reason; 1006 without a close frame."""

    at: float
    code: int
    reason: str


@attrs.define(eq=False, kw_only=True)
class ConnectionRecord:
    """One WebSocket connection.

    Attributes:
        id: 0 for the first one that the exchange accepted, then 1, 2, ...
        path: The request's, with the query, which the exchange ignores: a client may name itself there.
        headers: The request's, as sent, repeated ones too.
        opened: Monotonic seconds.
        received: Every text from the client (binary messages as text, with undecodable bytes replaced).
        klines: Every candle sent.
        sent: How many texts were sent, candles, replies, pings and broadcasts together.
        closed: How it ended; ``None`` while it is open.
    """

    id: int
    path: str = "/ws"
    headers: tuple[tuple[str, str], ...]
    opened: float
    klines: SentKlines
    received: list[str] = attrs.field(factory=list)
    sent: int = 0
    closed: Closure | None = None


@attrs.frozen
class RequestRecord:
    """One HTTP request that did not become a WebSocket: its path with the query, its headers, the answer's status."""

    path: str
    headers: tuple[tuple[str, str], ...]
    status: int


@attrs.define(eq=False)
class Journal:
    """Everything since the exchange was made, in order."""

    connections: list[ConnectionRecord] = attrs.field(factory=list)
    requests: list[RequestRecord] = attrs.field(factory=list)

    @property
    def klines(self) -> int:
        """How many candles were sent over all connections."""
        return sum(len(connection.klines) for connection in self.connections)
