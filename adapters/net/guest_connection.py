"""One WebSocket of one guest, and the bounded buffer of what has come and was not taken yet.

``changed`` guards what the guest's thread and the event loop share. ``guest_network.py`` fills the buffer on the event
loop, ``guest_receiving.py`` empties it on the guest's thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque

import attrs

from adapters.net.gateway import GuardedSocket
from adapters.net.guest_limits import GuestLimits
from detectors.errors import CompatError

__all__ = ["GuestConnection"]


@attrs.define(eq=False)
class GuestConnection:
    """A guest's connection, from its opening until it is forgotten.

    Attributes:
        url: Where it leads.
        socket: What is read on the event loop.
        limits: How much may wait in the buffer.
        opened_at: When it was opened, by the guest's clock.
        changed: Held while the buffer or ``ended`` changes, and notified then.
        buffer: The messages that the guest has not taken yet.
        characters: How many there are in the buffer.
        room: Set when the reader may go on.
        waiting_for_room: Whether the reader waits for that.
        ended: Why the connection has ended; ``None`` while it is open.
        reader: The task that moves messages from the socket into the buffer.
    """

    url: str
    socket: GuardedSocket
    limits: GuestLimits
    opened_at: float
    changed: threading.Condition = attrs.field(factory=threading.Condition)
    buffer: deque[str] = attrs.field(factory=deque)
    characters: int = 0
    room: asyncio.Event = attrs.field(factory=asyncio.Event)
    waiting_for_room: bool = False
    ended: CompatError | None = None
    reader: asyncio.Task[None] | None = None

    def is_full(self, parts: int = 1) -> bool:
        """Whether the buffer is full, or one of so many equal parts of it."""
        limits = self.limits
        by_count = len(self.buffer) >= limits.buffered_messages / parts
        return by_count or self.characters >= limits.buffered_characters / parts

    def room_for(self) -> int:
        """How many messages the buffer still takes; at least one is taken whatever is in it."""
        return max(self.limits.buffered_messages - len(self.buffer), 1)

    def put(self, messages: list[str]) -> bool:
        """Add messages and tell whoever waits for one. Returns whether the reader has to wait for room now."""
        with self.changed:
            self.buffer.extend(messages)
            self.characters += sum(map(len, messages))
            self.changed.notify()
            if self.is_full():
                self.waiting_for_room = True
                self.room.clear()
            return self.waiting_for_room

    def take(self, most: int, characters: int) -> list[str]:
        """Take the next messages: ``most`` at most, and so many characters, but one in any case. Held: ``changed``."""
        buffer, size = self.buffer, 0
        taken: list[str] = []
        while buffer and len(taken) < most and (not taken or size + len(buffer[0]) <= characters):
            message = buffer.popleft()
            size += len(message)
            taken.append(message)
        self.characters -= size
        return taken

    def put_back(self, messages: list[str]) -> None:
        """Let messages that were taken be the next again, in order."""
        with self.changed:
            self.buffer.extendleft(reversed(messages))
            self.characters += sum(map(len, messages))
