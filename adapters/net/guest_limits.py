"""How much of the network one guest may use, how long it is made to wait, and the clock by which it waits."""

from __future__ import annotations

import threading
import time

import attrs

__all__ = ["GuestClock", "GuestLimits", "Slowing", "seconds_of"]

_LONGEST_MS = 10**12  # a thread can wait for 292 years at most, and some guests ask for more


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
            a failed attempt to connect, or a failed request, is answered.
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


class Slowing:
    """Answers what fails ever more slowly, the more often it has failed in a row. Used by the guest's thread only.

    Args:
        limits: From ``dead_pace`` to ``longest_pace``, twice as long each time.
        clock: By which the guest waits.
        stopping: Its stop flag, which ends the waiting.
    """

    def __init__(self, limits: GuestLimits, clock: GuestClock, stopping: threading.Event) -> None:
        self._limits = limits
        self._clock = clock
        self._stopping = stopping
        self._failed = 0  # in a row

    def worked(self) -> None:
        """Begin anew."""
        self._failed = 0

    def failed(self) -> None:
        """Wait before a failure is answered."""
        pace = self._limits.dead_pace * 2 ** min(self._failed, 30)
        self._failed += 1
        self._clock.wait(self._stopping, min(pace, self._limits.longest_pace))


def seconds_of(timeout_ms: int) -> float:
    """The timeout of a guest, which may be any number, as one that a thread can wait for."""
    return min(max(timeout_ms, 0), _LONGEST_MS) / 1000
