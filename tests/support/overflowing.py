"""Subscriptions to a real stream without a plugin, and what they hear of what is missing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from adapters.channel import Channel, Item
from adapters.feed import Feed
from adapters.stream import AdapterStream
from compat import EventKind, Overflow, StreamEvent, StreamKey
from compat.subscription import Subscription
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from compat import Stream

__all__ = ["KEYS", "Quiet", "holes", "offer", "settle", "so_far", "subscribed", "told"]

KEYS = [StreamKey("ticker", "simex", name) for name in ("A", "B", "C")]


class Quiet:
    """A driver that waits to be closed."""

    def __init__(self, _: Channel) -> None: ...

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def aclose(self) -> None: ...


@contextlib.asynccontextmanager
async def subscribed(
    overflow: Overflow | str, buffer: int, before: int = 0
) -> AsyncIterator[tuple[AdapterStream, Subscription]]:
    """A subscription to a stream of which so many items have passed before."""
    async with AdapterStream(Channel(KEYS[0]), Quiet) as stream:
        for _ in range(before):
            await offer(stream)
            await anext(stream)

        async def join(_: Subscription) -> Stream:
            return stream

        async def leave(_: Subscription) -> None:
            await stream.aclose()

        async with Subscription(KEYS[0], buffer, overflow, join, leave) as subscription:
            yield stream, subscription


async def offer(stream: AdapterStream, key: StreamKey = KEYS[0], data_type: str = "ticker") -> None:
    await Feed(stream._channel).write_here([Item(key, data_type, b"{}", 0)])


async def told(subscription: Subscription) -> list[StreamEvent]:
    """All events of a subscription that has ended."""
    async with asyncio.timeout(HANG):
        return [event async for event in subscription.events()]


async def settle() -> None:
    """Let everybody do what there is to do."""
    for _ in range(3):
        await asyncio.sleep(0)


def so_far(subscription: Subscription) -> list[StreamEvent]:
    return list(subscription._account._log)


def holes(events: Iterable[StreamEvent]) -> list[int]:
    """The numbers that the gap events tell to be missing."""
    gaps = [event for event in events if event.kind is EventKind.GAP]
    return [number for gap in gaps for number in range(gap.sequence - (gap.lost or 0), gap.sequence)]
