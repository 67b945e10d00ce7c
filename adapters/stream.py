"""The stream that every adapter hands out: the meeting point of a driver that produces and a consumer that iterates.

A driver runs as a task on the event loop and may be fed from guest threads. Between driver and consumer stands one
bounded buffer: a full one makes the producer wait, whoever it is. Every item gets its number here, and every event its
place among the items.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Protocol, Self

from adapters.contract import EventKind, StreamData, StreamEvent, StreamKey, StreamState, StreamStats
from adapters.errors import StreamUsageError
from adapters.rate import Rate

__all__ = ["TRANSITIONS", "AdapterStream", "Driver"]

_EVENTS_KEPT = 1_000
_BUFFERED_BYTES = 32 * 2**20  # payload bytes that may wait for the consumer, however few the items
_BREATH = 64  # items handed out before the event loop gets a turn

TRANSITIONS: dict[StreamState, frozenset[StreamState]] = {
    StreamState.NEW: frozenset({StreamState.STARTING, StreamState.STOPPED}),
    StreamState.STARTING: frozenset(
        {StreamState.STREAMING, StreamState.RECOVERING, StreamState.STOPPED, StreamState.FAILED}
    ),
    StreamState.STREAMING: frozenset({StreamState.RECOVERING, StreamState.STOPPED, StreamState.FAILED}),
    StreamState.RECOVERING: frozenset({StreamState.STREAMING, StreamState.STOPPED, StreamState.FAILED}),
    StreamState.STOPPED: frozenset(),
    StreamState.FAILED: frozenset(),
}


class Driver(Protocol):
    """What produces a stream's items."""

    async def run(self) -> None:
        """Produce until the plugin ends the stream. Raises what broke it. Cancelled when the stream is closed."""
        ...

    async def aclose(self) -> None:
        """Release sockets and guests; called once, after ``run`` has ended however it ended."""
        ...


