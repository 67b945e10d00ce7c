"""One guest takes over from another: no item twice, none missing, or else it is said."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from adapters.channel import Channel, Item
from adapters.contract import EventKind
from adapters.feed import Feed, Gate
from adapters.handover import Handover, Outcome
from adapters.stream import AdapterStream
from tests.support.adapter_streams import KEY, numbered, read
from tests.support.waiting import told

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

    from tests.adapters.conftest import MakeStream, Until


class Source(Feed):
    """A feed to which numbers are written."""

    def __init__(self, stream: AdapterStream, gate: Gate) -> None:
        super().__init__(stream._channel, gate)

    def publish(self, *numbers: int) -> None:
        for item in numbered(*numbers):
            self.write([item])


def delivered(stream: AdapterStream) -> list[int]:
    return [int(item.data) for _, item in stream._channel.mailbox._items]


async def test_the_successor_continues_after_the_last_item_that_both_know(make_stream: MakeStream) -> None:
    stream = await make_stream()
    old, new = Source(stream, Gate.OPEN), Source(stream, Gate.HELD)
    old.publish(1, 2, 3)
    new.publish(2, 3, 4, 5)
    assert await Handover(old, new).run() is Outcome.COMPLETE
    old.publish(4)
    new.publish(6)
    assert delivered(stream) == [1, 2, 3, 4, 5, 6]


class Looked(deque[Item]):
    """Held items that count how often a handover has looked at them."""

    looks = 0

    def copy(self) -> deque[Item]:  # type: ignore[override]
        self.looks += 1
        return deque(self)


async def test_it_waits_until_both_have_seen_the_same_item(make_stream: MakeStream, until: Until) -> None:
    stream = await make_stream()
    old, new = Source(stream, Gate.OPEN), Source(stream, Gate.HELD)
    new.held = held = Looked()
    old.publish(1)
    running = asyncio.create_task(Handover(old, new).run())
    new.publish(3)
    old.publish(2)
    await until(lambda: held.looks >= 3)
    old.publish(3)
    assert await running is Outcome.COMPLETE  # had it not waited, it would not be sure
    new.publish(4)
    assert delivered(stream) == [1, 2, 3, 4]


async def test_without_a_common_item_it_hands_over_and_says_that_it_is_not_sure(make_stream: MakeStream) -> None:
    stream = await make_stream()
    old, new = Source(stream, Gate.OPEN), Source(stream, Gate.HELD)
    old.publish(1)
    new.publish(7, 8)
    assert await Handover(old, new, patience=0.05).run() is Outcome.UNSURE
    old.publish(2)
    assert delivered(stream) == [1, 7, 8]


async def test_where_nothing_shows_where_they_meet_it_is_told_at_that_place_and_little_comes_twice(
    make_stream: MakeStream,
) -> None:
    stream = await make_stream()
    old, new = Source(stream, Gate.OPEN), Source(stream, Gate.HELD)
    old.publish(1, 2)
    taking_over = Handover(old, new, lambda: stream._channel.tell(EventKind.GAP, "unsure"), patience=0.05)
    old.publish(3, 4)
    new.publish(33, 44, 55)  # the same feed, and no payload like another: both have seen two items since
    assert await taking_over.run() is Outcome.UNSURE
    new.publish(66)
    assert delivered(stream) == [1, 2, 3, 4, 55, 66]
    await stream.aclose()
    (gap,) = await told(stream, EventKind.GAP)
    assert gap.sequence == 4


async def test_a_successor_that_ended_takes_over_nothing(make_stream: MakeStream) -> None:
    stream = await make_stream()
    old, new = Source(stream, Gate.OPEN), Source(stream, Gate.HELD)
    old.publish(1)
    new.publish(1, 2)
    new.end()
    assert await Handover(old, new).run() is Outcome.FAILED
    old.publish(2)
    assert delivered(stream) == [1, 2]


async def test_a_predecessor_that_ended_is_succeeded_at_once(make_stream: MakeStream) -> None:
    stream = await make_stream()
    old, new = Source(stream, Gate.OPEN), Source(stream, Gate.HELD)
    old.publish(1)
    new.publish(2)
    old.end()
    assert await Handover(old, new).run() is Outcome.UNSURE
    assert delivered(stream) == [1, 2]


async def test_a_consumer_that_does_not_read_does_not_keep_a_handover_from_its_end(make_stream: MakeStream) -> None:
    stream = await make_stream(capacity=2)
    old, new = Source(stream, Gate.OPEN), Source(stream, Gate.HELD)
    old.publish(1, 2)
    new.publish(2, 3, 4)
    assert await Handover(old, new).run() is Outcome.COMPLETE
    assert await read(stream, 4) == [1, 2, 3, 4]


async def test_what_a_shut_predecessor_still_waits_to_write_comes_from_its_successor_alone(
    make_stream: MakeStream, until: Until
) -> None:
    stream = await make_stream(capacity=2)
    old, new = Source(stream, Gate.OPEN), Source(stream, Gate.HELD)
    writing = asyncio.create_task(asyncio.to_thread(old.write, numbered(1, 2, 3, 4)))
    await until(lambda: stream._channel.backed_up)
    new.publish(1, 2, 3, 4, 5)
    assert await Handover(old, new).run() is Outcome.COMPLETE
    assert await read(stream, 5) == [1, 2, 3, 4, 5]
    assert await writing is False


@st.composite
def overlaps(draw: st.DrawFn, elements: SearchStrategy[int], *, distinct: bool) -> tuple[list[int], int, int, int]:
    """One feed, and two guests that see it: how many items the predecessor delivered, and what the successor holds."""
    feed = draw(st.lists(elements, min_size=1, max_size=24, unique=distinct))
    shut_at = draw(st.integers(1, len(feed)))
    begun_at = draw(st.integers(0, shut_at - 1))
    come_to = draw(st.integers(begun_at + 1, len(feed)))
    return feed, shut_at, begun_at, come_to


def after_handover(feed: list[int], shut_at: int, begun_at: int, come_to: int) -> tuple[Outcome, list[int]]:
    """Hand over at once, let the successor publish the rest, and tell what was said and delivered."""

    async def scenario() -> tuple[Outcome, list[int]]:
        stream = AdapterStream(Channel(KEY), lambda _: pytest.fail("never opened"))
        old, new = Source(stream, Gate.OPEN), Source(stream, Gate.HELD)
        old.publish(*feed[:shut_at])
        new.publish(*feed[begun_at:come_to])
        complete = Handover(old, new)._switch()
        new.publish(*feed[come_to:])
        return complete, delivered(stream)

    return asyncio.run(scenario())


@settings(deadline=None, max_examples=80)
@given(overlaps(st.integers(0, 1_000), distinct=True))
def test_no_overlap_of_a_feed_of_distinct_items_loses_or_repeats_one(case: tuple[list[int], int, int, int]) -> None:
    assert after_handover(*case) == (Outcome.COMPLETE, case[0])


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.filter_too_much])
@given(overlaps(st.integers(0, 5), distinct=False))
def test_where_single_items_look_alike_a_handover_is_right_or_not_sure(case: tuple[list[int], int, int, int]) -> None:
    """As long as no three in a row come twice, and both have seen three that are the same."""
    feed, shut_at, begun_at, come_to = case
    runs = list(zip(feed, feed[1:], feed[2:], strict=False))
    assume(len(set(runs)) == len(runs))
    assume(min(shut_at, come_to) - begun_at >= 3)
    complete, got = after_handover(*case)
    assert got == feed or complete is Outcome.UNSURE


async def test_a_successor_that_is_behind_repeats_nothing(make_stream: MakeStream) -> None:
    stream = await make_stream()
    old, new = Source(stream, Gate.OPEN), Source(stream, Gate.HELD)
    old.publish(1, 2, 3, 4)
    new.publish(1, 2)
    assert await Handover(old, new).run() is Outcome.COMPLETE
    new.publish(3, 4, 5)
    assert delivered(stream) == [1, 2, 3, 4, 5]


async def test_equal_items_in_a_feed_are_not_taken_for_each_other(make_stream: MakeStream) -> None:
    stream = await make_stream()
    old, new = Source(stream, Gate.OPEN), Source(stream, Gate.HELD)
    old.publish(1, 2, 3)
    new.publish(2, 3, 4, 1, 5)  # the second 1 is another item that looks the same
    assert await Handover(old, new).run() is Outcome.COMPLETE
    assert delivered(stream) == [1, 2, 3, 4, 1, 5]


async def test_where_all_items_are_equal_it_is_not_sure(make_stream: MakeStream) -> None:
    stream = await make_stream()
    old, new = Source(stream, Gate.OPEN), Source(stream, Gate.HELD)
    old.publish(*[7] * 40)
    new.publish(*[7] * 40)
    assert await Handover(old, new, patience=0).run() is Outcome.UNSURE
