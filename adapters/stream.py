"""The stream that every adapter hands out: the meeting point of a driver that produces and a consumer that iterates.

A driver runs as a task on the event loop and may be fed from guest threads. Between driver and consumer stands one
mailbox, and it is bounded: a full one makes the producer wait, whoever it is. Every item gets its number here, and
every event its place among the items.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Protocol, Self

from adapters.announcer import Announcer
from adapters.closing import Closing
from adapters.contract import EventKind, StreamData, StreamEvent, StreamKey, StreamState, StreamStats
from adapters.errors import StreamUsageError
from adapters.events import EventLog
from adapters.mailbox import Mailbox
from adapters.rate import Rate
from detectors.errors import CompatError
from detectors.wording import shown

__all__ = ["TRANSITIONS", "AdapterStream", "Driver"]

_LONGEST_MESSAGE = 900  # characters of an event's

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
        capacity_bytes: Payload bytes that may wait for the consumer, however few the items.
        idle_limit: Seconds without an item after which the driver starts anew; ``None``: however long it takes.
        clock: Nanoseconds since 1970 UTC.
        monotonic: Seconds, on a clock that never goes back; read on several threads.
        logger: Where events are logged.
        redact: Takes secrets out of what events and logs say.
        ended: Told when the stream has ended.
    """

    def __init__(
        self,
        key: StreamKey,
        make_driver: Callable[[AdapterStream], Driver],
        *,
        capacity: int = 4_096,
        capacity_bytes: int = 32 * 2**20,
        idle_limit: float | None = None,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        logger: logging.Logger | None = None,
        redact: Callable[[str], str] = str,
        ended: Callable[[AdapterStream], object] = lambda _: None,
    ) -> None:
        self._key = key
        self._make_driver = make_driver
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self.idle_limit = idle_limit
        self.clock = clock
        self.monotonic = monotonic
        self._logger = logger or logging.getLogger("compat.stream")
        self._redact = redact
        self._on_ended = ended
        self._mailbox = Mailbox(self._make_room)
        self._lock = self._mailbox.lock  # the counters are consistent with what is in it
        self._room = threading.Condition(self._lock)
        self._async_room = asyncio.Event()
        self._producer_waits = False
        self._rate = Rate(monotonic())
        self.last_arrival: float | None = None  # by ``monotonic``
        self._flowing_since = 0.0  # likewise: when the first item after the latest start came
        self._received = self._payload_bytes = self._buffered_bytes = 0
        self._counts: dict[EventKind, int] = dict.fromkeys(EventKind, 0)
        self._state = StreamState.NEW
        self._loop: asyncio.AbstractEventLoop | None = None
        self._events = EventLog()
        self._announcer = Announcer(self._events, self._lock, monotonic, self._log_event)
        self._task: asyncio.Task[None] | None = None
        self._closing = Closing(self._close, f"close of stream {key}")
        self._ended = False  # nothing more will come

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
        now = self.monotonic()
        with self._lock:
            return StreamStats(
                received=self._received,
                delivered=self._mailbox.delivered,
                buffered=len(self._mailbox),
                payload_bytes=self._payload_bytes,
                rate=self._rate.per_second(now),
                lag=self._mailbox.lag(now),
                idle=None if self.last_arrival is None else now - self.last_arrival,
                gaps=self._counts[EventKind.GAP],
                reconnects=self._counts[EventKind.RECONNECT],
                restarts=self._counts[EventKind.RESTART],
                plugin_errors=self._counts[EventKind.PLUGIN_ERROR],
                lingering=self._counts[EventKind.LINGERING],
            )

    @property
    def flowing(self) -> float:
        """Seconds between the first and the last item since the stream started or recovered last."""
        with self._lock:
            return 0.0 if self.last_arrival is None else self.last_arrival - self._flowing_since

    @property
    def backed_up(self) -> bool:
        """Whether the plugin waits because the consumer is slow."""
        return self._producer_waits

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
        await self._closing()

    async def _close(self) -> None:
        self._mailbox.desert()
        with self._lock:
            self._room.notify_all()
        self._async_room.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._finish(StreamState.STOPPED, "closed", None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamData:
        self._require_begun("async with")
        return await self._mailbox.next()

    def receive(self, timeout: float | None = None) -> StreamData | None:
        """The next item, for a consumer on a thread; see ``contract.Stream``."""
        self._require_begun("with")
        return self._mailbox.receive(timeout)

    def _require_begun(self, how: str) -> None:
        if self._state is StreamState.NEW:
            msg = f"stream {self._key} is not open"
            raise StreamUsageError(msg, remedy=f"Enter it first: {how} plugin.stream(key) as stream")

    def _make_room(self, item: StreamData) -> None:
        """An item has been taken; under the lock."""
        self._buffered_bytes -= len(item.data)
        if self._producer_waits and not self._is_full(2):
            self._producer_waits = False
            self._room.notify_all()
            self._call_on_loop(self._async_room.set)

    def events(self) -> AsyncIterator[StreamEvent]:
        """All events from the first on (the latest 1,000 at most), then live ones; see ``contract.Stream``."""
        return self._events.listen()

    def follow(self, follower: Callable[[StreamEvent], object]) -> Callable[[], None]:
        """Call a function with every event; see ``contract.Stream``."""
        unfollow = self._events.follow(follower)

        def leave() -> None:
            self._announcer.tell_all()
            unfollow()

        return leave

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
            told = error.at(f"stream {self._key}") if isinstance(error, CompatError) else error
            self._finish(StreamState.FAILED, str(error), told)

    def _finish(self, state: StreamState, message: str, error: BaseException | None) -> None:
        if not self._ended:
            try:
                self.enter_state(state, message)
                self._announcer.tell_all()
            finally:  # the user's logger may raise, and nobody is to wait for ever
                self._ended = True
                self._mailbox.end(error)
                self._events.end()
                self._on_ended(self)

    def enter_state(self, state: StreamState, message: str) -> None:
        """Change the state and tell it, from any thread. Staying is no change, and an ended stream stays ended."""
        with self._lock:
            if state is self._state or not TRANSITIONS[self._state]:
                return
            if state not in TRANSITIONS[self._state]:
                msg = f"a stream cannot go from {self._state} to {state}"
                raise StreamUsageError(msg)
            self._state = state
        self.tell(EventKind.STATE, message, state=state)

    def tell(self, kind: EventKind, message: str, *, state: StreamState | None = None, lost: int | None = None) -> None:
        """Tell an event, from any thread."""
        message = shown(self._redact(message), _LONGEST_MESSAGE)
        with self._lock:
            event = StreamEvent(kind, self.clock(), self._received, message, state, lost)
            self._counts[kind] += 1
            something_to_do = self._announcer.add(event)
        if something_to_do and not self._call_on_loop(self._announcer.tell):
            self._announcer.tell_without_loop()

    def _log_event(self, event: StreamEvent) -> None:
        routine = event.kind is EventKind.STATE and event.state is not StreamState.FAILED
        text = event.message if event.message == event.state else f"{event.state or event.kind}: {event.message}"
        level = logging.DEBUG if routine else logging.INFO
        self._logger.log(level, "stream %s, %s: %s", self._key, event.where, text)

    def _call_on_loop(self, work: Callable[[], None]) -> bool:
        """Call a function on the event loop, at once if this is it. Returns whether there is one."""
        if self._loop is None or self._loop.is_closed():
            return False
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            running = None
        if running is self._loop:
            work()
            return True
        try:
            self._loop.call_soon_threadsafe(work)
        except RuntimeError:  # it was closed meanwhile
            return False
        return True

    def offer(self, key: StreamKey, timestamp: int, data_type: str, data: bytes, stopping: threading.Event) -> bool:
        """Hand over an item from a guest's thread; waits while the buffer is full.

        Returns:
            Whether it was taken; ``False`` if the stream is being closed or ``stopping`` was set.
        """
        with self._lock:
            while self._is_full() and not self._mailbox.deserted and not stopping.is_set():
                self._producer_waits = True
                self._room.wait(0.1)
            if self._mailbox.deserted or stopping.is_set():
                return False
        self._add(key, timestamp, data_type, data)
        return True

    async def offer_here(self, key: StreamKey, timestamp: int, data_type: str, data: bytes) -> None:
        """Hand over an item on the event loop; waits while the buffer is full."""
        while self._must_wait():
            await self._async_room.wait()
        self._add(key, timestamp, data_type, data)

    def _must_wait(self) -> bool:
        with self._lock:  # an item may be taken on another thread at this moment
            if not self._is_full() or self._mailbox.deserted:
                return False
            self._producer_waits = True
            self._async_room.clear()
            return True

    def _is_full(self, parts: int = 1) -> bool:
        """Whether the buffer is full, or one of so many equal parts of it."""
        return len(self._mailbox) >= self._capacity / parts or self._buffered_bytes >= self._capacity_bytes / parts

    def _add(self, key: StreamKey, timestamp: int, data_type: str, data: bytes) -> None:
        now = self.monotonic()
        if self._state in (StreamState.STARTING, StreamState.RECOVERING):
            self._flowing_since = now
            self.enter_state(StreamState.STREAMING, "streaming")  # before anybody can have the item
        with self._lock:
            self._append(key, timestamp, data_type, data, now)
        self._mailbox.wake()

    def _append(self, key: StreamKey, timestamp: int, data_type: str, data: bytes, now: float) -> None:
        self._mailbox.put(StreamData(key, timestamp, data_type, data, self._received), now)
        self._rate.count(now)
        self.last_arrival = now
        self._received += 1
        self._payload_bytes += len(data)
        self._buffered_bytes += len(data)
