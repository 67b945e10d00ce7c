"""One thread for the whole process that ends what does not end by itself.

It watches calls with a deadline and guests that were told to stop. A cancel can be lost (sent before the call began) or
late (a host function or a WASI sleep is running), so it is sent again until the call has ended. A guest that survives
``LINGER_AFTER`` seconds of it is *lingering*: whoever waits for it is released, and it is counted until it wakes.

At exit every guest is stopped and given a moment; what still sleeps then has its cancel pending and dies on waking,
before it can reach a host function.
"""

from __future__ import annotations

import atexit
import threading
import time
from typing import Protocol

__all__ = ["LINGER_AFTER", "Watched", "lingering_guests", "watch"]

LINGER_AFTER = 0.75  # seconds of cancelling until a guest counts as lingering
_PACE = 0.01  # seconds between two cancels
_EXIT_GRACE = 2.0  # seconds that all guests together get at exit


class Watched(Protocol):
    """What the watch needs of a guest."""

    def check(self, now: float) -> float | None:
        """Do what is due at ``now`` (monotonic seconds).

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


class _Watch:
    def __init__(self) -> None:
        self.exiting = False  # the process ends, and every guest with it
        self._wake = threading.Condition()
        self._due: dict[Watched, float] = {}
        self._alive: set[Watched] = set()
        self._thread: threading.Thread | None = None

    def born(self, guest: Watched) -> None:
        """A guest's thread has started."""
        with self._wake:
            self._alive.add(guest)

    def died(self, guest: Watched) -> None:
        """A guest's thread has ended."""
        with self._wake:
            self._alive.discard(guest)
            self._due.pop(guest, None)

    def look_after(self, guest: Watched, due: float) -> None:
        """Check the guest at ``due`` (monotonic seconds), or earlier."""
        with self._wake:
            if guest not in self._alive:
                return
            self._due[guest] = min(due, self._due.get(guest, due))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="plugin-compat watch", daemon=True)
                self._thread.start()
            self._wake.notify()

    def lingering(self) -> list[Watched]:
        with self._wake:
            return [guest for guest in self._alive if guest.lingering]

    def _run(self) -> None:
        while True:
            with self._wake:
                now = time.monotonic()
                ready = [guest for guest, due in self._due.items() if due <= now]
                if not ready:
                    wait = min(self._due.values()) - now if self._due else threading.TIMEOUT_MAX
                    self._wake.wait(min(wait, threading.TIMEOUT_MAX))
                    continue
                for guest in ready:
                    del self._due[guest]
            for guest in ready:
                again = guest.check(now)
                if again is not None:
                    self.look_after(guest, max(again, now + _PACE))

    def stop_all(self) -> None:
        """Stop every guest and wait a moment. Guests that sleep in WASI are left to die on waking."""
        self.exiting = True
        with self._wake:
            guests = list(self._alive)
        for guest in guests:
            guest.stop()
        end = time.monotonic() + _EXIT_GRACE
        for guest in guests:
            while not guest.wait(0.02) and not guest.lingering and time.monotonic() < end:
                pass


watch = _Watch()
atexit.register(watch.stop_all)


def lingering_guests() -> int:
    """How many guests of this process could not be stopped and have not woken yet."""
    return len(watch.lingering())
