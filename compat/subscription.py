"""One subscriber's view of a stream: a bounded buffer that is filled by the manager and emptied by iterating."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from adapters.arguments import whole
from adapters.contract import Stream, StreamData, StreamEvent, StreamKey
from adapters.errors import StreamUsageError
from adapters.mailbox import BATCH, Batches, Mailbox, call_soon, check_limit
from compat.account import Account
from compat.errors import SubscriberTooSlowError
from compat.overflow import LINES, Overflow
from compat.status import SubscriptionStats

__all__ = ["Subscription"]

_BUFFER = whole(1, "items")


class Subscription:
    """An asynchronous context manager and iterator. Made by ``StreamManager.subscribe``.

    The iteration ends when the subscription is left or its stream ends; it raises what broke the stream, or
    ``SubscriberTooSlowError`` after the last item that fitted into the buffer, if that is its policy.
    """

    def __init__(
        self,
        key: StreamKey,
        buffer: int,
        overflow: Overflow | str,
        join: Callable[[Subscription], Awaitable[Stream]],
        leave: Callable[[Subscription], Awaitable[None]],
    ) -> None:
        _BUFFER.check(buffer, "subscribe", "buffer", of=f"the subscription to {key}", error=StreamUsageError)
        if overflow not in tuple(Overflow):
            msg = f"{overflow!r} is no overflow policy of a subscription"
            raise StreamUsageError(msg, remedy=f"Choose one of {', '.join(Overflow)}")
        self.key = key
        self._capacity = buffer
        self._overflow = Overflow(overflow)
        self._join = join
        self._leave = leave
        self._line = LINES[self._overflow](buffer)
        self._account = Account(self._line, buffer)
        self._blocks = self._overflow is Overflow.BLOCK
        self._mailbox = Mailbox(self._taken if self._blocks else self._account.taken, self._line)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room = asyncio.Event()
        self._manager_waits = False
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
            return SubscriptionStats(
                delivered=self._mailbox.delivered,
                buffered=len(self._line),
                capacity=self._capacity,
                lag=self._mailbox.lag(time.monotonic()),
                overflow=self._overflow,
                dropped=self._line.dropped + self._line.conflated,
                conflated=self._line.conflated,
            )

    def events(self) -> AsyncIterator[StreamEvent]:
        """The stream's events, and a gap event before each item that follows others which this subscription dropped.

        The order is that of their ``sequence``: an event of the stream is told once every item before its place has
        been taken. ``subscription.stream.events()`` tells it at once, and nothing of what is dropped here. A gap is
        told when the item after it is taken, with the ``lost`` numbers before its ``sequence``. Where the stream tells
        several events as one, that one comes late, by a fifth of a second at most, and may stand after such a gap.

        They are told from the first on (the latest 1,000 at most), then live until the subscription has ended. What an
        ended one has dropped is told at once; what is still waiting when it is left, is given up and not told.

        Raises:
            StreamUsageError: The subscription has not been entered.
        """
        self._begun()
        return self._account.events()

    @property
    def room(self) -> int:
        """For the manager: how many items may come at once without making it wait; at least the one that may wait."""
        return max(self._capacity - len(self._line), 1) if self._blocks else sys.maxsize

    def put_all(self, items: Sequence[StreamData]) -> int:
        """For the manager: add items, with one wake-up. Returns how many fitted; for the rest see ``put_in_turn``."""
        with self._mailbox.lock:
            fitted = 0 if self._ended else self._line.admits(len(items))
            fits = fitted == len(items)
            self._mailbox.put_all(items if fits else items[:fitted], time.monotonic())
            if not fits:
                self._manager_waits = True
                self._room.clear()
        self._mailbox.wake()
        if not fits and self._overflow is Overflow.ERROR and not self._ended:
            self.end(SubscriberTooSlowError(str(self.key), self._capacity))
        return fitted

    async def put_in_turn(self, items: Sequence[StreamData]) -> bool:
        """For the manager: add items for which there was no room, as there is. ``False``: not for all of them, ever."""
        while not self._ended:
            await self._room.wait()
            items = items[self.put_all(items) :]
            if not items:
                return True
        return False

    def _taken(self, items: Sequence[StreamData]) -> None:
        """There is room again; under the lock, on the subscriber's thread."""
        self._account.taken(items)
        if self._manager_waits and self._loop is not None:
            self._manager_waits = False
            call_soon(self._loop, self._room.set)  # where it is closed, nobody waits any more

    def end(self, error: BaseException | None) -> None:
        """For the manager: nothing more will come."""
        self._end_items(error)
        self._account.finish()

    def _end_items(self, error: BaseException | None) -> None:
        self._ended = True
        self._mailbox.end(error)
        self._room.set()

    async def unsubscribe(self) -> None:
        """End the subscription; the stream too, if nobody else is subscribed. Safe to call twice."""
        self._end_items(None)
        self._mailbox.desert()
        try:
            await self._leave(self)
        finally:
            self._account.finish()  # the end of the stream is heard, too

    async def __aenter__(self) -> Self:
        if self._stream is not None:
            msg = f"the subscription to {self.key} has begun before"
            raise StreamUsageError(msg, remedy="Subscribe again")
        if self._ended:
            msg = f"the subscription to {self.key} has been ended before it began"
            raise StreamUsageError(msg, remedy="Subscribe again")
        self._stream = await self._join(self)
        self._loop = asyncio.get_running_loop()
        self._account.begin(self._stream, self._mailbox.lock)
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

    def batches(self, limit: int = BATCH) -> AsyncIterator[list[StreamData]]:
        """The items in lists: what is there, at once; see ``Stream.batches``.

        In a list one item follows the other: what ``drop-oldest`` has dropped stood before its first. Only with
        ``conflate`` it goes over holes. They are told when the list is taken, each at its ``sequence``; where there
        are more than 100, the others as one event, with their ``count`` and ``places``.

        Args:
            limit: How many items a list has at most.

        Raises:
            StreamUsageError: The subscription has not been entered, or ``limit`` is no whole number from 1 on.
        """
        self._begun()
        return Batches(self._mailbox, check_limit(limit, "batches", self.key))

    def receive(self, timeout: float | None = None) -> StreamData | None:
        """The next item, for a subscriber on a thread; see ``Stream.receive``."""
        self._begun()
        return self._mailbox.receive(timeout)

    def receive_batch(self, limit: int = BATCH, timeout: float | None = None) -> list[StreamData]:
        """What ``batches`` gives next, for a subscriber on a thread; see ``Stream.receive_batch``."""
        self._begun()
        return self._mailbox.receive_batch(check_limit(limit, "receive_batch", self.key), timeout)

    def _begun(self) -> Stream:
        if self._stream is None:
            msg = f"the subscription to {self.key} has not begun"
            raise StreamUsageError(msg, remedy="Enter it first: async with manager.subscribe(key) as subscription")
        return self._stream
