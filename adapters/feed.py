"""What one source of a stream's items writes to: a guest, or a connection whose messages a guest reads.

Every feed has a gate, and so any of them can take over from any other: see ``handover.py``. What is written to a held
feed waits in it, items and events in their order.
"""

from __future__ import annotations

import enum
import threading
from collections import deque
from collections.abc import Iterable, Sequence

import attrs

from adapters.channel import Channel, Item
from adapters.contract import EventKind

__all__ = ["Feed", "Gate"]

_REMEMBERED = 128  # items
_EVENTS_HELD = 1_000


class Gate(enum.Enum):
    """What becomes of what is written to a feed."""

    HELD = "held"  # it is kept, until the feed takes over from another
    OPEN = "open"  # it is passed on
    SHUT = "shut"  # items are refused


@attrs.frozen
class _HeldEvent:
    before: int  # of the held items: its place
    kind: EventKind
    message: str
    lost: int | None


class Feed:
    """One source's way into a stream. Its items are written by one thread, or by one task of the event loop, at a time.

    Args:
        channel: The stream's.
        gate: What becomes of what is written.
        remembered: How many items are kept to be compared with those of a feed that takes over from this one.

    Attributes:
        stopping: Set when whoever writes is to stop; from then on nobody waits for room.
        held: Items that wait for the gate to be opened.
        recent: The last ones that were passed on.
        delivered: How many were passed on.
        ended: Whether nothing more will be written.
    """

    def __init__(self, channel: Channel, gate: Gate = Gate.OPEN, *, remembered: int = _REMEMBERED) -> None:
        self.channel = channel
        self.stopping = threading.Event()
        self.held: deque[Item] = deque()
        self.recent: deque[Item] = deque(maxlen=remembered)
        self.delivered = 0
        self.ended = False
        self._gate = gate
        self._lock = threading.Lock()  # keeps the gate still while items pass
        self._held_events: deque[_HeldEvent] = deque()
        self._repeats: deque[Item] = deque()  # what another feed has delivered, and this one is about to be given

    @property
    def is_shut(self) -> bool:
        """Whether items are refused."""
        return self._gate is Gate.SHUT

    def write(self, items: Sequence[Item]) -> bool:
        """Write items, on a thread of their own; waits while there is no room.

        Returns:
            Whether all were taken; ``False`` if the gate is shut, or was meanwhile, or the stream is being closed.
        """
        while (taken := self._pass(items)) is not None:
            if taken == len(items):
                return True
            items = items[taken:]
            if not self.channel.wait_for_room(self.stopping):
                break
        return False

    async def write_here(self, items: Sequence[Item]) -> bool:
        """Write items, on the event loop; likewise."""
        while (taken := self._pass(items)) is not None:
            if taken == len(items):
                return True
            items = items[taken:]
            await self.channel.room()
        return False

    def _pass(self, items: Sequence[Item]) -> int | None:
        """Let items through the gate, as many as there is room for. Returns how many; ``None``: none ever again."""
        with self._lock:
            if self._gate is Gate.OPEN:
                return self._deliver(items)
            if self._gate is Gate.SHUT:
                return None
            self.held.extend(items)
            return len(items)

    def _deliver(self, items: Sequence[Item], *, anyway: bool = False) -> int | None:
        repeated = self._repeated(items) if self._repeats else 0
        fresh = items[repeated:] if repeated else items
        taken = self.channel.put(fresh, anyway=anyway)
        if taken is None:
            return None
        self.recent.extend(fresh[:taken])
        self.delivered += taken
        return repeated + taken

    def _repeated(self, items: Iterable[Item]) -> int:
        """How many of these the other feed has delivered; those that are not like its own end that for good."""
        repeated = 0
        for item in items:
            if self._repeats and self._repeats.popleft()[:3] == item[:3]:
                repeated += 1
            else:
                self._repeats.clear()
                break
        return repeated

    def tell(self, kind: EventKind, message: str, *, lost: int | None = None) -> None:
        """Tell an event, at its place among the feed's items; on any thread. A held feed keeps 1,000 of them."""
        with self._lock:
            if self._gate is Gate.HELD and len(self._held_events) < _EVENTS_HELD:
                self._held_events.append(_HeldEvent(len(self.held), kind, message, lost))
                return
        self.channel.tell(kind, message, lost=lost)

    def open(self, skip: int = 0, repeats: Iterable[Item] = ()) -> None:
        """Open the gate: pass on what was held, though there be no room, but for the first ``skip`` items.

        Args:
            skip: How many another feed has delivered; gaps among them are none.
            repeats: What it has delivered beyond them: dropped when it comes.
        """
        with self._lock:
            if self._gate is not Gate.HELD:
                return
            self._gate = Gate.OPEN
            self._repeats.extend(repeats)
            held, events = list(self.held), self._held_events
            self.held, self._held_events = deque(), deque()
            at = skip
            for event in events:
                if event.before > at:
                    self._deliver(held[at : event.before], anyway=True)
                    at = event.before
                if event.before >= skip or event.kind is not EventKind.GAP:
                    self.channel.tell(event.kind, event.message, lost=event.lost)
            if held[at:]:
                self._deliver(held[at:], anyway=True)

    def shut(self) -> None:
        """Shut the gate for good. When this returns, no item is passing any more."""
        with self._lock:
            self._gate = Gate.SHUT

    def end(self) -> None:
        """Nothing more will be written."""
        self.ended = True
