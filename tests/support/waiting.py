"""Waiting for things to happen, always with a deadline. It only ends a hang: that it does not pass proves nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from compat import EventKind, Stream, StreamData, StreamEvent

__all__ = ["HANG", "drain", "event_of", "guest_threads", "told", "until", "wait_until"]

#: Seconds after which a test that waits is taken to hang, however busy the machine.
HANG = 60.0


async def until(condition: Callable[[], object], what: str, *, within: float = HANG) -> None:
    """Return as soon as ``condition`` holds; fail if it does not within so many seconds."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {within:g} s"
        await asyncio.sleep(0.005)


def wait_until(condition: Callable[[], object], what: str, *, within: float = HANG) -> None:
    """The same for a test without an event loop."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {within:g} s"
        time.sleep(0.005)


async def drain(stream: Stream, count: int, *, within: float = HANG) -> list[StreamData]:
    """The next ``count`` items."""
    items: list[StreamData] = []
    async with asyncio.timeout(within):
        while len(items) < count:
            items.append(await anext(stream))
    return items


async def event_of(stream: Stream, *kinds: EventKind, within: float = HANG) -> StreamEvent:
    """The first event of one of these kinds since the stream began, told already or not.

    Of what happens a second time it knows nothing: see ``told``, or ``watching``.
    """
    async with asyncio.timeout(within):
        async for event in stream.events():
            if event.kind in kinds:
                return event
    raise AssertionError(f"the stream ended without an event of {kinds}")


async def told(stream: Stream, *kinds: EventKind) -> list[StreamEvent]:
    """All events of these kinds that an ended stream has told; of every kind, if none is given."""
    async with asyncio.timeout(HANG):
        return [event async for event in stream.events() if not kinds or event.kind in kinds]


def guest_threads() -> list[str]:
    """The names of the threads of all guests of this process; no two guests have the same."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("guest")]
