"""What a guest receives: it waits for messages, is given several at once, and what it has really taken is counted.

The guest's inbox, on its own side of the border, gets several messages at once. The guest has the first of them then.
The others lie there until it asks for them, which does not cross the border; how many still do is told here
(``note_untaken``), so that what is counted is what the guest did. Used on the guest's thread; the counts are read on
any.
"""

from __future__ import annotations

import threading

from adapters.net.guest_connection import GuestConnection
from adapters.net.guest_limits import GuestClock, GuestLimits, seconds_of
from adapters.runtime.errors import GuestStoppedError

__all__ = ["GuestReceiving"]

_CHARACTERS = 256 * 2**10  # handed out at once, or one message


class GuestReceiving:
    """What one guest has asked for, was given and has taken.

    Args:
        plugin: The plugin's name, for errors.
        limits: How often it looks at the flags while it waits.
        clock: By which it waits.
        stopping: The guest's stop flag.
        draining: Set when nothing is to be received any more.

    Attributes:
        asked: How often it asked for a message, here or at its inbox.
        taken: Messages that it has taken.
        untaken: Messages that lie in its inbox.
        source: The connection that those came from.
    """

    def __init__(
        self,
        plugin: str,
        limits: GuestLimits,
        clock: GuestClock,
        stopping: threading.Event,
        draining: threading.Event,
    ) -> None:
        self.asked = 0
        self.taken = 0
        self.untaken = 0
        self.source: GuestConnection | None = None
        self._latest: list[str] = []
        self._plugin = plugin
        self._limits = limits
        self._clock = clock
        self._stopping = stopping
        self._draining = draining

    def begin(self) -> None:
        """Count that the guest asks here: whatever lay in its inbox is taken by then, or was taken back."""
        self.note_untaken(0)
        self.asked += 1

    def receive(self, connection: GuestConnection, timeout_ms: int, most: int) -> list[str] | None:
        """The next messages, ``most`` at most; none if none came in time; ``None`` if there are none to come.

        Raises:
            GuestStoppedError: The guest was told to stop meanwhile.
        """
        deadline = None if timeout_ms == 0 else self._clock.now() + seconds_of(timeout_ms)
        with connection.changed:
            while not connection.buffer or self._draining.is_set():
                if self._stopping.is_set():
                    raise GuestStoppedError(self._plugin, "ws_receive")
                if self._draining.is_set() or connection.ended is not None:
                    return None
                remaining = None if deadline is None else deadline - self._clock.now()
                if remaining is not None and remaining <= 0:
                    return []
                look = self._limits.look_every
                self._clock.wait(connection.changed, look if remaining is None else min(remaining, look))
            messages = connection.take(most, _CHARACTERS)
        self._latest, self.source = list(messages), connection
        self.untaken = len(messages) - 1
        self.taken += 1
        return messages

    def note_untaken(self, count: int) -> None:
        """So many of the latest lie in the inbox still. The guest asked for each of the others, and has taken it."""
        took = self.untaken - count
        self.untaken = count
        self.asked += took
        self.taken += took

    def take_back(self, count: int) -> None:
        """So many of the latest were not taken and are in no inbox any more: they are the next of their connection."""
        self.note_untaken(count)
        if count and self.source is not None:
            self.source.put_back(self._latest[-count:])
        self.untaken = 0
