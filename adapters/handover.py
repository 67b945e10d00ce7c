"""One guest takes over from another without losing or repeating an item.

The successor streams already, but its items are held. As soon as they overlap with what the predecessor delivered last,
both see the same part of the same feed: the predecessor is shut, and the successor continues after what both know. It
may be behind, and then is about to publish what the predecessor has delivered: that is dropped when it comes.

Items may look alike, so one that both have proves little: what counts is the longest run, and only if there is no other
of its length.
"""

from __future__ import annotations

import asyncio
import enum
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs

from adapters.publisher import Item
from adapters.threads import on_thread

if TYPE_CHECKING:
    from adapters.guest_stream import GuestStream

__all__ = ["Handover", "Outcome", "Overlap", "find_overlap"]

_MOST_HELD = 20_000  # items of the successor that are kept while nothing is found
_LOOK_EVERY = 0.02  # seconds
_LONGEST_RUN = 32  # items compared; a feed of equal items must not cost more
_SURE_RUN = 3  # items that a run needs where the items before it differ


@attrs.frozen
class Overlap:
    """Where two guests' views of one feed meet.

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
    ends = [(len(delivered), index + 1) for index, item in enumerate(held) if item == delivered[-1]]
    ends += [(index + 1, len(held)) for index, item in enumerate(delivered[:-1]) if item == held[-1]]
    runs = [(_run(delivered, one, held, other), one, other) for one, other in ends]
    runs = [(run, one, other) for run, one, other in runs if run >= min(one, other, _SURE_RUN)]
    longest = max(runs, default=(0, 0, 0))
    if [run for run, _, _ in runs].count(longest[0]) != 1:
        return None
    _, one, other = longest
    return Overlap(other, tuple(delivered[one:]))


def _run(ones: Sequence[Item], one: int, others: Sequence[Item], other: int) -> int:
    """How many items before these two places are the same; stops counting at ``_LONGEST_RUN``."""
    most = min(one, other, _LONGEST_RUN)
    return next((run for run in range(most) if ones[one - run - 1] != others[other - run - 1]), most)


class Outcome(enum.Enum):
    """What has come of a handover."""

    COMPLETE = "complete"  # nothing was lost or repeated
    UNSURE = "unsure"  # the successor has taken over, and nothing showed where
    FAILED = "failed"  # the successor has ended before it could take over: the predecessor goes on


class Handover:
    """The handover between two guests of a stream.

    Args:
        old: The predecessor.
        new: The successor.
        unsure: Told, at that place among the items, that nothing shows where the two meet. May be on any thread.
        patience: Seconds to wait for an item that both guests have seen.
    """

    def __init__(
        self, old: GuestStream, new: GuestStream, unsure: Callable[[], None] = lambda: None, *, patience: float = 10.0
    ) -> None:
        self._patience = patience
        self._old = old
        self._new = new
        self._unsure = unsure
        self._delivered_before = old.publisher.delivered

    async def run(self) -> Outcome:
        """Hand over. Once begun in earnest, there is no way back to the predecessor."""
        end = time.monotonic() + self._patience
        while time.monotonic() < end and not self._old.ending.done() and len(self._new.publisher.held) < _MOST_HELD:
            if self._new.ending.done():
                return Outcome.FAILED
            if await asyncio.to_thread(self._overlap) is not None:  # comparing thousands of items takes milliseconds
                break
            await asyncio.sleep(_LOOK_EVERY)
        return await on_thread(self._switch, "handover")  # it may have to wait for the consumer

    def _switch(self) -> Outcome:
        self._old.publisher.shut()
        self._old.publisher.settle()
        overlap = self._overlap()
        if overlap is not None:
            self._new.publisher.open(overlap.skip, overlap.repeats)
            return Outcome.COMPLETE
        self._unsure()
        # Both saw one feed: what the predecessor has delivered meanwhile is among what the successor holds, too.
        meanwhile = 0 if self._old.ending.done() else self._old.publisher.delivered - self._delivered_before
        self._new.publisher.open(meanwhile)
        return Outcome.UNSURE

    def _overlap(self) -> Overlap | None:
        # Copied in one step: the guests go on meanwhile.
        return find_overlap(list(self._old.publisher.recent.copy()), list(self._new.publisher.held.copy()))
