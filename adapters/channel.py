"""Where the driver of one stream and its consumer meet: items, states and events, numbered under one lock.

Drivers write through feeds (``feed.py``), from any thread; the consumer has a stream (``stream.py``). Between the two
stands one mailbox, and it is bounded: a full one makes whoever writes wait. Every item gets its number here, and every
event its place among the items, under one lock: whichever threads they come from, nothing is recorded in another order
than that in which it happened.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from adapters.announcer import Announcer
from adapters.contract import EventKind, StreamData, StreamEvent, StreamKey, StreamState, StreamStats
from adapters.errors import StreamUsageError
from adapters.events import EventLog
from adapters.mailbox import Mailbox, running_loop
from adapters.rate import Rate
from detectors.wording import shown

__all__ = ["TRANSITIONS", "Channel", "Item"]

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


class Item(NamedTuple):
    """What a driver writes, before it has a number; see ``contract.StreamData``."""

    key: StreamKey
    data_type: str
    data: bytes
    timestamp: int


class Channel:
    """The items, states and events of one stream.

    Args:
        key: The key of the stream.
        capacity: Items that may wait for the consumer.
        capacity_bytes: Payload bytes that may wait for the consumer, however few the items.
        idle_limit: Seconds without an item after which the driver starts anew; ``None``: however long it takes.
        clock: Nanoseconds since 1970 UTC.
        monotonic: Seconds, on a clock that never goes back; read on several threads.
        logger: Where events are logged.
        redact: Takes secrets out of what events and logs say.

    Attributes:
        events: What was told, on the event loop.
        mailbox: Where the items wait.
        last_arrival: When the last item came, by ``monotonic``; ``None`` before the first.
    """

    def __init__(
        self,
        key: StreamKey,
        *,
        capacity: int = 4_096,
        capacity_bytes: int = 32 * 2**20,
        idle_limit: float | None = None,
        clock: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
        logger: logging.Logger | None = None,
        redact: Callable[[str], str] = str,
    ) -> None:
        self.key = key
        self.idle_limit = idle_limit
        self.clock = clock
        self.monotonic = monotonic
        self.events = EventLog()
        self.mailbox = Mailbox(self._make_room)
        self.last_arrival: float | None = None
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._logger = logger or logging.getLogger("compat.stream")
        self._redact = redact
        self._lock = self.mailbox.lock  # the counters are consistent with what is in it
        self._room = threading.Condition(self._lock)
        self._async_room = asyncio.Event()
        self._writer_waits = False
        self._rate = Rate(monotonic())
        self._flowing_since = 0.0  # by ``monotonic``: when the first item after the latest start came
        self._received = self._payload_bytes = self._buffered_bytes = 0
        self._counts: dict[EventKind, int] = dict.fromkeys(EventKind, 0)
        self._state = StreamState.NEW
        self._loop: asyncio.AbstractEventLoop | None = None
        self._announcer = Announcer(self.events, self._lock, monotonic, self._log_event)
        self._finished = False  # nothing more will come

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
                delivered=self.mailbox.delivered,
                buffered=len(self.mailbox),
                payload_bytes=self._payload_bytes,
                rate=self._rate.per_second(now),
                lag=self.mailbox.lag(now),
                idle=None if self.last_arrival is None else now - self.last_arrival,
                gaps=self._counts[EventKind.GAP],
                reconnects=self._counts[EventKind.RECONNECT],
                restarts=self._counts[EventKind.RESTART],
                plugin_errors=self._counts[EventKind.PLUGIN_ERROR],
                lingering=self._counts[EventKind.LINGERING],
            )

    @property
    def received(self) -> int:
        """How many items have come: the number of the next."""
        return self._received

    @property
    def flowing(self) -> float:
        """Seconds between the first and the last item since the stream started or recovered last."""
        with self._lock:
            return 0.0 if self.last_arrival is None else self.last_arrival - self._flowing_since

    @property
    def backed_up(self) -> bool:
        """Whether the plugin waits because the consumer is slow."""
        return self._writer_waits

    # Writing, on any thread

    def put(self, items: Sequence[Item], *, anyway: bool = False) -> int | None:
        """Take the first of these items, as many as there is room for. Does not wait.

        Args:
            items: In their order.
            anyway: Whether they are taken though there is no room: they were kept elsewhere until now.

        Returns:
            How many were taken; ``None`` if nobody will ever take another.
        """
        with self._lock:
            if self.mailbox.deserted:
                return None
            fitting = items if anyway else items[: self._fitting(items)]
            told = bool(fitting) and self._append(fitting)
        if told:
            self._announce()
        if fitting:
            self.mailbox.wake()
        return len(fitting)

    def _fitting(self, items: Sequence[Item]) -> int:
        room, used = self._capacity - len(self.mailbox), self._buffered_bytes
        for count, item in enumerate(items):
            if count >= room or used >= self._capacity_bytes:
                return count
            used += len(item.data)
        return len(items)

    def _append(self, items: Sequence[Item]) -> bool:
        """Number the items and put them in; under the lock. Returns whether ``_announce`` is to be called."""
        now, told = self.monotonic(), False
        if self._state in (StreamState.STARTING, StreamState.RECOVERING):
            self._flowing_since = now
            told = self._enter(StreamState.STREAMING, "streaming")  # before anybody can have the items
        first = self._received
        self.mailbox.put_all(
            [
                StreamData(key, timestamp, data_type, data, number)
                for number, (key, data_type, data, timestamp) in enumerate(items, first)
            ],
            now,
        )
        size = sum([len(item.data) for item in items])
        self._rate.count(now, len(items))
        self.last_arrival = now
        self._received = first + len(items)
        self._payload_bytes += size
        self._buffered_bytes += size
        return told

    def wait_for_room(self, stopping: threading.Event) -> bool:
        """Wait, on a thread of its own, until there is room. Returns whether there is: ``False`` if it is pointless."""
        with self._lock:
            while self._is_full() and not self.mailbox.deserted and not stopping.is_set():
                self._writer_waits = True
                self._room.wait(0.1)
            return not (self.mailbox.deserted or stopping.is_set())

    async def room(self) -> None:
        """Wait, on the event loop, until there is room, or nobody will ever take another item."""
        while self._must_wait():
            await self._async_room.wait()

    def _must_wait(self) -> bool:
        with self._lock:  # an item may be taken on another thread at this moment
            if not self._is_full() or self.mailbox.deserted:
                return False
            self._writer_waits = True
            self._async_room.clear()
            return True

    def _is_full(self, parts: int = 1) -> bool:
        """Whether the buffer is full, or one of so many equal parts of it."""
        return len(self.mailbox) >= self._capacity / parts or self._buffered_bytes >= self._capacity_bytes / parts

    def _make_room(self, items: Sequence[StreamData]) -> None:
        """Items have been taken; under the lock."""
        for item in items:
            self._buffered_bytes -= len(item.data)
        if self._writer_waits and not self._is_full(2):
            self._writer_waits = False
            self._room.notify_all()
            self._call_on_loop(self._async_room.set)

    def enter_state(self, state: StreamState, message: str) -> None:
        """Change the state and tell it. Staying is no change, and an ended stream stays ended."""
        with self._lock:
            if state is self._state or not TRANSITIONS[self._state]:
                return
            told = self._enter(state, self._shown(message))
        if told:
            self._announce()

    def _enter(self, state: StreamState, message: str) -> bool:
        if state not in TRANSITIONS[self._state]:
            msg = f"a stream cannot go from {self._state} to {state}"
            raise StreamUsageError(msg)
        self._state = state
        return self._record(EventKind.STATE, message, state)

    def tell(self, kind: EventKind, message: str, *, lost: int | None = None) -> None:
        """Tell an event; its place is before the item that comes next."""
        message = self._shown(message)
        with self._lock:
            told = self._record(kind, message, lost=lost)
        if told:
            self._announce()

    def _shown(self, message: str) -> str:
        return shown(self._redact(message), _LONGEST_MESSAGE)

    def _record(self, kind: EventKind, message: str, state: StreamState | None = None, lost: int | None = None) -> bool:
        """Count an event and pass it on; under the lock. Returns whether ``_announce`` is to be called."""
        self._counts[kind] += 1
        return self._announcer.add(StreamEvent(kind, self.clock(), self._received, message, state, lost))

    def _announce(self) -> None:
        if not self._call_on_loop(self._announcer.tell):
            self._announcer.tell_without_loop()

    def _log_event(self, event: StreamEvent) -> None:
        routine = event.kind is EventKind.STATE and event.state is not StreamState.FAILED
        text = event.message if event.message == event.state else f"{event.state or event.kind}: {event.message}"
        level = logging.DEBUG if routine else logging.INFO
        self._logger.log(level, "stream %s, %s: %s", self.key, event.where, text)

    def _call_on_loop(self, work: Callable[[], None]) -> bool:
        """Call a function on the event loop, at once if this is it. Returns whether there is one."""
        if self._loop is None or self._loop.is_closed():
            return False
        if self._loop is running_loop():
            work()
            return True
        try:
            self._loop.call_soon_threadsafe(work)
        except RuntimeError:  # it was closed meanwhile
            return False
        return True

    # The stream, on the event loop

    def begin(self) -> None:
        """The stream begins, on this event loop."""
        self._loop = asyncio.get_running_loop()
        self.enter_state(StreamState.STARTING, "starting")

    def tell_all(self) -> None:
        """Tell what waits to become one event with others."""
        self._announcer.tell_all()

    def desert(self) -> None:
        """The consumer has gone: let go of whoever waits for room."""
        self.mailbox.desert()
        with self._lock:
            self._room.notify_all()
        self._async_room.set()

    def finish(self, state: StreamState, message: str, error: BaseException | None) -> bool:
        """End in a state, with what broke it, if anything did. Returns whether it had not ended before."""
        if self._finished:
            return False
        try:
            self.enter_state(state, message)
            self.tell_all()
        finally:  # the user's logger may raise, and nobody is to wait for ever
            self._finished = True
            self.mailbox.end(error)
            self.events.end()
        return True
