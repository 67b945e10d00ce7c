"""Streams without a plugin: what is offered to them, by a thread or on the loop, and what a consumer reads."""

from __future__ import annotations

import asyncio
import threading

import attrs

from adapters.contract import StreamEvent, StreamKey, StreamStats
from adapters.stream import AdapterStream
from tests.support.waiting import HANG

__all__ = ["KEY", "Producer", "counters", "history", "offer", "offer_here", "read", "read_to_the_end"]

KEY = StreamKey("ohlcv", "example", "BTC-USDT")


def offer(stream: AdapterStream, data: bytes, stopping: threading.Event | None = None) -> bool:
    return stream.offer(KEY, 0, "ohlcv", data, stopping or threading.Event())


async def offer_here(stream: AdapterStream, *numbers: int) -> None:
    for number in numbers:
        await stream.offer_here(KEY, number, "ohlcv", b"%d" % number)


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
