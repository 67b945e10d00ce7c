"""Feeds: what their gates do with items and events, and that everything keeps the order in which it happened."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from adapters.contract import EventKind, StreamState
from adapters.feed import Feed, Gate
from adapters.handover import Handover, Outcome
from tests.support.adapter_streams import history, numbered, offer_here, read, read_to_the_end
from tests.support.waiting import HANG, told

if TYPE_CHECKING:
    from adapters.channel import Channel
    from tests.adapters.conftest import MakeStream, Until


async def test_what_is_held_is_passed_on_in_order_when_the_gate_opens(make_stream: MakeStream) -> None:
    stream = await make_stream()
    feed = Feed(stream._channel, Gate.HELD)
    assert feed.write(numbered(*range(5)))
    assert stream.stats.received == 0
    feed.open(skip=2)
    feed.write(numbered(5))
    assert await read(stream, 4) == [2, 3, 4, 5]
    assert [item.timestamp for item in feed.recent] == [2, 3, 4, 5]
    assert not feed.held


async def test_a_held_event_is_told_at_its_place_and_a_gap_in_what_is_skipped_is_none(make_stream: MakeStream) -> None:
    stream = await make_stream()
    feed = Feed(stream._channel, Gate.HELD)
    feed.write(numbered(0))
    feed.tell(EventKind.GAP, "one that the other feed had not", lost=1)
    feed.tell(EventKind.PLUGIN_ERROR, "told all the same")
    feed.write(numbered(1, 2))
    feed.tell(EventKind.GAP, "between 2 and 3", lost=1)
    feed.write(numbered(3))
    feed.tell(EventKind.GAP, "after 3")
    feed.open(skip=2)
    assert await read(stream, 2) == [2, 3]
    await stream.aclose()
    events = await told(stream, EventKind.GAP, EventKind.PLUGIN_ERROR)
    assert [(event.message, event.sequence) for event in events] == [
        ("told all the same", 0),
        ("between 2 and 3", 1),
        ("after 3", 2),
    ]


async def test_a_shut_gate_refuses_and_stays_shut(make_stream: MakeStream) -> None:
    stream = await make_stream()
    feed = Feed(stream._channel, Gate.HELD)
    feed.write(numbered(0))
    feed.shut()
    assert not feed.write(numbered(1))
    assert not await feed.write_here(numbered(1))
    feed.open()
    assert not feed.write(numbered(1))
    assert stream.stats.received == 0


async def test_a_batch_that_does_not_fit_is_written_as_room_comes(make_stream: MakeStream, until: Until) -> None:
    async def run(channel: Channel) -> None:
        assert await Feed(channel).write_here(numbered(*range(10)))

    stream = await make_stream(run, capacity=4)
    await until(lambda: stream._channel.backed_up)
    assert stream.stats.received == 4
    assert await read_to_the_end(stream) == list(range(10))


async def test_who_is_to_stop_waits_for_no_room(make_stream: MakeStream, until: Until) -> None:
    stream = await make_stream(capacity=2)
    feed = Feed(stream._channel)
    writing = asyncio.create_task(asyncio.to_thread(feed.write, numbered(0, 1, 2)))
    await until(lambda: stream._channel.backed_up)
    feed.stopping.set()
    async with asyncio.timeout(HANG):
        assert not await writing
    assert await read(stream, 2) == [0, 1]


@pytest.mark.parametrize("first", ["thread", "loop"])
async def test_any_feed_can_take_over_from_any_other(make_stream: MakeStream, first: str) -> None:
    """One is written to on a thread, as a guest does, the other on the event loop, as a legacy stream's driver does."""
    stream = await make_stream()
    old, new = Feed(stream._channel), Feed(stream._channel, Gate.HELD)
    for feed, numbers in ((old, [0, 1, 2]), (new, [1, 2, 3])):
        if (feed is old) == (first == "thread"):
            assert await asyncio.to_thread(feed.write, numbered(*numbers))
        else:
            assert await feed.write_here(numbered(*numbers))
    assert await Handover(old, new).run() is Outcome.COMPLETE
    assert not old.write(numbered(3))
    assert new.write(numbered(4))
    assert await read(stream, 5) == [0, 1, 2, 3, 4]


async def test_what_a_thread_told_while_the_loop_was_busy_stands_before_what_the_loop_tells(
    make_stream: MakeStream,
) -> None:
    stream = await make_stream()
    feed = Feed(stream._channel)

    def guest() -> None:
        feed.write(numbered(0))
        feed.tell(EventKind.GAP, "told by the guest's thread")
        feed.write(numbered(1))

    thread = threading.Thread(target=guest)
    thread.start()
    thread.join()  # the loop is busy meanwhile
    stream._channel.tell(EventKind.RECONNECT, "told by the loop")
    await stream.aclose()
    events = [(event.kind, event.state, event.sequence) for event in await history(stream)]
    assert events == [
        (EventKind.STATE, StreamState.STARTING, 0),
        (EventKind.STATE, StreamState.STREAMING, 0),
        (EventKind.GAP, None, 1),
        (EventKind.RECONNECT, None, 2),
        (EventKind.STATE, StreamState.STOPPED, 2),
    ]


async def test_events_of_many_threads_are_recorded_in_the_order_of_their_places(make_stream: MakeStream) -> None:
    stream = await make_stream()
    feeds = [Feed(stream._channel) for _ in range(4)]

    def write(feed: Feed) -> None:
        for number in range(200):
            feed.write(numbered(number))
            feed.tell(EventKind.RESTART, "of which each is told")

    threads = [threading.Thread(target=write, args=[feed]) for feed in feeds]
    for thread in threads:
        thread.start()
    await offer_here(stream, *range(50))
    for thread in threads:
        await asyncio.to_thread(thread.join)
    await stream.aclose()
    places = [event.sequence for event in await history(stream)]
    assert places == sorted(places)
    assert stream.stats.restarts == 800
