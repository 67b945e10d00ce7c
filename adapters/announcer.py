"""The way of a stream's events from any thread to the log on its event loop, and to the plugin's logger, at their rate.

What is told together is recorded in that order, whichever threads told it.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable

from adapters.contract import StreamEvent
from adapters.event_rate import RATE, EventRate
from adapters.events import EventLog

__all__ = ["Announcer"]


class Announcer:
    """Tells the events of one stream.

    Args:
        log: Where they are recorded, on the event loop.
        lock: The stream's: the order in which places are found is that in which they are told.
        monotonic: Seconds, on a clock that never goes back.
        heard: Called with each event that is told; on the event loop, if there is one.
    """

    def __init__(
        self,
        log: EventLog,
        lock: threading.Lock,
        monotonic: Callable[[], float],
        heard: Callable[[StreamEvent], object],
    ) -> None:
        self._log = log
        self._lock = lock
        self._monotonic = monotonic
        self._heard = heard
        self._rate = EventRate()
        self._due: deque[StreamEvent] = deque()
        self._looks_again = False  # whether the timer runs, or somebody is on the way to start it
        self._timer: asyncio.TimerHandle | None = None

    def add(self, event: StreamEvent) -> bool:
        """Take an event; on any thread, under the lock.

        Returns:
            Whether ``tell`` has to be called on the event loop, or ``tell_without_loop`` where it is closed.
        """
        due = self._rate.add(event, self._monotonic())
        self._due += due
        starts = self._rate.holds and not self._looks_again
        self._looks_again = self._looks_again or starts
        return bool(due) or starts

    def tell_without_loop(self) -> None:
        """Tell what is due where nobody can listen any more, or yet; on any thread, without the lock."""
        with self._lock:
            due = tuple(self._due)
            self._due.clear()
        for event in due:
            self._heard(event)

    # On the event loop, without the lock

    def tell(self) -> None:
        """Tell what is due, and look again after a while if something is held."""
        if self._looks_again and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(1 / RATE, self._look_again)
        while self._due:
            event = self._due.popleft()
            self._log.record(event)
            self._heard(event)  # at last: a logger may raise

    def _look_again(self) -> None:
        self._timer = None
        with self._lock:
            self._due += self._rate.due(self._monotonic())
            self._looks_again = self._rate.holds
        self.tell()

    def tell_all(self) -> None:
        """Tell what is held as well: nothing follows, or somebody who has to know it all does not wait."""
        with self._lock:
            self._due += self._rate.all(self._monotonic())
            self._looks_again = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.tell()
