"""Whether a stream tells the truth: what comes out, held against the numbers of the exchange's candles.

A live market of the exchange counts its candles without holes, so a stream must deliver rising numbers, and wherever
some are missing it must tell a gap at that place. Nothing is kept of what is in order, so an audit may run for days.
"""

from __future__ import annotations

from compat.demo.market import GENESIS, interval_seconds

__all__ = ["Audit", "number_of"]

_MOST_PROBLEMS = 20


def number_of(opened: int, interval: str) -> int:
    """The number of the exchange's candle that opens then.

    Args:
        opened: Unix seconds.
        interval: ``1m``, ``5m``, ``1h``, ...
    """
    return (opened - GENESIS) // interval_seconds(interval)


class Audit:
    """One stream's audit. Items and gaps may be noted in any order relative to each other.

    Attributes:
        delivered: Items that came out.
        missing: Candles between the first and the last of them that did not.
        holes: Places where some are missing.
        last: The number of the latest candle; ``None`` before the first.
    """

    def __init__(self) -> None:
        self.delivered = 0
        self.missing = 0
        self.holes = 0
        self.last: int | None = None
        self._disorder: list[str] = []
        self._untold: dict[int, int] = {}  # candles missing, by the number of the item that came next
        self._told: list[range] = []  # places, of each the last at least without an item yet

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not as it was told, the first few; empty if all is well."""
        untold = (f"{lost} candles missing before item {place}, untold" for place, lost in self._untold.items())
        return (*self._disorder, *untold)[:_MOST_PROBLEMS]

    def note_item(self, sequence: int, candle: int) -> None:
        """An item has come: its sequence number, and the number of the candle that it carries."""
        if sequence != self.delivered:
            self._complain(f"item {self.delivered} has the number {sequence}")
        self.delivered += 1
        last, self.last = self.last, candle
        told = any(sequence in places for places in self._told)
        self._told = [places for places in self._told if places[-1] > sequence]
        if last is None or candle == last + 1:
            return
        if candle <= last:
            self._complain(f"item {sequence}: candle {candle} came after candle {last}")
            return
        self.holes += 1
        self.missing += candle - last - 1
        if not told:
            self._untold[sequence] = candle - last - 1

    def note_gaps(self, places: range) -> None:
        """Gaps were told before items of these numbers, the first and the last among them."""
        for place in [place for place in self._untold if place in places]:
            del self._untold[place]
        if places[-1] >= self.delivered:
            self._told.append(places)

    def _complain(self, problem: str) -> None:
        if len(self._disorder) < _MOST_PROBLEMS:
            self._disorder.append(problem)
