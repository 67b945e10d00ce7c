"""Where items wait for their one consumer, be it a task on an event loop or a thread of its own.

Producers may be on any thread, and put in one item or many; the consumer takes one or many. Either is one lock and one
wake-up at most: none is sent while another is on its way. Nothing is bounded here: who puts items in looks after that,
under the same lock, and may give a line that is.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from adapters.arguments import whole
from adapters.errors import StreamUsageError

if TYPE_CHECKING:
    from adapters.contract import StreamData, StreamKey

__all__ = ["BATCH", "Batches", "Line", "Mailbox", "call_soon", "check_limit", "running_loop"]

BATCH = 1_000
"""Items that a batch has at most, where the consumer does not say."""

_BREATH = 60  # items handed out before the event loop gets a turn
_LIMIT = whole(1, "items")


def check_limit(limit: int, call: str, key: StreamKey) -> int:
    """The limit of batches that was given, unless it is no whole number from 1 on.

    Args:
        limit: What was given.
        call: What it was given to, for example ``batches``.
        key: Of which stream.

    Raises:
        StreamUsageError: It is none.
    """
    if not _LIMIT.holds(limit):  # the key's text takes longer than this look
        _LIMIT.check(limit, call, "limit", of=f"stream {key}", error=StreamUsageError)
    return limit


class Line(Protocol):
    """Where items wait, with the monotonic seconds of their arrival. It is iterated over from the next one on."""

    def extend(self, entries: Iterable[tuple[float, StreamData]], /) -> None:
        """Put some at the end."""
        ...

    def popleft(self) -> tuple[float, StreamData]:
        """Take the next one out."""
        ...

    def clear(self) -> None:
        """Take all out."""
        ...

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[tuple[float, StreamData]]: ...


class Mailbox:
    """Items in the order in which they were put in.

    Args:
        taken: Told of the items that are taken at once, under the lock.
        line: Where they wait; used under the lock only.

    Attributes:
        lock: Guards what is in here, and whatever its owner wants to be consistent with it.
        delivered: How many items have been taken.
    """

    def __init__(self, taken: Callable[[Sequence[StreamData]], None], line: Line | None = None) -> None:
        self.lock = threading.Lock()
        self.delivered = 0
        self._taken = taken
        self._items: Line = deque() if line is None else line
        self._error: BaseException | None = None
        self._ended = False
        self._deserted = False
        self._task_waits: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self._threads = threading.Condition(self.lock)
        self._thread_waits = False  # like the task, only until it is woken
        self._breath = 0  # items handed out since the event loop had a turn

    def __len__(self) -> int:
        return len(self._items)

    @property
    def deserted(self) -> bool:
        """Whether the consumer has gone."""
        return self._deserted

    def lag(self, now: float) -> float:
        """Seconds that the item which is taken next has waited, at ``now`` (monotonic seconds); under the lock."""
        arrival, _ = next(iter(self._items), (now, None))
        return max(now - arrival, 0.0)

    # The producer's side

    def put(self, item: StreamData, now: float) -> None:
        """Put an item in that arrived at ``now`` (monotonic seconds); under the lock. Nobody is woken by that."""
        if not self._deserted:
            self._items.extend(((now, item),))

    def put_all(self, items: Sequence[StreamData], now: float) -> None:
        """Put items in that arrived at ``now`` (monotonic seconds); under the lock. Nobody is woken by that."""
        if not self._deserted:
            self._items.extend([(now, item) for item in items])

    def wake(self) -> None:
        """Wake the consumer; without the lock, after one item or many. Costs nothing while it has not run yet."""
        # Whoever waits has said so under the lock, under which the item was put in: this look needs none.
        if self._task_waits is None and not self._thread_waits:
            return
        with self.lock:
            waiter, self._task_waits = self._task_waits, None
            if self._thread_waits:
                self._thread_waits = False
                self._threads.notify_all()
        if waiter is not None:
            loop, future = waiter
            if loop is running_loop():
                _release(future)
            elif not loop.is_closed():
                loop.call_soon_threadsafe(_release, future)

    def end(self, error: BaseException | None) -> None:
        """Nothing more will come. What is in here is still handed out, and then ``error`` raised, if there is one."""
        with self.lock:
            if not self._ended:
                self._ended, self._error = True, error
        self.wake()

    def desert(self) -> None:
        """The consumer has gone: nothing more is handed out."""
        with self.lock:
            self._deserted = True
            self._items.clear()
        self.wake()

    # The consumer's side

    async def next(self) -> StreamData:
        """The next item. Raises ``StopAsyncIteration`` at the end, or the error. Whoever is cancelled has lost none."""
        if self._breath < _BREATH:
            with self.lock:
                if self._items:  # as it mostly is where items come fast: nothing waits, and no list is made
                    self._breath += 1
                    return self._take_one()
        return (await self.next_batch(1))[0]

    async def next_batch(self, limit: int) -> list[StreamData]:
        """What is there, ``limit`` items at most; waits only if there is nothing. Whoever is cancelled has lost none.

        Raises:
            StopAsyncIteration: The end.
            BaseException: The error.
        """
        if self._breath >= _BREATH:
            self._breath = 0
            await asyncio.sleep(0)
        while True:
            with self.lock:
                if items := self._take(limit):
                    self._breath += len(items)
                    return items
                if self._over():
                    raise StopAsyncIteration
                loop = asyncio.get_running_loop()
                future = loop.create_future()
                self._task_waits = (loop, future)
            await future  # nothing is taken before it, so nothing is lost if this is cancelled
            self._breath = 0

    def receive(self, timeout: float | None) -> StreamData | None:
        """The next item, ``None`` at the end; blocks the thread. See ``receive_batch``."""
        with self.lock:
            if self._items:
                return self._take_one()
        items = self.receive_batch(1, timeout)
        return items[0] if items else None

    def receive_batch(self, limit: int, timeout: float | None) -> list[StreamData]:
        """What is there, ``limit`` items at most, none at the end; blocks the thread while there is nothing.

        Args:
            limit: How many, 1 or more.
            timeout: Seconds; ``None`` to wait for as long as it takes.

        Raises:
            TimeoutError: There was none in time.
            BaseException: The error.
        """
        until = None if timeout is None else time.monotonic() + timeout
        with self.lock:
            while not (items := self._take(limit)) and not self._over():
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                self._thread_waits = True
                self._threads.wait(None if left is None else min(left, threading.TIMEOUT_MAX))
            return items

    def _take(self, limit: int) -> list[StreamData]:
        """So many items at most, perhaps none."""
        count = len(self._items)
        if not count:
            return []
        if limit < count:
            items = [self._items.popleft()[1] for _ in range(limit)]
        else:
            items = [item for _, item in self._items]
            self._items.clear()
        self.delivered += len(items)
        self._taken(items)
        return items

    def _take_one(self) -> StreamData:
        item = self._items.popleft()[1]
        self.delivered += 1
        self._taken((item,))
        return item

    def _over(self) -> bool:
        """Whether nothing is to be had any more. Raises what broke the stream, unless the consumer has gone."""
        if self._ended and self._error is not None and not self._deserted:
            raise self._error
        return self._ended or self._deserted


class Batches:
    """The items of a mailbox in lists. It goes on after a wait that was cancelled, as no asynchronous generator does.

    Args:
        mailbox: Where the items are taken from, by whoever else as well.
        limit: How many a list has at most.
    """

    def __init__(self, mailbox: Mailbox, limit: int) -> None:
        self._mailbox = mailbox
        self._limit = limit

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Coroutine[Any, Any, list[StreamData]]:
        return self._mailbox.next_batch(self._limit)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that runs on this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def call_soon(loop: asyncio.AbstractEventLoop, work: Callable[[], object]) -> None:
    """Call a function in the next turn of an event loop, from any thread; not where it is closed."""
    with contextlib.suppress(RuntimeError):
        (loop.call_soon if loop is running_loop() else loop.call_soon_threadsafe)(work)


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
