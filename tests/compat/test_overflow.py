"""The laws of every overflow policy: what is delivered, what is lost, and that each lost number is told in its place.

A model says what a policy is to deliver; the subscription is a real one on a real stream, without a plugin.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compat import EventKind, Overflow, StreamData, StreamEvent, StreamKey, StreamManager, StreamUsageError
from compat.subscription import Subscription
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import Sequence

from tests.support.overflowing import KEYS, holes, offer, settle, so_far, subscribed, told

DROPPING = (Overflow.DROP_OLDEST, Overflow.CONFLATE)
LOSSLESS = (Overflow.ERROR, Overflow.BLOCK)

# The stream gets an item of a key and type, and its manager hands on what there is; one of these alone; the subscriber
# takes an item, or a list; the stream tells something; everybody comes to know what was told.
STEPS = st.lists(
    st.tuples(
        st.sampled_from([*["arrive"] * 5, "offer", "offer", "pass", *["take"] * 2, "batch", "tell", "settle"]),
        st.sampled_from(KEYS),
        st.sampled_from(["ticker", "trade"]),
    ),
    min_size=20,
    max_size=80,
)


async def rest(subscription: Subscription) -> list[int]:
    async with asyncio.timeout(HANG):
        return [item.sequence async for item in subscription]


@attrs.define
class Model:
    """What waits, and what a policy does to it when another comes."""

    overflow: Overflow
    buffer: int
    waiting: list[StreamData] = attrs.field(factory=list)
    dropped: int = 0
    conflated: int = 0

    def put(self, *items: StreamData) -> None:
        for item in items:
            if self.overflow is Overflow.CONFLATE:
                for other in self.waiting:
                    if (other.key, other.data_type) == (item.key, item.data_type):
                        self.waiting.remove(other)
                        self.conflated += 1
                        break
            if len(self.waiting) == self.buffer:
                del self.waiting[0]
                self.dropped += 1
            self.waiting.append(item)


def other_than_gaps(events: Sequence[StreamEvent]) -> list[StreamEvent]:
    return [event for event in events if event.kind is not EventKind.GAP]


async def batch_of(subscription: Subscription, model: Model) -> list[int]:
    """Take a batch: what the model has waiting, and without a hole if the subscription does not conflate."""
    numbers = [item.sequence for item in await anext(subscription.batches(3))]
    assert numbers == [item.sequence for item in model.waiting[:3]]
    assert model.overflow is Overflow.CONFLATE or numbers[-1] - numbers[0] == len(numbers) - 1
    del model.waiting[:3]
    return numbers


@pytest.mark.parametrize("overflow", DROPPING)
@given(steps=STEPS, buffer=st.integers(1, 5), before=st.integers(0, 3), drains=st.booleans())
@settings(max_examples=60)
def test_what_is_delivered_and_what_is_told_as_lost_is_what_was_received(
    overflow: Overflow, steps: Sequence[tuple[str, StreamKey, str]], buffer: int, before: int, drains: bool
) -> None:
    async def scenario() -> None:
        model = Model(overflow, buffer)
        delivered: list[int] = []
        async with subscribed(overflow, buffer, before) as (stream, subscription):
            for what, key, data_type in steps:
                if what in ("arrive", "offer"):
                    await offer(stream, key, data_type)
                if what in ("arrive", "pass") and stream.stats.buffered:
                    passed = await anext(stream.batches(8 if what == "pass" else 1))
                    assert subscription.put_all(passed) == len(passed)
                    model.put(*passed)
                if what == "take" and model.waiting:
                    delivered.append((await anext(subscription)).sequence)
                    assert delivered[-1] == model.waiting.pop(0).sequence
                if what == "batch" and model.waiting:
                    delivered += await batch_of(subscription, model)
                if what == "tell":
                    stream._channel.tell(EventKind.RECONNECT, "again")
                if what == "settle":
                    await settle()
                    place = delivered[-1] + 1 if delivered else before
                    events = so_far(subscription)
                    assert set(range(before, place)) == {*delivered, *holes(events)}
                    assert other_than_gaps(events) == [e for e in stream._channel.events if e.sequence <= place]
                    stats = subscription.stats
                    assert (stats.dropped, stats.conflated) == (model.dropped + model.conflated, model.conflated)
                    assert stats.delivered + stats.dropped + stats.buffered == stream.stats.delivered - before
            end = stream.stats.delivered
            if drains:
                delivered += [(await anext(subscription)).sequence for _ in range(len(model.waiting))]
            subscription.end(None)
            delivered += await rest(subscription)
            await settle()
            events = await told(subscription)
            assert sorted({*delivered, *holes(events)}) == list(range(before, end))
            assert len(delivered) + len(holes(events)) == end - before
            assert delivered == sorted(delivered)
            assert [e.sequence for e in events] == sorted(e.sequence for e in events)
            assert other_than_gaps(events) == list(stream._channel.events)
            assert {e.sequence for e in events if e.kind is EventKind.GAP} <= set(delivered)

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(20))
async def test_blocking_subscribers_get_everything_whatever_their_pace_and_those_who_leave_hold_nobody_up(
    seed: int,
) -> None:
    rng = random.Random(seed)
    count = 150
    async with contextlib.AsyncExitStack() as stack:
        stream, first = await stack.enter_async_context(subscribed("block", rng.randint(1, 3)))
        members: set[Subscription] = set()

        async def depart(subscription: Subscription) -> None:
            members.discard(subscription)

        others = [Subscription(KEYS[0], rng.randint(1, 3), "block", first._join, depart) for _ in range(4)]
        for other in others:
            await other.__aenter__()
        members.update((first, *others))

        async def follow(subscription: Subscription, stay: float) -> list[int]:
            got: list[int] = []
            while len(got) < min(count, stay):
                got.append((await anext(subscription)).sequence)
                for _ in range(rng.randint(0, 4)):
                    await asyncio.sleep(0)
            if stay < count:
                for _ in range(rng.randint(0, 30)):  # long enough to hold everybody up
                    await asyncio.sleep(0)
                await subscription.unsubscribe()
            return got

        stays = [math.inf, math.inf, *(rng.randint(1, 100) for _ in range(3))]
        distributing = asyncio.create_task(StreamManager._distribute(stream, members))
        following = [
            asyncio.create_task(follow(member, stay)) for member, stay in zip([first, *others], stays, strict=True)
        ]
        async with asyncio.timeout(HANG):
            for _ in range(count):
                await offer(stream)
            results = await asyncio.gather(*following)
        assert results == [list(range(int(min(stay, count)))) for stay in stays]
        assert members == {first, others[0]}
        distributing.cancel()


@pytest.mark.parametrize("overflow", LOSSLESS)
async def test_where_nothing_is_dropped_the_events_are_those_of_the_stream_in_their_places(overflow: Overflow) -> None:
    async with subscribed(overflow, 2) as (stream, subscription):
        for number in range(4):
            await offer(stream)
            stream._channel.tell(EventKind.GAP, str(number), lost=None)
        for taken in range(4):
            assert subscription.put_all([await anext(stream)])
            assert [event.message for event in so_far(subscription)[2:]] == [str(number) for number in range(taken)]
            await anext(subscription)
            await settle()
    assert await told(subscription) == list(stream._channel.events)
    assert (await told(subscription))[-1].message == "closed"


async def test_a_full_blocking_subscription_takes_an_item_in_its_turn_and_none_once_it_has_ended() -> None:
    async with subscribed("block", 1) as (stream, subscription):
        for _ in range(4):
            await offer(stream)
        items = [await anext(stream) for _ in range(4)]
        assert subscription.put_all([items[0]])
        assert not subscription.put_all([items[1]])
        waiting = asyncio.create_task(subscription.put_in_turn([items[1]]))
        await settle()
        assert not waiting.done()
        assert (await anext(subscription)).sequence == 0
        async with asyncio.timeout(HANG):
            assert await waiting
        assert not subscription.put_all([items[2]])
        assert (await anext(subscription)).sequence == 1
        assert subscription.put_all([items[2]])  # before the loop hears that there is room
        assert not subscription.put_all([items[3]])
        waiting = asyncio.create_task(subscription.put_in_turn([items[3]]))
        await settle()
        assert not waiting.done()
        await subscription.unsubscribe()
        async with asyncio.timeout(HANG):
            assert not await waiting


@pytest.mark.parametrize("overflow", ["", "Error", "newest", None])
def test_an_unknown_policy_is_refused_with_those_that_there_are(overflow: str) -> None:
    with pytest.raises(StreamUsageError, match=r"no overflow policy.*error, block, drop-oldest, conflate"):
        Subscription(KEYS[0], 1, overflow, NotImplemented, NotImplemented)
