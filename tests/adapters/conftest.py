from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from adapters.channel import Channel
from adapters.contract import StreamKey
from adapters.stream import AdapterStream
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


class MakeStream(Protocol):
    async def __call__(
        self,
        run: Callable[[Channel], Awaitable[object]] | None = None,
        *,
        capacity: int = 4_096,
        capacity_bytes: int = 2**20,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> AdapterStream:
        """Return an open stream whose driver runs `run` (or waits for ever), closed after the test."""


class Until(Protocol):
    async def __call__(self, condition: Callable[[], object], deadline: float = HANG) -> None:
        """Return once the condition holds; fail at the deadline."""


@pytest.fixture
def until() -> Until:
    async def wait(condition: Callable[[], object], deadline: float = HANG) -> None:
        async with asyncio.timeout(deadline):
            while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.002)

    return wait


@pytest.fixture
def key() -> StreamKey:
    return StreamKey("ohlcv", "example", "BTC-USDT", {"timeframe": "1m"})


class Scripted:
    """A driver that runs what a test gives it."""

    def __init__(self, channel: Channel, run: Callable[[Channel], Awaitable[Any]] | None) -> None:
        self._channel = channel
        self._run = run
        self.closed = 0

    async def run(self) -> None:
        if self._run is None:
            await asyncio.Event().wait()
        else:
            await self._run(self._channel)

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
async def make_stream(key: StreamKey) -> AsyncIterator[MakeStream]:
    made: list[AdapterStream] = []

    async def make(
        run: Callable[[Channel], Awaitable[object]] | None = None,
        *,
        capacity: int = 4_096,
        capacity_bytes: int = 2**20,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> AdapterStream:
        channel = Channel(key, capacity=capacity, capacity_bytes=capacity_bytes, monotonic=monotonic)
        stream = AdapterStream(channel, lambda channel: Scripted(channel, run))
        made.append(stream)
        return await stream.__aenter__()

    yield make
    for stream in made:
        await stream.aclose()


@pytest.fixture(params=["callback", "command"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Each dialect of the legacy interface."""
    return str(request.param)
