"""How many items came a second lately. No clock of its own: whoever counts tells the time."""

from __future__ import annotations

__all__ = ["SPAN", "Rate"]

SPAN = 10
"""Seconds that are looked back."""


class Rate:
    """Counts by whole seconds, in constant memory.

    Args:
        now: Monotonic seconds, as for every method.
    """

    def __init__(self, now: float) -> None:
        self._began = now
        self._second = int(now)
        self._counts = [0] * SPAN

    def count(self, now: float, items: int = 1) -> None:
        """Count items that have come."""
        second = int(now)
        if second != self._second:
            self._advance(second)
        self._counts[second % SPAN] += items

    def per_second(self, now: float) -> float:
        """Items a second over the last ``SPAN`` seconds, or over all the time if that is shorter (1 s at least)."""
        second = int(now)
        self._advance(second)
        looked_back = min(now - self._began, SPAN - 1 + now - second)
        return sum(self._counts) / max(looked_back, 1.0)

    def _advance(self, second: int) -> None:
        for passed in range(self._second + 1, min(second, self._second + SPAN) + 1):
            self._counts[passed % SPAN] = 0
        self._second = max(second, self._second)