class AdapterStream:
    """Implements ``contract.Stream`` around a driver.

    Args:
        key: The key of the stream.
        make_driver: Makes the driver that feeds this stream.
        capacity: Items that may wait for the consumer.
        clock: Nanoseconds since 1970 UTC.
        logger: Where events are logged.
        ended: Told when the stream has ended.
    """

    def __init__(
        self,
        key: StreamKey,
        make_driver: Callable[[AdapterStream], Driver],
        *,
        capacity: int = 4_096,
        clock: Callable[[], int] = time.time_ns,
        logger: logging.Logger | None = None,
        ended: Callable[[AdapterStream], object] = lambda _: None,
    ) -> None:
        self._key = key
        self._make_driver = make_driver
        self._capacity = capacity
        self.clock = clock
        self._logger = logger or logging.getLogger("compat.stream")
        self._on_ended = ended
        self._lock = threading.Lock()  # guards the buffer and the counters
        self._room = threading.Condition(self._lock)
        self._buffer: deque[tuple[float, StreamData]] = deque()  # with the monotonic seconds of its arrival
        self._rate = Rate(time.monotonic())
        self._last_arrival: float | None = None
        self._received = self._delivered = self._payload_bytes = self._buffered_bytes = 0
        self._counts: dict[EventKind, int] = dict.fromkeys(EventKind, 0)
        self._state = StreamState.NEW
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = asyncio.Event()  # there is something for the consumer
        self._changed = asyncio.Event()  # there is a new event, or no more to come; replaced at each
        self._async_room = asyncio.Event()
        self._events: deque[StreamEvent] = deque(maxlen=_EVENTS_KEPT)
        self._events_told = 0
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._producer_waits = False
        self._ended = False  # nothing more will come
        self._refusing = False  # the consumer has gone

    @property
    def key(self) -> StreamKey:
        """The key that the stream was opened with."""
        return self._key

    @property
    def state(self) -> StreamState:
        """Where the stream is in its life."""
        return self._state

    @property
    def stats(self) -> StreamStats:
        """A snapshot of the counters."""
        now = time.monotonic()
        with self._lock:
            return StreamStats(
                received=self._received,
                delivered=self._delivered,
                buffered=len(self._buffer),
                payload_bytes=self._payload_bytes,
                rate=self._rate.per_second(now),
                lag=max(now - self._buffer[0][0], 0.0) if self._buffer and not self._refusing else 0.0,
                idle=None if self._last_arrival is None else now - self._last_arrival,
                gaps=self._counts[EventKind.GAP],
                reconnects=self._counts[EventKind.RECONNECT],
                restarts=self._counts[EventKind.RESTART],
                plugin_errors=self._counts[EventKind.PLUGIN_ERROR],
                lingering=self._counts[EventKind.LINGERING],
            )

    # The consumer's side

    async def __aenter__(self) -> Self:
        if self._state is not StreamState.NEW:
            msg = f"stream {self._key} has been opened before"
            raise StreamUsageError(msg, remedy="Ask the plugin for another stream of the same key")
        self._loop = asyncio.get_running_loop()
        self.enter_state(StreamState.STARTING, "starting")
        self._task = asyncio.create_task(self._drive(), name=f"stream {self._key}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the stream; see ``contract.Stream``."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name=f"close of stream {self._key}")
        # Whoever waits may be cancelled; the closing itself goes on.
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        with self._lock:
            self._refusing = True
            self._room.notify_all()
        self._async_room.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._finish(StreamState.STOPPED, "closed", None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamData:
        if self._state is StreamState.NEW:
            msg = f"stream {self._key} is not open"
            raise StreamUsageError(msg, remedy="Enter it first: async with plugin.stream(key) as stream")
        # Before an item is taken: a consumer that is cancelled here has lost none.
        if self._delivered % _BREATH == _BREATH - 1:
            await asyncio.sleep(0)
        while not self._buffer or self._refusing:
            if self._ended or self._refusing:
                if self._error is not None and not self._refusing:
                    raise self._error
                raise StopAsyncIteration
            self._ready.clear()
            if not self._buffer and not self._ended:
                await self._ready.wait()
        with self._lock:
            _, item = self._buffer.popleft()
            self._delivered += 1
            self._buffered_bytes -= len(item.data)
            if self._producer_waits and not self._is_full(2):
                self._producer_waits = False
                self._room.notify_all()
                self._async_room.set()
        return item

    async def events(self) -> AsyncIterator[StreamEvent]:
        """All events from the first on (the latest 1,000 at most), then live ones; see ``contract.Stream``."""
        told = 0
        while True:
            changed = self._changed
            dropped = self._events_told - len(self._events)
            batch = list(self._events)[max(told - dropped, 0) :]
            told = self._events_told
            for event in batch:
                yield event
            if told == self._events_told:
                if self._ended:
                    return
                await changed.wait()

    # The driver's side

    async def _drive(self) -> None:
        error: BaseException | None = None
        try:
            driver = self._make_driver(self)
            try:
                await driver.run()
            finally:
                await driver.aclose()
        except asyncio.CancelledError:
            self._finish(StreamState.STOPPED, "closed", None)
            raise
        except Exception as caught:  # noqa: BLE001 - it surfaces at the consumer's iteration
            error = caught
        if error is None:
            self._finish(StreamState.STOPPED, "the plugin ended the stream", None)
        else:
            self._finish(StreamState.FAILED, str(error), error)

    def _finish(self, state: StreamState, message: str, error: BaseException | None) -> None:
        if not self._ended:
            self._error = error
            self.enter_state(state, message)
            self._ended = True
            self._ready.set()
            self._notify_events()
            self._on_ended(self)

    def enter_state(self, state: StreamState, message: str) -> None:
        """Change the state and tell it; on the event loop. Staying is no change, and an ended stream stays ended."""
        if state is self._state:
            return
        if state not in TRANSITIONS[self._state]:
            if not TRANSITIONS[self._state]:
                return
            msg = f"a stream cannot go from {self._state} to {state}"
            raise StreamUsageError(msg)
        self._state = state
        self.tell(EventKind.STATE, message, state=state)

    def tell(self, kind: EventKind, message: str, *, state: StreamState | None = None, lost: int | None = None) -> None:
        """Tell an event, from any thread."""
        with self._lock:
            event = StreamEvent(kind, self.clock(), self._received, message, state, lost)
            self._counts[kind] += 1
        level = logging.DEBUG if kind is EventKind.STATE and state is not StreamState.FAILED else logging.INFO
        text = message if message == state else f"{state or kind}: {message}"
        self._logger.log(level, "stream %s, item %d: %s", self._key, event.sequence, text)
        self._call_on_loop(self._record, event)

    def _record(self, event: StreamEvent) -> None:
        self._events.append(event)
        self._events_told += 1
        self._notify_events()

    def _notify_events(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _call_on_loop(self, work: Callable[..., None], *args: object) -> None:
        if self._loop is None or self._loop.is_closed():
            return
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            work(*args)
        else:
            self._loop.call_soon_threadsafe(work, *args)

    def offer(self, key: StreamKey, timestamp: int, data_type: str, data: bytes, stopping: threading.Event) -> bool:
        """Hand over an item from a guest's thread; waits while the buffer is full.

        Returns:
            Whether it was taken; ``False`` if the stream is being closed or ``stopping`` was set.
        """
        with self._lock:
            while self._is_full() and not self._refusing and not stopping.is_set():
                self._producer_waits = True
                self._room.wait(0.1)
            if self._refusing or stopping.is_set():
                return False
            self._append(key, timestamp, data_type, data)
        if self._state is not StreamState.STREAMING:
            self._call_on_loop(self._streams_again)
        if not self._ready.is_set():
            self._call_on_loop(self._ready.set)
        return True

    async def offer_here(self, key: StreamKey, timestamp: int, data_type: str, data: bytes) -> None:
        """Hand over an item on the event loop; waits while the buffer is full."""
        while self._is_full() and not self._refusing:
            self._producer_waits = True
            self._async_room.clear()
            await self._async_room.wait()
        with self._lock:
            self._append(key, timestamp, data_type, data)
        self._streams_again()
        self._ready.set()

    def _is_full(self, parts: int = 1) -> bool:
        """Whether the buffer is full, or one of so many equal parts of it."""
        return len(self._buffer) >= self._capacity / parts or self._buffered_bytes >= _BUFFERED_BYTES / parts

    def _append(self, key: StreamKey, timestamp: int, data_type: str, data: bytes) -> None:
        now = time.monotonic()
        self._buffer.append((now, StreamData(key, timestamp, data_type, data, self._received)))
        self._rate.count(now)
        self._last_arrival = now
        self._received += 1
        self._payload_bytes += len(data)
        self._buffered_bytes += len(data)

    def _streams_again(self) -> None:
        if self._state in (StreamState.STARTING, StreamState.RECOVERING):
            self.enter_state(StreamState.STREAMING, "streaming")
