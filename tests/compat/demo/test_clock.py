"""When candles come to exist."""

from __future__ import annotations

import asyncio
import math
import time

from compat.demo.clock import Clock
from tests.support.waiting import HANG

NEVER = 1e-6  # candles a second: none in the time of a test


async def test_the_first_candles_exist_at_once() -> None:
    clock = Clock(rate=NEVER, first=3)
    async with asyncio.timeout(HANG):
        await clock.reach(2)
    assert clock.position == 3


async def test_a_candle_is_not_early() -> None:
    began = time.monotonic()
    clock = Clock(rate=100, first=1)
    async with asyncio.timeout(HANG):
        await clock.reach(5)
    assert time.monotonic() - began >= 0.05
    assert clock.position >= 6


async def test_it_goes_on_whether_anybody_waits_or_not() -> None:
    began = time.monotonic()
    clock = Clock(rate=1_000, first=0)
    await asyncio.sleep(0.025)
    assert 20 <= clock.position <= (time.monotonic() - began) * 1_000


async def test_readers_of_one_clock_are_served_at_the_same_position() -> None:
    clock = Clock(rate=NEVER, first=0)

    async def read() -> int:
        await clock.reach(4)
        return clock.position

    readers = [asyncio.create_task(read()) for _ in range(2)]
    await asyncio.sleep(0)
    clock.hurry(7)
    async with asyncio.timeout(HANG):
        assert await asyncio.gather(*readers) == [7, 7]


async def test_hurried_candles_exist_at_once_and_wake_those_who_wait() -> None:
    clock = Clock(rate=NEVER, first=0)
    waiting, waiting_too = (asyncio.create_task(clock.reach(n)) for n in (9, 8))
    await asyncio.sleep(0)
    clock.hurry(9)
    async with asyncio.timeout(HANG):
        await waiting_too
        assert not waiting.done()
        clock.hurry(1)
        await waiting
    assert clock.position == 10


async def test_an_infinite_clock_follows_its_fastest_reader() -> None:
    clock = Clock(rate=math.inf, first=5)
    assert clock.position == 5
    await clock.reach(7)
    await clock.reach(6)
    assert clock.position == 8
