"""How many messages make a batch: as many as a guest handles in a millisecond, by what it has done so far."""

from __future__ import annotations

__all__ = ["Pace"]

_SECONDS = 0.001  # that a batch may take
_MOST = 64
_WEIGHT = 0.25  # of the latest batch in what is expected of the next


class Pace:
    """One guest's pace.

    Attributes:
        most: Messages that it is expected to handle in a millisecond: from 1 to 64.
    """

    def __init__(self) -> None:
        self.most = 1
        self._each: float | None = None  # seconds for a message

    def took(self, messages: int, seconds: float) -> None:
        """So many messages took it so long."""
        if not messages:
            return
        each = seconds / messages
        self._each = each if self._each is None else self._each + (each - self._each) * _WEIGHT
        self.most = min(max(int(_SECONDS / max(self._each, 1e-9)), 1), _MOST)
