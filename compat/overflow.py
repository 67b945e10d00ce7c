"""What becomes of items that a subscriber is too slow for: the policies, and the lines in which items wait under each.

Every line hands its items out in the order of their numbers, and counts what it lets go.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from adapters.contract import StreamData, StreamKey
from adapters.mailbox import Line

__all__ = ["LINES", "Overflow", "WaitingLine"]

Entry = tuple[float, StreamData]  # with the monotonic seconds of its arrival


class Overflow(enum.StrEnum):
    """What follows when a subscription's buffer is full."""

    ERROR = "error"
    """The subscription ends, with ``SubscriberTooSlowError`` after what fitted. Nobody else notices."""

    BLOCK = "block"
    """The stream waits, and with it the plugin, its socket and *all* who subscribe to that key. Nothing is lost."""

    DROP_OLDEST = "drop-oldest"
    """The item that has waited longest makes room."""

    CONFLATE = "conflate"
    """Of each key and data type only the latest item waits, full or not: where the one that it replaces was, there is
    a gap, and the newer one stands at the end. Items of more keys than fit drop the one that has waited longest.

    For states, of which only the latest matters, as tickers; not for candles, where it skips closed ones.
    """


class WaitingLine(Line, Protocol):
    """Where the items of a subscription wait, and what it has let go. Made with how many may wait.

    Attributes:
        dropped: How many items have made room for others.
        conflated: How many have been replaced by a newer one of their key.
    """

    dropped: int
    conflated: int

    def admits(self, count: int) -> int:
        """How many of so many items more it takes."""
        ...


class _Keeping(deque[Entry]):
    """Lets nothing go."""

    dropped = 0
    conflated = 0

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity

    def admits(self, count: int) -> int:
        return min(count, self._capacity - len(self))


class _Dropping(deque[Entry]):
    """Lets the oldest go."""

    conflated = 0

    def __init__(self, capacity: int) -> None:
        super().__init__(maxlen=capacity)
        self._capacity = capacity
        self.dropped = 0

    def admits(self, count: int) -> int:
        return count

    def extend(self, entries: Iterable[Entry], /) -> None:
        before = len(self)
        entries = list(entries)
        super().extend(entries)
        self.dropped += before + len(entries) - len(self)


class _Conflating:
    """Keeps the latest of each key and data type, by the time of that latest one."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.dropped = 0
        self.conflated = 0
        self._latest: OrderedDict[tuple[StreamKey, str], Entry] = OrderedDict()

    def admits(self, count: int) -> int:
        return count

    def extend(self, entries: Iterable[Entry], /) -> None:
        for entry in entries:
            identity = (entry[1].key, entry[1].data_type)
            if self._latest.pop(identity, None) is not None:
                self.conflated += 1
            elif len(self._latest) == self._capacity:
                self.popleft()
                self.dropped += 1
            self._latest[identity] = entry

    def popleft(self) -> Entry:
        return self._latest.popitem(last=False)[1]

    def clear(self) -> None:
        self._latest.clear()

    def __len__(self) -> int:
        return len(self._latest)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._latest.values())


LINES: dict[Overflow, Callable[[int], WaitingLine]] = {
    Overflow.ERROR: _Keeping,
    Overflow.BLOCK: _Keeping,
    Overflow.DROP_OLDEST: _Dropping,
    Overflow.CONFLATE: _Conflating,
}
