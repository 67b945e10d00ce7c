"""Where items wait for their one consumer, be it a task on an event loop or a thread of its own.

Producers may be on any thread. Nothing is bounded here: who puts items in looks after that, under the same lock, and
may give a line that is.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from adapters.contract import StreamData

__all__ = ["Line", "Mailbox"]

_BREATH = 64  # items handed out before the event loop gets a turn


class Line(Protocol):
    """Where items wait, with the monotonic seconds of their arrival. It is iterated over from the next one on."""

    def append(self, entry: tuple[float, StreamData], /) -> None:
        """Put one at the end."""
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
        taken: Told of every item that is taken, under the lock.
        line: Where they wait; used under the lock only.

    Attributes:
        lock: Guards what is in here, and whatever its owner wants to be consistent with it.
        delivered: How many items have been taken.
    """

    def __init__(self, taken: Callable[[StreamData], None], line: Line | None = None) -> None:
        self.lock = threading.Lock()
        self.delivered = 0
        self._taken = taken
        self._items: Line = deque() if line is None else line
        self._error: BaseException | None = None
        self._ended = False
        self._deserted = False
        self._task_waits: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self._threads = threading.Condition(self.lock)
        self._threads_wait = 0
        self._breath = 0

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
            self._items.append((now, item))

    def wake(self) -> None:
        """Wake the consumer; without the lock, after one item or many."""
        # Whoever waits has said so under the lock, under which the item was put in: this look needs none.
        if self._task_waits is None and not self._threads_wait:
            return
        with self.lock:
            self._threads.notify_all()
            waiter, self._task_waits = self._task_waits, None
        if waiter is not None:
            loop, future = waiter
            if loop is _running_loop():
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
        self._breath += 1
        if self._breath >= _BREATH:
            self._breath = 0
            await asyncio.sleep(0)
        while True:
            with self.lock:
                if (item := self._take()) is not None:
                    return item
                if self._over():
                    raise StopAsyncIteration
                loop = asyncio.get_running_loop()
                future = loop.create_future()
                self._task_waits = (loop, future)
            await future

    def receive(self, timeout: float | None) -> StreamData | None:
        """The next item, ``None`` at the end; blocks the thread.

        Args:
            timeout: Seconds; ``None`` to wait for as long as it takes.

        Raises:
            TimeoutError: There was none in time.
            BaseException: The error.
        """
        until = None if timeout is None else time.monotonic() + timeout
        with self.lock:
            while (item := self._take()) is None and not self._over():
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError
                self._threads_wait += 1
                try:
                    self._threads.wait(None if left is None else min(left, threading.TIMEOUT_MAX))
                finally:
                    self._threads_wait -= 1
            return item

    def _take(self) -> StreamData | None:
        if not self._items:
            return None
        item = self._items.popleft()[1]
        self.delivered += 1
        self._taken(item)
        return item

    def _over(self) -> bool:
        """Whether nothing is to be had any more. Raises what broke the stream, unless the consumer has gone."""
        if self._ended and self._error is not None and not self._deserted:
            raise self._error
        return self._ended or self._deserted


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
