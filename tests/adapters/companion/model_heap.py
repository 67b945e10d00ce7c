"""A model of the buddy system: which pieces are free, and whether one was cut where it may be."""

from __future__ import annotations

__all__ = ["ModelHeap"]

_GREATEST = 26


class ModelHeap:
    """The heap.

    Args:
        budget: Bytes that it may have.
    """

    def __init__(self, budget: int) -> None:
        self.length = 0
        self.free: dict[int, int] = {}  # orders, by where the pieces begin
        self._budget = budget

    def _least(self, order: int) -> int | None:
        """The order of the smallest free piece that has room for one."""
        return min((found for found in self.free.values() if found >= order), default=None)

    def _next(self, order: int) -> int:
        """Where a piece would stand that lengthens the heap."""
        return self.length + (-self.length & ((1 << order) - 1))

    def fits(self, order: int) -> bool:
        return self._least(order) is not None or self._next(order) + (1 << order) <= self._budget

    def take(self, address: int, order: int) -> None:
        """Take the piece that has been cut.

        Raises:
            AssertionError: It is not one of the smallest that would do.
        """
        least = self._least(order)
        if least is None:
            assert address == self._next(order)
            assert address + (1 << order) <= self._budget
            while self.length < address:
                gap = (self.length & -self.length).bit_length() - 1
                self.length += 1 << gap
                self.give(self.length - (1 << gap), gap)
            self.length = address + (1 << order)
            return
        assert self.free.get(address) == least, "it was cut from what is not free, or is larger than needed"
        del self.free[address]
        while least > order:
            least -= 1
            self.free[address + (1 << least)] = least

    def give(self, address: int, order: int) -> None:
        """Give a piece back, joined with its free buddies."""
        while order < _GREATEST and self.free.get(address ^ (1 << order)) == order:
            del self.free[address ^ (1 << order)]
            address &= ~(1 << order)
            order += 1
        self.free[address] = order
