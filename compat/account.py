"""What a subscriber is told besides its items: the events of its stream and its own gaps, each at its place.

A place is a number that an item has or would have. An event of the stream is told once the subscriber has taken, or
lost, every item before its place; until then it is held. So the order is that of the places, although the stream is
ahead of a slow subscriber. When the subscription ends, all is told.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from adapters.contract import EventKind, Stream, StreamData, StreamEvent
from adapters.events import EVENTS_KEPT, EventLog
from adapters.mailbox import call_soon
from compat.overflow import WaitingLine

__all__ = ["Account"]

_SINGLE = 100  # holes of one batch of which each is told by itself: many more at once, and the log forgets the first

_Hole = tuple[int, int]  # the number of the item after it, and how many are missing


class Account:
    """How far a subscriber has come, what it missed on the way, and what it is told of that.

    Items are taken on any thread, under the lock of their mailbox, and events are told on the event loop: a gap goes
    there in a callback. What the stream told before that item came got there in an earlier one, so it comes first.

    Args:
        line: Where the subscriber's items wait; it counts what it lets go.
        capacity: How many of them may wait.
    """

    def __init__(self, line: WaitingLine, capacity: int) -> None:
        self._line = line
        self._capacity = capacity
        self._log = EventLog()
        self._lock: threading.Lock  # that of the mailbox, once it has begun
        self._loop: asyncio.AbstractEventLoop | None = None
        self._unfollow: Callable[[], None] = lambda: None
        self._next = 0  # the number after that of the item that was taken last
        self._dropped = 0  # items dropped by the line that have been told
        self._gaps: deque[list[StreamEvent]] = deque(maxlen=EVENTS_KEPT)  # those of a batch, on their way to the loop
        self._held: deque[StreamEvent] = deque(maxlen=EVENTS_KEPT)
        self._awaited: float = math.inf  # the place of the first that is held, unless somebody is on the way for it
        self._finished = False

    def begin(self, stream: Stream, lock: threading.Lock) -> None:
        """The subscription has joined a stream and gets its items from now on; on the event loop."""
        self._lock = lock
        self._loop = asyncio.get_running_loop()
        self._next = stream.stats.delivered
        self._unfollow = stream.follow(self._hold)

    def events(self) -> AsyncIterator[StreamEvent]:
        """All events from the first on (the latest 1,000 at most), then live ones until the subscription has ended."""
        return self._log.listen()

    def taken(self, items: Sequence[StreamData]) -> None:
        """For the mailbox: items are taken at once; on any thread, under the lock."""
        place, self._next = self._next, items[-1].sequence + 1
        if self._next - place > len(items) and not self._finished:
            self._gaps.append(self._find_gaps(items, place))
            self._call(self._tell_gaps)
        elif self._next >= self._awaited:
            self._awaited = math.inf
            self._call(self._tell_held)

    def finish(self) -> None:
        """The subscription has ended: tell all that is left, the gaps between the items that still wait, too."""
        if self._loop is None or self._finished:
            return
        self._unfollow()
        with self._lock:
            self._finished = True
            gaps = [*itertools.chain(*self._gaps), *self._find_gaps((item for _, item in self._line), self._next)]
            self._gaps.clear()
        for gap in gaps:
            self._tell(self._due(gap.sequence))
            self._log.record(gap)
        self._tell(self._due(math.inf))
        self._log.end()

    def _find_gaps(self, items: Iterable[StreamData], place: int) -> list[StreamEvent]:
        """The holes before and between items, the first of which would have the number ``place``; under the lock."""
        holes: list[_Hole] = []
        for item in items:
            if item.sequence > place:
                holes.append((item.sequence, item.sequence - place))
            place = item.sequence + 1
        gaps = [self._gap([hole]) for hole in holes[:_SINGLE]]
        return [*gaps, self._gap(holes[_SINGLE:])] if len(holes) > _SINGLE else gaps

    def _gap(self, holes: Sequence[_Hole]) -> StreamEvent:
        """What tells of a hole, or of several as one; under the lock."""
        (first, _), (last, _) = holes[0], holes[-1]
        lost = sum(missing for _, missing in holes)
        # What was dropped had waited longest, so it stood before the first that is taken afterwards.
        dropped, self._dropped = self._line.dropped - self._dropped, self._line.dropped
        conflated = lost - dropped
        causes = []
        if dropped:
            causes.append(f"{_items(dropped)} dropped, as the subscriber fell behind by more than {self._capacity}")
        if conflated:
            causes.append(f"{_items(conflated)} conflated, as a newer one of the same key followed")
        until = last if last > first else None
        return StreamEvent(
            EventKind.GAP, time.time_ns(), first, "; ".join(causes), lost=lost, count=len(holes), until=until
        )

    def _call(self, work: Callable[[], None]) -> None:
        if self._loop is not None:  # where it is closed, all has been told before
            call_soon(self._loop, work)

    # On the event loop

    def _hold(self, event: StreamEvent) -> None:
        self._held.append(event)
        self._tell_held()

    def _tell_held(self) -> None:
        with self._lock:
            # A gap that is on its way comes before what stands at a later place.
            events = self._due(self._gaps[0][0].sequence if self._gaps else self._next)
        self._tell(events)

    def _tell_gaps(self) -> None:
        """Tell those of one batch: what the stream told before the items of the next may still be on its way."""
        events: list[StreamEvent] = []
        with self._lock:
            for gap in self._gaps.popleft() if self._gaps else ():
                events += (*self._due(gap.sequence), gap)
        self._tell(events)
        self._tell_held()

    def _due(self, place: float) -> list[StreamEvent]:
        due = []
        while self._held and self._held[0].sequence <= place:
            due.append(self._held.popleft())
        self._awaited = self._held[0].sequence if self._held else math.inf
        return due

    def _tell(self, events: Iterable[StreamEvent]) -> None:
        for event in events:
            self._log.record(event)


def _items(count: int) -> str:
    return f"{count:,} item{'s'[: count != 1]}"
