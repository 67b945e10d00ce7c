"""One feed of a stream takes over from another without losing or repeating an item.

The successor is written to already, but held. As soon as its items overlap with what the predecessor delivered last,
both show the same part of the same market: the predecessor is shut, and the successor continues after what both know.
It may be behind, and then is about to be given what the predecessor has delivered: that is dropped when it comes.

Items may look alike, so one that both have proves little: what counts is the longest run, and only if there is no other
of its length.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable, Sequence

import attrs

from adapters.channel import Item
from adapters.feed import Feed
from adapters.keys import StreamKey

__all__ = ["Handover", "Outcome", "Overlap", "find_overlap"]

_MOST_HELD = 20_000  # items of the successor that are kept while nothing is found
_LOOK_EVERY = 0.02  # seconds
_LONGEST_RUN = 32  # items compared; a feed of equal items must not cost more
_SURE_RUN = 3  # items that a run needs where the items before it differ


@attrs.frozen
class Overlap:
    """Where two feeds' views of one market meet.

    Attributes:
        skip: How many of the successor's items the predecessor has delivered.
        repeats: What the predecessor has delivered beyond them, and the successor is about to publish.
    """

    skip: int
    repeats: tuple[Item, ...]


def find_overlap(delivered: Sequence[Item], held: Sequence[Item]) -> Overlap | None:
    """Where what was delivered last and what is held overlap; ``None`` if they do not, or in more than one way."""
    if not delivered or not held:
        return None
    ones, others = _views(delivered), _views(held)
    ends = [(len(ones), index + 1) for index, item in enumerate(others) if item == ones[-1]]
    ends += [(index + 1, len(others)) for index, item in enumerate(ones[:-1]) if item == others[-1]]
    runs = [(_run(ones, one, others, other), one, other) for one, other in ends]
    runs = [(run, one, other) for run, one, other in runs if run >= min(one, other, _SURE_RUN)]
    longest = max(runs, default=(0, 0, 0))
    if [run for run, _, _ in runs].count(longest[0]) != 1:
        return None
    _, one, other = longest
    return Overlap(other, tuple(delivered[one:]))


def _views(items: Sequence[Item]) -> list[tuple[StreamKey, str, bytes]]:
    """What items are compared by: their times may differ."""
    return [item[:3] for item in items]


def _run(ones: Sequence[object], one: int, others: Sequence[object], other: int) -> int:
    """How many items before these two places are the same; stops counting at ``_LONGEST_RUN``."""
    most = min(one, other, _LONGEST_RUN)
    return next((run for run in range(most) if ones[one - run - 1] != others[other - run - 1]), most)


class Outcome(enum.Enum):
    """What has come of a handover."""

    COMPLETE = "complete"  # nothing was lost or repeated
    UNSURE = "unsure"  # the successor has taken over, and nothing showed where
    FAILED = "failed"  # the successor has ended before it could take over: the predecessor goes on


class Handover:
    """The handover between two feeds of a stream.

    Args:
        old: The predecessor.
        new: The successor, which is held.
        unsure: Told, at that place among the items, that nothing shows where the two meet. May be on any thread.
        patience: Seconds to wait for an item that both have seen.
    """

    def __init__(
        self, old: Feed, new: Feed, unsure: Callable[[], None] = lambda: None, *, patience: float = 10.0
    ) -> None:
        self._patience = patience
        self._old = old
        self._new = new
        self._unsure = unsure
        self._delivered_before = old.delivered

    async def run(self) -> Outcome:
        """Hand over. Once begun in earnest, there is no way back to the predecessor."""
        end = time.monotonic() + self._patience
        while time.monotonic() < end and not self._old.ended and len(self._new.held) < _MOST_HELD:
            if self._new.ended:
                return Outcome.FAILED
            if await asyncio.to_thread(self._overlap) is not None:  # comparing thousands of items takes milliseconds
                break
            await asyncio.sleep(_LOOK_EVERY)
        return await asyncio.to_thread(self._switch)

    def _switch(self) -> Outcome:
        self._old.shut()
        overlap = self._overlap()
        if overlap is not None:
            self._new.open(overlap.skip, overlap.repeats)
            return Outcome.COMPLETE
        self._unsure()
        # Both saw one feed: what the predecessor has delivered meanwhile is among what the successor holds, too.
        self._new.open(0 if self._old.ended else self._old.delivered - self._delivered_before)
        return Outcome.UNSURE

    def _overlap(self) -> Overlap | None:
        # Copied in one step: the guests go on meanwhile.
        return find_overlap(list(self._old.recent.copy()), list(self._new.held.copy()))
