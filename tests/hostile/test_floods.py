"""Guests that never stop failing or talking: what is told of it is bounded, and counts all of it."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING

import attrs
import pytest

from adapters.event_rate import BURST
from adapters.speech import Speech
from compat import Crossing, Direction, EventKind, PluginTrapError
from tests.support.clocks import Clock
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.hosts import module
from tests.support.plugins import candle_key
from tests.support.waiting import HANG, drain, told, until

if TYPE_CHECKING:
    from compat import StreamEvent

pytestmark = pytest.mark.usefixtures("nothing_left")

KEY = candle_key()
GOOD = ("publish_stream_data", {"key": KEY.to_wire(), "data": 1})
REFUSED = ("publish_stream_data", {"key": attrs.evolve(KEY, source="another").to_wire(), "data": 1})
LINE = ("log_record", {"eventType": "info", "message": "a line"})


class Watched:
    """An observer that counts what guests were answered, or asked for."""

    def __init__(self, direction: Direction, name: str, words: bytes = b"") -> None:
        self.count = 0
        self._what = direction, name
        self._words = words

    def __call__(self, crossing: Crossing) -> None:
        self.count += (crossing.direction, crossing.name) == self._what and self._words in crossing.data


def refusals() -> Watched:
    return Watched(Direction.HOST_RETURN, "publish_stream_data", b"is not this stream's")


def lines() -> Watched:
    return Watched(Direction.HOST_CALL, "log_record")


def total(events: list[StreamEvent], kind: EventKind) -> int:
    return sum(event.count for event in events if event.kind is kind)


async def test_every_second_item_is_refused_and_few_events_tell_of_all_that_are_lost() -> None:
    refused, turns = refusals(), 0
    wasm = module(start_stream=Answer(calls=[GOOD, REFUSED], then="again"))

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    async with open_module(wasm, observer=refused, monotonic=Clock(), buffer=16) as plugin:
        async with plugin.stream(KEY) as stream:
            await drain(stream, 1)
            before = turns
            await drain(stream, 2_000)
            assert turns - before >= 2_000 / 64  # others have their turn meanwhile
        counting.cancel()
        events = await told(stream)
        stats = stream.stats
    gaps = [event for event in events if event.kind is EventKind.GAP]
    assert 2_000 <= refused.count == stats.gaps == stats.plugin_errors
    assert refused.count == total(events, EventKind.GAP) == total(events, EventKind.PLUGIN_ERROR)
    assert refused.count == sum(event.lost or 0 for event in gaps)
    assert gaps[-1].places[-1] >= 2_000
    assert {place for gap in gaps for place in gap.places} == set(range(1, gaps[-1].places[-1] + 1))
    # The clock stands still: the first of each kind, and what is told together at the end, or before a state.
    assert len(gaps) <= BURST + 2
    assert len(events) <= 2 * (BURST + 2) + 3
    assert [event.sequence for event in events] == sorted(event.sequence for event in events)


async def test_all_that_a_guest_publishes_is_refused_and_it_is_told_while_that_lasts() -> None:
    refused, clock = refusals(), Clock()
    wasm = module(start_stream=Answer(calls=[REFUSED], then="again"))
    async with open_module(wasm, observer=refused, monotonic=clock) as plugin:
        async with plugin.stream(KEY) as stream:
            await until(lambda: refused.count > 2 * BURST, "more is refused than is told one by one")
            clock.now += 1.0
            async with asyncio.timeout(HANG):
                event = await anext(event async for event in stream.events() if event.count > 1)
            assert event.kind in (EventKind.GAP, EventKind.PLUGIN_ERROR)
            assert event.message.endswith(f"(and {event.count - 1:,} more like it)")
        events = await told(stream)
    gaps = [event for event in events if event.kind is EventKind.GAP]
    assert refused.count == stream.stats.gaps == sum(event.lost or 0 for event in gaps)
    assert {event.sequence for event in events} == {0}
    assert len(events) <= 2 * (BURST + 5 + 2) + 3


async def test_what_is_told_of_a_flood_is_logged_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="compat.plugin.guest")
    wasm = module(start_stream=Answer(calls=[GOOD, REFUSED], then="again"))
    async with open_module(wasm, monotonic=Clock()) as plugin:
        async with plugin.stream(KEY) as stream:
            await drain(stream, 500)
        events = await told(stream)
    logged = [message for message in caplog.messages if message.startswith("stream ")]
    assert len(logged) == len([event for event in events if event.kind is not EventKind.STATE])


def left_out(messages: list[str]) -> int:
    found = [re.match(r"(\d+) lines that it logged were left out", message) for message in messages]
    return sum(int(match[1]) for match in found if match)


async def test_a_plugin_that_logs_without_end_has_one_allowance_for_all_its_streams(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, logger="compat.plugin.guest")  # to which it goes when it is being stopped
    logged = lines()
    wasm = module(start_stream=Answer(calls=[GOOD, LINE], then="again"))
    async with (
        open_module(wasm, observer=logged, speech=Speech(burst=30, rate=0)) as plugin,
        plugin.stream(KEY) as one,
        plugin.stream(KEY) as other,
    ):
        for stream in (one, other):
            await drain(stream, 100)
    await until(lambda: left_out(caplog.messages) == logged.count - 30, "all that was left out is told")
    assert caplog.messages.count("a line") == 30
    assert logged.count >= 190


async def test_a_plugin_whose_guests_are_replaced_gets_no_new_allowance(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="compat.plugin.guest")
    wasm = module(get_name=Answer(calls=[LINE] * 30, then="trap"), plugin_info=Answer({"name": "x"}))
    async with open_module(wasm, speech=Speech(burst=40, rate=0)) as plugin:
        await plugin.info()
        caplog.clear()
        for _ in range(3):
            with pytest.raises(PluginTrapError):
                await plugin.call("get_name")
    said = caplog.messages.count("a line")
    await until(lambda: said + left_out(caplog.messages) == 90, "all that was left out is told")
    assert said <= 40
