"""What a subscription tells of items that it has let go: one gap in each place, and how many are kept."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

from adapters.event_rate import BURST
from compat import EventKind, StreamEvent, StreamUsageError
from compat.subscription import Subscription
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import Iterable

from tests.support.overflowing import KEYS, holes, offer, settle, so_far, subscribed, told


async def test_one_who_takes_items_on_a_thread_makes_room_and_hears_of_gaps() -> None:
    async with subscribed("block", 1) as (stream, subscription):
        got: list[int] = []
        thread = threading.Thread(target=lambda: got.extend(received(subscription, 200)))
        thread.start()
        for _ in range(200):
            await offer(stream)
            item = await anext(stream)
            async with asyncio.timeout(HANG):
                assert subscription.put_all([item]) or await subscription.put_in_turn([item])
        await asyncio.to_thread(thread.join, HANG)
        assert got == list(range(200))
    async with subscribed("drop-oldest", 3) as (stream, subscription):
        thread = threading.Thread(target=lambda: got.extend(received(subscription, 3)))
        got.clear()
        for _ in range(10):
            await offer(stream)
            subscription.put_all([await anext(stream)])
        thread.start()
        async with asyncio.timeout(HANG):
            gap = await first_gap(subscription)
        assert (gap.sequence, gap.lost) == (7, 7)
        await asyncio.to_thread(thread.join, HANG)
        assert got == [7, 8, 9]


def received(subscription: Subscription, count: int) -> Iterable[int]:
    for _ in range(count):
        item = subscription.receive(HANG)
        assert item is not None
        yield item.sequence


async def first_gap(subscription: Subscription) -> StreamEvent:
    return await anext(event async for event in subscription.events() if event.kind is EventKind.GAP)


async def test_a_gap_says_what_became_of_the_items() -> None:
    async with subscribed("conflate", 2) as (stream, subscription):
        for key in (KEYS[0], KEYS[0], KEYS[1], KEYS[2], KEYS[0], KEYS[0]):
            await offer(stream, key)
            subscription.put_all([await anext(stream)])
        began = time.time_ns()
        assert [(await anext(subscription)).sequence for _ in range(2)] == [3, 5]
        await settle()
        gaps = [event for event in so_far(subscription) if event.kind is EventKind.GAP]
        conflated = "1 item conflated, as a newer one of the same key followed"
        assert [(gap.sequence, gap.lost, gap.message) for gap in gaps] == [
            (3, 3, f"2 items dropped, as the subscriber fell behind by more than 2; {conflated}"),
            (5, 1, conflated),
        ]
        assert all(began <= gap.timestamp <= time.time_ns() for gap in gaps)


async def test_however_many_are_dropped_there_is_one_gap_before_each_item_that_is_taken() -> None:
    async with subscribed("drop-oldest", 10) as (stream, subscription):
        for _ in range(3):
            for _ in range(1_000):
                await offer(stream)
                subscription.put_all([await anext(stream)])
            await anext(subscription)
        await settle()
        assert [e.lost for e in so_far(subscription) if e.kind is EventKind.GAP] == [990, 999, 999]
        assert subscription.stats.dropped == 2_988


async def test_the_latest_thousand_gaps_are_kept() -> None:
    async with subscribed("drop-oldest", 1) as (stream, subscription):
        for _ in range(1_100):
            for _ in range(2):
                await offer(stream)
                subscription.put_all([await anext(stream)])
            await anext(subscription)
        await settle()
        assert len(so_far(subscription)) == 1_000
        assert subscription.stats.dropped == 1_100


async def test_what_is_given_up_by_leaving_is_not_told_as_lost() -> None:
    async with subscribed("drop-oldest", 2) as (stream, subscription):
        for _ in range(5):
            await offer(stream)
            subscription.put_all([await anext(stream)])
    assert holes(await told(subscription)) == []
    assert subscription.stats.dropped == 3
    assert stream._channel.events._followers == []


async def test_what_the_stream_is_about_to_tell_as_one_is_heard_by_one_who_leaves_before() -> None:
    async with subscribed("drop-oldest", 2) as (stream, subscription):
        for _ in range(BURST + 6):
            stream._channel.tell(EventKind.GAP, "lost", lost=1)
            await offer(stream)
            subscription.put_all([await anext(stream)])
        await anext(subscription)  # a gap of its own stands before it
        subscription._account.finish()  # the stream goes on
        gaps = [event for event in await told(subscription) if event.kind is EventKind.GAP]
        of_the_stream = [gap for gap in gaps if "dropped" not in gap.message]
        assert sum(gap.count for gap in of_the_stream) == sum(gap.lost or 0 for gap in of_the_stream) == BURST + 6
        assert {place for gap in of_the_stream for place in gap.places} == set(range(BURST + 6))
        assert [gap.lost for gap in gaps if gap not in of_the_stream] == [BURST + 4]


async def test_events_are_to_be_had_of_a_subscription_that_has_begun() -> None:
    async with subscribed("error", 1) as (_, subscription):
        other = Subscription(KEYS[0], 1, "error", subscription._join, subscription._leave)
        with pytest.raises(StreamUsageError, match="has not begun"):
            other.events()
        await other.unsubscribe()
