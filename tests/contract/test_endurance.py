"""Many messages, and many guests that park: nothing is lost, whether messages come one by one or all at once."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from compat import Crossing, Direction, EventKind, Pacing
from compat.demo.exchange import Exchange
from tests.support.plugins import FIXTURES, PluginFixture, candle_key
from tests.support.simex import candle_of, candles, open_against, unhurried
from tests.support.waiting import HANG, drain, told

if TYPE_CHECKING:
    from compat import AdapterSettings

pytestmark = pytest.mark.usefixtures("nothing_left")

PARKING, RUST = (
    next(fixture for fixture in FIXTURES if fixture.id == name) for name in ("generic-parking", "generic-rust")
)
UNPACED = Pacing(rate=math.inf)
GUESTS = 200
AT_ONCE = 16


class Entries:
    """Counts what guests of a stream do once they have parked, by guest.

    Attributes:
        started: Those whose `start_stream` has returned.
        again: How often each was entered after that.
        published: What each has published since it was entered again.
    """

    def __init__(self) -> None:
        self.started: set[str] = set()
        self.again: Counter[str] = Counter()
        self.published: Counter[str] = Counter()

    def __call__(self, crossing: Crossing) -> None:
        match crossing.direction, crossing.name:
            case Direction.RETURN, "start_stream":
                self.started.add(crossing.guest)
            case Direction.CALL, name if crossing.guest in self.started and name != "stop_stream":
                self.again[crossing.guest] += 1
            case Direction.HOST_CALL, "publish_stream_data" if crossing.guest in self.again:
                self.published[crossing.guest] += 1


async def expect(fixture: PluginFixture, exchange: Exchange, count: int, settings: AdapterSettings) -> None:
    """Read so many candles from a replay: each has to come, in order, to the last digit."""
    async with (
        open_against(fixture, exchange, settings=settings) as plugin,
        plugin.stream(candle_key()) as stream,
        asyncio.timeout(3 * HANG),
    ):
        for number in range(count):
            assert [candle_of(await anext(stream))] == candles(exchange, [number])
        assert stream.stats.restarts == stream.stats.reconnects == stream.stats.plugin_errors == 0
    assert await told(stream, EventKind.GAP) == []


@pytest.mark.parametrize(
    ("rate", "count"), [(math.inf, 20_000), (100, 1_000)], ids=["as fast as they can", "100 a second"]
)
async def test_very_many_messages_come_complete_and_in_order(rate: float, count: int) -> None:
    async with Exchange(rate=rate, mode="replay", limit=count) as exchange, asyncio.TaskGroup() as both:
        entries = Entries()
        both.create_task(expect(PARKING, exchange, count, unhurried(observer=entries)))
        both.create_task(expect(RUST, exchange, count, unhurried()))
    assert len(entries.again) == 1
    assert entries.published.total() > count / 2, "it parked early"


async def test_no_guest_that_parks_loses_a_message() -> None:
    entries, count = Entries(), 100
    turns = asyncio.Semaphore(AT_ONCE)
    # Sent over 0.1 s, and a guest parks after 0.01: most of them come once it is entered again.
    async with (
        Exchange(rate=1_000, mode="replay", limit=count) as exchange,
        open_against(PARKING, exchange, settings=unhurried(observer=entries, pacing=UNPACED)) as plugin,
    ):

        async def one_guest() -> None:
            async with turns, plugin.stream(candle_key()) as stream:
                items = await drain(stream, count)
                assert [candle_of(item) for item in items] == candles(exchange, range(count))
                assert stream.stats.gaps == stream.stats.restarts == 0

        async with asyncio.TaskGroup() as group:
            for _ in range(GUESTS):
                group.create_task(one_guest())
    assert len(entries.started) == len(entries.again) == len(entries.published) == GUESTS
    assert min(entries.published.values()) > 0
