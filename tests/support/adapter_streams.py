"""Streams without a plugin: what is offered to them, by a thread or on the loop, and what a consumer reads."""

from __future__ import annotations

import asyncio
import threading

import attrs

from adapters.channel import Channel, Item
from adapters.contract import StreamEvent, StreamKey, StreamStats
from adapters.feed import Feed
from adapters.stream import AdapterStream
from tests.support.waiting import HANG

__all__ = [
    "KEY",
    "Producer",
    "channel_of",
    "counters",
    "history",
    "numbered",
    "offer",
    "offer_here",
    "read",
    "read_to_the_end",
]

KEY = StreamKey("ohlcv", "example", "BTC-USDT")


def channel_of(end: AdapterStream | Channel) -> Channel:
    """The channel of a stream, or what a driver has of it."""
    return end if isinstance(end, Channel) else end._channel


def numbered(*numbers: int) -> list[Item]:
    """Items with these numbers as payloads and times."""
    return [Item(KEY, "ohlcv", b"%d" % number, number) for number in numbers]


def offer(end: AdapterStream | Channel, data: bytes, stopping: threading.Event | None = None) -> bool:
    feed = Feed(channel_of(end))
    feed.stopping = stopping or feed.stopping
    return feed.write([Item(KEY, "ohlcv", data, 0)])


async def offer_here(end: AdapterStream | Channel, *numbers: int) -> None:
    """Offer them one by one."""
    feed = Feed(channel_of(end))
    for item in numbered(*numbers):
        await feed.write_here([item])


def counters(stream: AdapterStream) -> StreamStats:
    """What has been counted, without what depends on the time."""
    return attrs.evolve(stream.stats, rate=0.0, lag=0.0, idle=None)


async def read(stream: AdapterStream, count: int) -> list[int]:
    async with asyncio.timeout(HANG):
        return [int((await anext(stream)).data) for _ in range(count)]


async def read_to_the_end(stream: AdapterStream) -> list[int]:
    async with asyncio.timeout(HANG):
        return [int(item.data) async for item in stream]


async def history(stream: AdapterStream) -> list[StreamEvent]:
    async with asyncio.timeout(HANG):
        return [event async for event in stream.events()]


class Producer:
    """A guest's thread that offers numbers as fast as it may."""

    def __init__(self, stream: AdapterStream, count: int, size: int = 0) -> None:
        self.offered = 0
        self.refused = False
        self.stopping = threading.Event()
        self._stream, self._count, self._size = stream, count, size
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        for number in range(self._count):
            if not offer(self._stream, (b"%d" % number).rjust(self._size), self.stopping):
                self.refused = True
                return
            self.offered += 1

    async def join(self) -> None:
        await asyncio.to_thread(self.thread.join, HANG)
        assert not self.thread.is_alive()
