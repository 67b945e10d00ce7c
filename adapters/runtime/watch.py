"""One thread for many guests that ends what does not end by itself.

It watches calls with a deadline and guests that were told to stop. A cancel can be lost (before the call has begun) or
late (a host function is running), so it is sent again until the call has ended. A guest that survives
``LINGER_AFTER`` seconds of it is *lingering*: whoever waits for it is released, and it is counted until it wakes.

The process has one watch, ``PROCESS``. At exit it stops every guest and gives them a moment; what cannot be stopped has
its cancel pending, and dies when it wakes.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import math
import os
import threading
import time
from collections.abc import Callable
from typing import Protocol

from detectors.machine import machine_faults

__all__ = ["LINGER_AFTER", "PROCESS", "Watch", "Watched", "lingering_guests"]

LINGER_AFTER = 0.75  # seconds of cancelling until a guest counts as lingering
_log = logging.getLogger("compat.watch")
_EXIT_LOOK = 0.02  # seconds between two looks at a guest that is waited for at exit


class Watched(Protocol):
    """What the watch needs of a guest."""

    def check(self, now: float) -> float | None:
        """Do what is due at ``now`` (by the watch's clock). If it raises, it is called again.

        Returns:
            When to check again; ``None`` to be forgotten.
        """
        ...

    def stop(self) -> None:
        """Begin to stop, without waiting."""
        ...

    def wait(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until the guest has ended. Returns whether it has."""
        ...

    @property
    def lingering(self) -> bool:
        """Whether it could not be stopped so far."""
        ...


class Watch:
    """Cancels guests until they end. May be used from any thread.

    Args:
        linger_after: Seconds of cancelling until a guest counts as lingering.
        pace: Seconds from one look at a guest to the next, at least.
        exit_grace: Seconds that all guests together get at exit.
        clock: Monotonic seconds; its guests measure their deadlines with it.

    Attributes:
        linger_after: As given.
        clock: As given.
        exiting: Whether the process ends, and every guest with it.
    """

    def __init__(
        self,
        *,
        linger_after: float = LINGER_AFTER,
        pace: float = 0.01,
        exit_grace: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.linger_after = linger_after
        self.clock = clock
        self.exiting = False
        self._pace = pace
        self._exit_grace = exit_grace
        self._wake = threading.Condition()
        self._due: dict[Watched, float] = {}
        self._wakes_at = math.inf  # when the thread looks again by itself
        self._alive: set[Watched] = set()
        self._failed: set[Watched] = set()  # those whose check has raised
        self._thread: threading.Thread | None = None

    def born(self, guest: Watched) -> None:
        """A guest's thread is about to start.

        Raises:
            MachineError: The watch's own could not be started.
        """
        with self._wake:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="plugin-compat watch", daemon=True)
                with machine_faults():
                    thread.start()
                self._thread = thread
            self._alive.add(guest)

    def died(self, guest: Watched) -> None:
        """A guest's thread has ended, or could not be started."""
        with self._wake:
            self._alive.discard(guest)
            self._failed.discard(guest)
            self._due.pop(guest, None)

    def look_after(self, guest: Watched, due: float) -> None:
        """Check the guest at ``due`` (by the clock), or earlier."""
        with self._wake:
            if guest not in self._alive:
                return
            self._due[guest] = min(due, self._due.get(guest, due))
            if due < self._wakes_at:  # most calls end long before that
                self._wake.notify()

    def lingering(self) -> list[Watched]:
        """The guests that could not be stopped and have not woken yet."""
        with self._wake:
            return [guest for guest in self._alive if guest.lingering]

    def look(self, now: float) -> None:
        """Check every guest that is due at ``now`` (by the clock). The watch's own thread does it by itself."""
        with self._wake:
            ready = [guest for guest, due in self._due.items() if due <= now]
            for guest in ready:
                del self._due[guest]
        for guest in ready:
            again = self._check(guest, now)
            if again is not None:
                self.look_after(guest, max(again, now + self._pace))

    def _check(self, guest: Watched, now: float) -> float | None:
        """Check one guest. Log what it raises, once for each guest, and ask for another check."""
        try:
            return guest.check(now)
        except Exception:  # noqa: BLE001 - the deadlines of all other guests depend on this thread
            with self._wake:
                first = guest in self._alive - self._failed
                if first:
                    self._failed.add(guest)
            if first:
                with contextlib.suppress(Exception):  # perhaps it is the user's logging that raises
                    _log.exception("checking a guest failed; it is checked again")
            return now

    def _run(self) -> None:
        while True:
            self.look(self.clock())
            with self._wake:
                self._wakes_at = min(self._due.values(), default=math.inf)
                wait = self._wakes_at - self.clock()
                if wait > 0:
                    self._wake.wait(min(wait, threading.TIMEOUT_MAX))

    def begin_anew(self) -> None:
        """Forget everything, in a process that was just forked: neither the thread nor the guests' are there."""
        self._wake = threading.Condition()
        self._due = {}
        self._wakes_at = math.inf
        self._alive = set()
        self._thread = None

    def stop_all(self) -> None:
        """Stop every guest and wait a moment. Those that cannot be stopped are left to die on waking."""
        self.exiting = True
        with self._wake:
            guests = list(self._alive)
        for guest in guests:
            guest.stop()
        end = self.clock() + self._exit_grace
        for guest in guests:
            while not guest.wait(_EXIT_LOOK) and not guest.lingering and self.clock() < end:
                pass


#: The one of this process.
PROCESS = Watch()
atexit.register(PROCESS.stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=PROCESS.begin_anew)


def lingering_guests() -> int:
    """How many guests of this process could not be stopped and have not woken yet."""
    return len(PROCESS.lingering())
