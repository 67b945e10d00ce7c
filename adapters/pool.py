"""Places for many streams on a few shared guests: each stream has one for as long as it lives."""

from __future__ import annotations

__all__ = ["Pool"]


class Pool:
    """So many guests, by number; a new place is where the fewest streams are.

    Args:
        size: Guests at the most, from 1.
    """

    def __init__(self, size: int) -> None:
        self._streams = [0] * size

    def take(self) -> int:
        """The number of the guest for one more stream."""
        place = self._streams.index(min(self._streams))
        self._streams[place] += 1
        return place

    def give_back(self, place: int) -> None:
        """A stream has ended."""
        self._streams[place] -= 1
