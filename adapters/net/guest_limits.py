"""How much of the network one guest may use, how long it is made to wait, and the clock by which it waits."""

from __future__ import annotations

import threading
import time

import attrs

__all__ = ["GuestClock", "GuestLimits"]


@attrs.frozen
class GuestLimits:
    """The limits of one guest. Times are in seconds.

    Attributes:
        connections: Connections that may be open at once.
        buffered_messages: Messages that may wait for the guest, per connection.
        buffered_characters: Characters that may wait for the guest, per connection, however few the messages.
        ended_kept: Connections that are kept after their end, 1 or more, because they may hold unread messages.
        look_every: Between two looks at the stop flag.
        dead_pace: At least, before a dead connection answers: guests try again at once.
        longest_pace: At least, before a guest that sets no timeout hears again of a dead connection; at most, before
            a failed attempt to connect is answered.
        drain_pace: At least, between two answers while the stream stops.
    """

    connections: int = 16
    buffered_messages: int = 512
    buffered_characters: int = 4 * 2**20
    ended_kept: int = 4
    look_every: float = 0.1
    dead_pace: float = 0.05
    longest_pace: float = 1.0
    drain_pace: float = 0.01


class GuestClock:
    """The time of a guest's thread. A test injects one that it moves itself. May be used from any thread."""

    def now(self) -> float:
        """Return the monotonic time in seconds."""
        return time.monotonic()

    def wait(self, told: threading.Event | threading.Condition, seconds: float) -> None:
        """Wait until an event is set or a condition notified, for so many seconds at the most."""
        told.wait(seconds)
