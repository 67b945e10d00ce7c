"""An event loop on a thread of its own, for those who have none: what the blocking facade stands on."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import functools
import os
import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from adapters.contract import StreamEvent
from adapters.errors import StreamUsageError
from detectors.machine import machine_faults

__all__ = ["BackgroundLoop", "Work"]

_CLOSING = 3.0  # seconds that closing may take at the most, interrupted or not

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, T]]


class BackgroundLoop:
    """An event loop on a thread of its own.

    Args:
        what: Whose it is, for errors.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._process = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._listening: set[asyncio.Task[None]] = set()

    @property
    def runs(self) -> bool:
        """Whether it has been started, here and not in a process that this one was forked from, and not stopped."""
        return self._loop is not None and not self._closed and self._process == os.getpid()

    @property
    def closed(self) -> bool:
        """Whether it has been stopped."""
        return self._closed

    def start(self) -> None:
        """Begin, once. Raises ``StreamUsageError`` the second time, and ``MachineError`` where it cannot begin."""
        if self._thread is not None:
            msg = f"{self._what} has been entered before"
            raise StreamUsageError(msg, remedy="Make another one")
        ready: concurrent.futures.Future[asyncio.AbstractEventLoop] = concurrent.futures.Future()
        thread = threading.Thread(target=self._serve, args=(ready,), name=f"loop of {self._what}", daemon=True)
        with machine_faults(doing=f"{self._what} cannot begin"):
            thread.start()
            self._loop = ready.result()
        self._thread = thread

    @staticmethod
    def _serve(ready: concurrent.futures.Future[asyncio.AbstractEventLoop]) -> None:
        try:
            runner = asyncio.Runner()
            loop = runner.get_loop()
        except BaseException as error:  # noqa: BLE001 - it takes files of its own, and is waited for
            ready.set_exception(error)
            return
        with runner:  # which ends every task that is left, and closes the loop
            ready.set_result(loop)
            loop.run_forever()

    def _submit(self, work: Work[T]) -> concurrent.futures.Future[T]:
        if self._loop is None or not self.runs:
            raise self._refusal()
        doing = work()
        try:
            return asyncio.run_coroutine_threadsafe(doing, self._loop)
        except RuntimeError:  # another thread has closed it this very moment
            doing.close()
            raise self._refusal() from None

    def _refusal(self) -> StreamUsageError:
        if self._process != os.getpid():
            problem, remedy = "belongs to the process that this one was forked from", "Open one here"
        elif self._closed:
            problem, remedy = "has been closed", "Open it again"
        else:
            problem, remedy = "is not open", "Use it inside its with block"
        return StreamUsageError(f"{self._what} {problem}", remedy=remedy)

    def run(self, work: Work[T]) -> T:
        """Run a coroutine there and wait for it; interrupting the wait cancels it."""
        future = self._submit(work)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise self._refusal() from None  # the loop was stopped meanwhile
        except BaseException:
            future.cancel()
            raise

    def finish(self, work: Work[None]) -> None:
        """Close something that shares the loop: like ``run``, but whoever is interrupted waits until it is done."""
        if self.runs:
            future = self._submit(work)
            with contextlib.suppress(concurrent.futures.CancelledError, TimeoutError):  # the loop ends it in any case
                _insist(lambda: future.result(_CLOSING))

    def stop(self, work: Work[None]) -> None:
        """Close something, and the loop with it. Once begun it comes to its end on the loop's own thread."""
        if self.runs and self._thread is not None:
            future = self._submit(functools.partial(self._last, work))
            _insist(functools.partial(self._thread.join, _CLOSING))
            if future.done() and not future.cancelled():
                future.result()

    async def _last(self, work: Work[None]) -> None:
        try:
            await work()
        finally:
            if self._listening:  # what has just been told is to be heard
                await asyncio.wait(self._listening, timeout=0.5)
            self._closed = True
            asyncio.get_running_loop().stop()

    def listen(self, events: AsyncIterator[StreamEvent]) -> Iterator[StreamEvent]:
        """Iterate over events here that are told there. What has been told is not lost if the loop is stopped.

        Raises:
            StreamUsageError: The loop does not run.
        """
        heard: queue.SimpleQueue[StreamEvent | None] = queue.SimpleQueue()

        async def begin() -> asyncio.Task[None]:
            task = asyncio.create_task(_forward(events, heard.put))
            self._listening.add(task)
            task.add_done_callback(self._listening.discard)
            task.add_done_callback(lambda _: heard.put(None))
            return task

        return self._hear(heard, self.run(begin))

    def _hear(self, heard: queue.SimpleQueue[StreamEvent | None], task: asyncio.Task[None]) -> Iterator[StreamEvent]:
        try:
            while (event := heard.get()) is not None:
                yield event
        finally:
            if self._loop is not None and self.runs:
                self._loop.call_soon_threadsafe(task.cancel)


def _insist(wait: Callable[[], object]) -> None:
    """Wait, also if that is interrupted; not if it is again."""
    try:
        wait()
    except KeyboardInterrupt:
        wait()
        raise


async def _forward(events: AsyncIterator[StreamEvent], put: Callable[[StreamEvent], None]) -> None:
    async for event in events:
        put(event)
