"""One subscriber's view of a stream: a bounded buffer that is filled by the manager and emptied by iterating."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from adapters.contract import Stream, StreamData, StreamKey
from adapters.errors import StreamUsageError
from adapters.mailbox import Mailbox
from compat.errors import SubscriberTooSlowError
from compat.status import SubscriptionStats

__all__ = ["Subscription"]


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
        self._mailbox = Mailbox()
        self._stream: Stream | None = None
        self._ended = False

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
        with self._mailbox.lock:
            lag = self._mailbox.lag(time.monotonic())
            return SubscriptionStats(self._mailbox.delivered, len(self._mailbox), self._capacity, lag)

    def put(self, item: StreamData) -> bool:
        """For the manager: add an item. Returns ``False`` if the subscription ended because it did not fit."""
        with self._mailbox.lock:
            fits = len(self._mailbox) < self._capacity
            if fits:
                self._mailbox.put(item, time.monotonic())
        if fits:
            self._mailbox.wake()
        else:
            self.end(SubscriberTooSlowError(str(self.key), self._capacity))
        return fits

    def end(self, error: Exception | None) -> None:
        """For the manager: nothing more will come."""
        self._ended = True
        self._mailbox.end(error)

    async def unsubscribe(self) -> None:
        """End the subscription; the stream too, if nobody else is subscribed. Safe to call twice."""
        self.end(None)
        self._mailbox.desert()
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
        return await self._mailbox.next()

    def receive(self, timeout: float | None = None) -> StreamData | None:
        """The next item, for a subscriber on a thread; see ``Stream.receive``."""
        self._begun()
        return self._mailbox.receive(timeout)

    def _begun(self) -> Stream:
        if self._stream is None:
            msg = f"the subscription to {self.key} has not begun"
            raise StreamUsageError(msg, remedy="Enter it first: async with manager.subscribe(key) as subscription")
        return self._stream
