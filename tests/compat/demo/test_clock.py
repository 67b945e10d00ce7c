"""When candles come to exist."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from compat.demo.clock import Clock


async def test_the_first_candles_exist_at_once() -> None:
    clock = Clock(rate=0.001, first=3)
    async with asyncio.timeout(1):
        await clock.reach(2)
    assert clock.position == 3


async def test_a_candle_is_not_early_and_not_much_late() -> None:
    began = time.monotonic()
    clock = Clock(rate=100, first=1)
    async with asyncio.timeout(5):
        await clock.reach(5)
    assert time.monotonic() - began >= 0.05
    assert clock.position >= 6


async def test_readers_of_one_clock_are_served_at_the_same_position() -> None:
    clock = Clock(rate=200, first=0)

    async def read() -> int:
        await clock.reach(4)
        return clock.position

    async with asyncio.timeout(5):
        one, other = await asyncio.gather(read(), read())
    assert min(one, other) >= 5
    assert abs(one - other) <= 1  # the next may have come to exist between the two


async def test_hurried_candles_exist_at_once_and_wake_those_who_wait() -> None:
    clock = Clock(rate=0.001, first=0)
    waiting = asyncio.create_task(clock.reach(9))
    await asyncio.sleep(0)
    clock.hurry(9)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await asyncio.shield(waiting)
    clock.hurry(1)
    async with asyncio.timeout(1):
        await waiting
    assert clock.position == 10


async def test_an_infinite_clock_follows_its_fastest_reader() -> None:
    clock = Clock(rate=math.inf, first=5)
    assert clock.position == 5
    await clock.reach(7)
    await clock.reach(6)
    assert clock.position == 8
