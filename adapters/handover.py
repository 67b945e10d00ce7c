"""One guest takes over from another without losing or repeating an item.

The successor streams already, but its items are held. As soon as one of them is among the items that the predecessor
delivered last, both see the same part of the same feed: the predecessor is shut, and the successor continues after the
last item that both know.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from adapters.guest_stream import GuestStream

__all__ = ["Handover"]

_PATIENCE = 10.0  # seconds to wait for an item that both guests have seen
_LOOK_EVERY = 0.02  # seconds


class Handover:
    """The handover between two guests of a stream."""

    def __init__(self, old: GuestStream, new: GuestStream) -> None:
        self._old = old
        self._new = new

    async def run(self) -> bool:
        """Hand over. Returns whether nothing was lost or repeated for sure.

        Returns ``False`` without a handover if the successor has ended meanwhile and the predecessor goes on.
        """
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and not self._old.ending.done():
            if self._new.ending.done():
                return False
            if self._overlap() is not None:
                break
            await asyncio.sleep(_LOOK_EVERY)
        # The gate is opened off the loop: it may have to wait for the consumer.
        return await asyncio.to_thread(self._switch)

    def _switch(self) -> bool:
        self._old.publisher.shut()
        self._old.publisher.settle()
        skip = self._overlap()
        self._new.publisher.open(skip or 0)
        return skip is not None

    def _overlap(self) -> int | None:
        """How many of the successor's items the predecessor has delivered; ``None`` if they share none."""
        copied = self._old.publisher.recent.copy()  # in one step: the guest goes on meanwhile
        delivered = set(copied)
        held = list(self._new.publisher.held)
        known = [index for index, item in enumerate(held) if item in delivered]
        return known[-1] + 1 if known else None
