"""Time in the hands of a test: clocks that stand still, and bounds that become short at the right moment."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.bounds import Bounds
    from adapters.buckets import TokenBuckets

__all__ = ["FOREVER", "Clock", "StopWatch", "hurry", "in_line"]

#: Seconds of a deadline that a test does not live to see: whoever waited for it would hang.
FOREVER = 3_600.0


class Clock:
    """Seconds that pass only when the test says so. May be read on any thread.

    Attributes:
        now: The time.
        reads: How often it was looked at.
    """

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        return self.now


class StopWatch:
    """Seconds that pass as they do, but only while the test lets them. May be read on any thread."""

    def __init__(self) -> None:
        self._state: tuple[float, float | None] = (0.0, None)  # what has passed before, and since when it runs

    def __call__(self) -> float:
        passed, since = self._state
        return passed if since is None else passed + time.monotonic() - since

    def run(self) -> None:
        """Let the seconds pass."""
        self._state = (self(), time.monotonic())

    def stop(self) -> None:
        """Let them stand still."""
        self._state = (self(), None)


def hurry(bounds: Bounds, **seconds: float) -> None:
    """Change bounds that are in use.

    For a deadline that something is meant to miss, while others that have the same one are meant to keep it: a busy
    machine makes them miss a short one as well.
    """
    for name, value in seconds.items():
        object.__setattr__(bounds, name, value)  # they are frozen for everybody else


def in_line(buckets: TokenBuckets) -> int:
    """How many wait for tokens."""
    return sum(len(bucket.line) for bucket in buckets._buckets._kept.values())
