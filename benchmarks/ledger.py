"""Whether a stream delivered what the feed sent: each message once and in order, or a gap told at its place.

A feed begins anew with every connection. So an item carries the number that follows the one before, or it stands where
a gap was told: then numbers may be missing, or the first of another connection comes.
"""

from __future__ import annotations

from compat import EventKind, StreamEvent

__all__ = ["Ledger"]

_STALE = "used a block of Extism's memory again"  # what an event says of a guest that came back to a block
_MOST_PROBLEMS = 5  # written out; the others are counted


class Ledger:
    """The account of one stream. Items and events may be noted in any order relative to each other.

    Args:
        first: The number of the first message of each connection.
        comes_back: Whether the guest may be replaced for using a block again that is gone.
    """

    def __init__(self, first: int, *, comes_back: bool) -> None:
        self.gaps: set[int] = set()  # the items that they were told before, all where several were told together
        self.restarts: list[int] = []  # likewise
        self._first = first
        self._comes_back = comes_back
        self._next = first
        self._breaks: dict[int, str] = {}  # by the item before which messages are missing
        self._wrong: list[str] = []

    def note_item(self, sequence: int, number: int | None) -> None:
        """An item has come: its place in the stream, and the number of its message; ``None`` if it is damaged."""
        if number is None:
            self._wrong.append(f"item {sequence} is not what message {self._next} should have become")
        elif number != self._next:
            problem = f"item {sequence} is message {number} instead of {self._next}"
            if self._next < number or number == self._first:
                self._breaks[sequence] = problem
            else:
                self._wrong.append(f"{problem}: it came before")
        self._next = (self._next if number is None else number) + 1

    def note_event(self, event: StreamEvent) -> None:
        """The stream has told something."""
        if event.kind is EventKind.GAP:
            self.gaps.update(event.places)
        elif event.kind is EventKind.RESTART:
            self.restarts.append(event.sequence)
            if not self._comes_back or _STALE not in event.message:
                self._wrong.append(f"a restart before item {event.sequence}: {event.message}")

    @property
    def problems(self) -> list[str]:
        """What is wrong, the first few of it; empty if nothing is."""
        untold = [
            f"{problem}, and no gap was told" for place, problem in self._breaks.items() if place not in self.gaps
        ]
        gapless = [f"a restart before item {place} without a gap" for place in self.restarts if place not in self.gaps]
        found = [*self._wrong, *untold, *gapless]
        more = len(found) - _MOST_PROBLEMS
        return [*found[:_MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
