"""How fast events are told: those of a kind that follow each other too fast are held, and become one with a count.

The law of this room: nothing is lost and nothing uncounted. What was told sums up to what happened: the counts, the
losses that are known, the places from the first to the last. What was held is told before anything that came after it,
so places never go back, and no event is overtaken by a state that followed it.

No clock, no thread and no event loop is in here: see ``announcer.Announcer``.
"""

from __future__ import annotations

import attrs

from adapters.buckets import Bucket
from adapters.contract import EventKind, StreamEvent

__all__ = ["BURST", "RATE", "SINGLE", "EventRate"]

BURST = 20
"""Events of one kind of a stream that are told at once, each by itself."""

RATE = 5.0
"""Events of one kind of a stream that are told a second, in the long run."""

SINGLE = frozenset({EventKind.STATE, EventKind.RESTART, EventKind.LINGERING})
"""The kinds of which each is told by itself, and at once."""

_Line = tuple[EventKind, bool]  # a kind, and whether it is known how many items are lost: the two do not add up


@attrs.define(eq=False)
class _Held:
    """Events that become one."""

    first: StreamEvent
    last: StreamEvent
    count: int
    lost: int | None

    def add(self, event: StreamEvent) -> None:
        self.last = event
        self.count += event.count
        if self.lost is not None and event.lost is not None:
            self.lost += event.lost

    @property
    def event(self) -> StreamEvent:
        if self.count == self.first.count:  # there is no other
            return self.first
        message = f"{self.last.message} (and {self.count - 1:,} more like it)"
        first, last = self.first.sequence, self.last.places[-1]
        return attrs.evolve(
            self.first, message=message, lost=self.lost, count=self.count, until=last if last != first else None
        )


class EventRate:
    """The events of one stream on their way to being told. Used by one thread at a time."""

    def __init__(self) -> None:
        self._buckets: dict[_Line, Bucket] = {}
        self._held: dict[_Line, _Held] = {}  # in the order of their first places

    @property
    def holds(self) -> bool:
        """Whether something waits to be told."""
        return bool(self._held)

    def add(self, event: StreamEvent, now: float) -> list[StreamEvent]:
        """Take an event. Returns what is to be told now, in order.

        Args:
            event: Its place is not before that of the event that was added last.
            now: Seconds, on a clock that never goes back.
        """
        if event.kind in SINGLE:
            return [*self.all(now), event]
        line = event.kind, event.lost is not None
        if line in self._held:
            self._held[line].add(event)
        else:
            self._held[line] = _Held(event, event, event.count, event.lost)
            if line not in self._buckets:
                self._buckets[line] = Bucket(RATE, BURST, now)
        return self.due(now)

    def due(self, now: float) -> list[StreamEvent]:
        """What is to be told now, as time has passed, in order: all that is held, or nothing."""
        if any(self._buckets[line].tokens(now) >= 1 for line in self._held):
            return self.all(now)
        return []

    def all(self, now: float) -> list[StreamEvent]:
        """All that is held, in order, whatever the rate: something follows that may not overtake it, or nothing."""
        told, self._held = self._held, {}
        for line in told:
            bucket = self._buckets[line]
            bucket.take(min(1.0, bucket.tokens(now)), now)
        return [held.event for held in told.values()]
