"""What has been told of a stream, for any number of listeners: the past, and then what comes.

It lives on one event loop; only that may touch it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator

from adapters.contract import StreamEvent

__all__ = ["EVENTS_KEPT", "EventLog"]

EVENTS_KEPT = 1_000
"""The latest events, which are kept for those who listen later or slowly."""


class EventLog:
    """Events in the order in which they were recorded."""

    def __init__(self) -> None:
        self._kept: deque[StreamEvent] = deque(maxlen=EVENTS_KEPT)
        self._recorded = 0
        self._ended = False
        self._changed = asyncio.Event()  # there is a new event, or no more to come; replaced at each
        self._followers: list[Callable[[StreamEvent], object]] = []

    def __iter__(self) -> Iterator[StreamEvent]:
        return iter(self._kept)

    def record(self, event: StreamEvent) -> None:
        """Add an event and tell it."""
        self._kept.append(event)
        self._recorded += 1
        self._notify()
        for follower in tuple(self._followers):
            follower(event)

    def end(self) -> None:
        """Let whoever listens come to an end. An event that is recorded later can still be had."""
        self._ended = True
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def listen(self) -> AsyncIterator[StreamEvent]:
        """All events that are kept, then live ones until the end."""
        told = 0
        while True:
            changed = self._changed
            dropped = self._recorded - len(self._kept)
            batch = list(self)[max(told - dropped, 0) :]
            told = self._recorded
            for event in batch:
                yield event
            if told == self._recorded:
                if self._ended:
                    return
                await changed.wait()

    def follow(self, follower: Callable[[StreamEvent], object]) -> Callable[[], None]:
        """Call a function with all events that are kept, and with every other in the moment in which it is recorded.

        Returns:
            What ends that.
        """
        for event in self:
            follower(event)
        self._followers.append(follower)

        def leave() -> None:
            with contextlib.suppress(ValueError):  # it has left already
                self._followers.remove(follower)

        return leave
