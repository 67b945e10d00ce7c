"""One subscriber's view of a stream: a bounded buffer that is filled by the manager and emptied by iterating."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from adapters.contract import Stream, StreamData, StreamKey
from adapters.errors import StreamUsageError
from compat.errors import SubscriberTooSlowError
from compat.status import SubscriptionStats

__all__ = ["Subscription"]

_BREATH = 64  # items handed out before the event loop gets a turn


class Subscription:
    """An asynchronous context manager and iterator. Made by ``StreamManager.subscribe``.

    The iteration ends when the subscription is left or its stream ends; it raises what broke the stream, or
    ``SubscriberTooSlowError`` after the last item that fitted into the buffer.
    """

    def __init__(
        self,
        key: StreamKey,
        buffer: int,
        join: Callable[[Subscription], Awaitable[Stream]],
        leave: Callable[[Subscription], Awaitable[None]],
    ) -> None:
        if buffer < 1:
            msg = f"a subscription's buffer must hold at least one item, not {buffer}"
            raise StreamUsageError(msg)
        self.key = key
        self._capacity = buffer
        self._join = join
        self._leave = leave
        self._buffer: deque[tuple[float, StreamData]] = deque()  # with the monotonic seconds of its arrival
        self._ready = asyncio.Event()
        self._stream: Stream | None = None
        self._error: Exception | None = None
        self._ended = False
        self._taken = 0

    @property
    def stream(self) -> Stream:
        """The stream that serves this subscription: its state, counters and events.

        Raises:
            StreamUsageError: The subscription has not been entered.
        """
        return self._begun()

    @property
    def stats(self) -> SubscriptionStats:
        """A snapshot of the counters."""
        lag = max(time.monotonic() - self._buffer[0][0], 0.0) if self._buffer else 0.0
        return SubscriptionStats(self._taken, len(self._buffer), self._capacity, lag)

    def put(self, item: StreamData) -> bool:
        """For the manager: add an item. Returns ``False`` if the subscription ended because it did not fit."""
        if len(self._buffer) >= self._capacity:
            self.end(SubscriberTooSlowError(str(self.key), self._capacity))
            return False
        self._buffer.append((time.monotonic(), item))
        self._ready.set()
        return True

    def end(self, error: Exception | None) -> None:
        """For the manager: nothing more will come."""
        if not self._ended:
            self._ended, self._error = True, error
            self._ready.set()

    async def unsubscribe(self) -> None:
        """End the subscription; the stream too, if nobody else is subscribed. Safe to call twice."""
        self.end(None)
        self._buffer.clear()
        await self._leave(self)

    async def __aenter__(self) -> Self:
        if self._stream is not None:
            msg = f"the subscription to {self.key} has begun before"
            raise StreamUsageError(msg, remedy="Subscribe again")
        if self._ended:
            msg = f"the subscription to {self.key} has been ended before it began"
            raise StreamUsageError(msg, remedy="Subscribe again")
        self._stream = await self._join(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.unsubscribe()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamData:
        self._begun()
        # Before an item is taken: a subscriber that is cancelled here has lost none.
        if self._taken % _BREATH == _BREATH - 1:
            await asyncio.sleep(0)
        while not self._buffer:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        self._taken += 1
        return self._buffer.popleft()[1]

    def _begun(self) -> Stream:
        if self._stream is None:
            msg = f"the subscription to {self.key} has not begun"
            raise StreamUsageError(msg, remedy="Enter it first: async with manager.subscribe(key) as subscription")
        return self._stream
