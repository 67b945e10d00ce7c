"""Nothing is lost uncounted: what a plugin published, logged or was refused is delivered, or told as a number.

The plugin's side is counted at its border, by the observer.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from compat import EventKind, Overflow, SubscriberTooSlowError, Subscription
from tests.hostile.guests import PUBLISH, REFUSED, again, call, generic, legacy
from tests.hostile.neighbours import neighbourhood, patient
from tests.hostile.rows import Row, impatient
from tests.hostile.scene import Place, opened
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.hostile.scene import Hostile

pytestmark = pytest.mark.usefixtures("all_given_back")
PLACES = pytest.mark.parametrize("place", [pytest.param(place, id=place.value) for place in Place])

_ITEMS = 20  # that each neighbour gets meanwhile
_BUFFER = 64
BOMB = Row("generic: publishes without end", generic(connected=again(PUBLISH)))
_WORKS_WITH = patient(buffer=_BUFFER)


def _published(hostile: Hostile) -> int:
    return hostile.crossed["publish_stream_data"]


async def test_a_plugin_that_publishes_faster_than_it_is_read_waits_and_loses_nothing() -> None:
    async with (
        neighbourhood() as neighbours,
        opened(BOMB, Place.ALONE, neighbours.manager, _WORKS_WITH) as hostile,
    ):
        await until(lambda: _published(hostile) == _BUFFER + 1, "its buffer is full, and one more waits")
        await neighbours.exchange(_ITEMS)
        assert _published(hostile) == _BUFFER + 1
        await hostile.read(1_000)
        await neighbours.exchange(_ITEMS)
        await hostile.close()
        assert hostile.last + 1 == hostile.delivered == 1_000
        # The rest was given up as it was closed: what was buffered, and what was published meanwhile.
        assert hostile.stream.stats.received - 1_000 <= _BUFFER
        assert hostile.stream.stats.gaps == 0


async def test_a_subscriber_that_is_too_slow_for_it_is_ended_after_what_fitted() -> None:
    async with (
        neighbourhood() as neighbours,
        opened(BOMB, Place.MANAGED, neighbours.manager, _WORKS_WITH, buffer=_BUFFER) as hostile,
    ):
        await until(lambda: hostile.stream.state == "stopped", "the stream is closed, as nobody is left")
        await neighbours.exchange(_ITEMS)
        await hostile.read()
        assert isinstance(hostile.error, SubscriberTooSlowError)
        assert hostile.last + 1 == hostile.delivered == _BUFFER
        assert f"{_BUFFER}" in hostile.error.message
        assert hostile.error.remedy


@pytest.mark.parametrize("overflow", [Overflow.DROP_OLDEST, Overflow.CONFLATE, Overflow.BLOCK])
async def test_what_a_slow_subscriber_of_it_does_not_get_is_told_with_its_number(overflow: Overflow) -> None:
    async with (
        neighbourhood() as neighbours,
        opened(BOMB, Place.MANAGED, neighbours.manager, _WORKS_WITH, buffer=_BUFFER, overflow=overflow) as hostile,
    ):
        await until(lambda: _published(hostile) > 2 * _BUFFER, "more is published than fits")
        await neighbours.exchange(_ITEMS)
        await hostile.read(10)
        assert isinstance(hostile.source, Subscription)
        assert (hostile.source.stats.dropped > 0) == (overflow is not Overflow.BLOCK)
        await neighbours.exchange(_ITEMS)
        listening = asyncio.create_task(_lost(hostile.source))
        await hostile.close()
        await hostile.read()
        assert hostile.delivered + await listening == hostile.last + 1


async def _lost(subscription: Subscription) -> int:
    """How many items a subscription told as lost, until its end."""
    return sum([event.lost or 0 async for event in subscription.events() if event.kind is EventKind.GAP])


@PLACES
async def test_every_item_that_is_refused_is_told_as_lost(place: Place) -> None:
    row = Row(
        "generic: publishes 100 items that are refused for each that is not",
        generic(message=REFUSED * 100),
        messages=10,
        progress=impatient(malformed_pace=0, malformed_most=10_000),
    )
    async with neighbourhood() as neighbours, opened(row, place, neighbours.manager) as hostile:
        reading = asyncio.create_task(hostile.read())
        await until(lambda: hostile.delivered == 10, "all others are delivered")
        await neighbours.exchange(_ITEMS)
        await hostile.close()
        await reading
    assert _published(hostile) == 1_010
    assert hostile.last == 9
    assert hostile.lost == hostile.stream.stats.gaps == 1_000


@PLACES
@pytest.mark.parametrize("kind", ["generic", "legacy"])
async def test_every_line_that_is_left_out_is_counted(kind: str, place: Place) -> None:
    talk = call("log_record", {"eventType": "info", "message": "a line"}) * 500
    made = generic(message=talk) if kind == "generic" else legacy(message=talk)
    row = Row(f"{kind}: logs 500 lines for each message", made, messages=10, items=10)
    async with neighbourhood() as neighbours, opened(row, place, neighbours.manager) as hostile:
        reading = asyncio.create_task(hostile.read())
        await until(lambda: hostile.delivered == 10, "all is delivered")
        await neighbours.exchange(_ITEMS)
        await hostile.close()
        await reading
    lines = [line for line in hostile.log.lines if line == "a line"]
    left_out = [re.match(r"(\d+) lines that it logged were left out", line) for line in hostile.log.lines]
    assert len(lines) + sum(int(found[1]) for found in left_out if found) == 5_000 == hostile.crossed["log_record"]
