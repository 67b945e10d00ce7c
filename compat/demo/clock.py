"""How far a market, or one replayed subscription, has come.

A position is a pure function of the time that has passed, so nobody has to tick: whoever needs a candle waits for it,
a slow reader simply lags, and no queue stands between the market and the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time

__all__ = ["Clock"]


class Clock:
    """Counts candles: ``first`` exist at once, then ``rate`` more every second.

    At a ``rate`` of ``math.inf`` time plays no part: a candle exists as soon as somebody asks for it, so that the
    fastest reader sets the pace and the market stands still while nobody listens.
    """

    def __init__(self, rate: float, first: int) -> None:
        self._rate = rate
        self._base = first
        self._started = time.monotonic()
        self._hurried = asyncio.Event()

    @property
    def position(self) -> int:
        """How many candles exist, which is also the number of the next one."""
        return self._base if self._rate == math.inf else self._base + int(self._elapsed * self._rate)

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def hurry(self, candles: int) -> None:
        """Let so many candles exist now that were not due yet."""
        self._base += candles
        self._hurried.set()
        self._hurried = asyncio.Event()

    async def reach(self, n: int) -> None:
        """Return once candle ``n`` exists; at once, and without yielding, if it does."""
        if self._rate == math.inf:
            self._base = max(self._base, n + 1)
            return
        while self.position <= n:
            delay = (n + 1 - self._base) / self._rate - self._elapsed
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._hurried.wait()
