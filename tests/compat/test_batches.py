"""Batches of subscriptions: what each policy gives, what is told of holes, and how far the manager hands on at once."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from compat import (
    EventKind,
    Overflow,
    StreamData,
    StreamKey,
    StreamManager,
    StreamUsageError,
    SubscriberTooSlowError,
    blocking,
)
from compat.demo.exchange import Exchange
from compat.subscription import Subscription
from tests.support.managers import key, register, several
from tests.support.overflowing import KEYS, holes, offer, settle, so_far, subscribed, told
from tests.support.plugins import BOTH_KINDS, PluginFixture, candle_key
from tests.support.simex import candle_of, candles
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from adapters.stream import AdapterStream


async def pass_on(stream: AdapterStream, *subscriptions: Subscription) -> None:
    """What the stream has is handed to subscriptions in one batch."""
    items = await anext(stream.batches())
    for subscription in subscriptions:
        subscription.put_all(items)


def numbers(items: list[StreamData]) -> list[int]:
    return [item.sequence for item in items]


async def collect(subscription: Subscription, count: int, limit: int = 1_000) -> list[int]:
    got: list[int] = []
    async with asyncio.timeout(HANG):
        while len(got) < count:
            got += numbers(await anext(subscription.batches(limit)))
    return got


@contextlib.asynccontextmanager
async def distributed(
    overflow: Overflow | str, buffer: int
) -> AsyncIterator[tuple[AdapterStream, Subscription, set[Subscription]]]:
    """A stream that is handed on to a subscription, and to those who are added to the set."""
    async with subscribed(overflow, buffer) as (stream, subscription):
        members = {subscription}
        handing = asyncio.create_task(StreamManager._distribute(stream, members))
        yield stream, subscription, members
        handing.cancel()


@contextlib.asynccontextmanager
async def joined(first: Subscription, overflow: Overflow | str, buffer: int) -> AsyncIterator[Subscription]:
    """Another subscription to the stream of one."""

    async def leave(_: Subscription) -> None: ...

    async with Subscription(KEYS[0], buffer, overflow, first._join, leave) as other:
        yield other


async def test_what_was_put_in_at_once_is_taken_at_once() -> None:
    async with subscribed("error", 64) as (stream, subscription):
        for _ in range(50):
            await offer(stream)
        await pass_on(stream, subscription)
        taken = await anext(subscription.batches())
        assert numbers(taken) == list(range(50))
        assert (subscription.stats.delivered, subscription.stats.buffered, subscription.stats.lag) == (50, 0, 0)
        subscription.end(None)
        assert [batch async for batch in subscription.batches()] == []


async def test_one_more_than_fits_ends_it_after_what_fitted() -> None:
    async with subscribed("error", 4) as (stream, subscription):
        for _ in range(9):
            await offer(stream)
        assert subscription.put_all(await anext(stream.batches())) == 4
        assert subscription.put_all([]) == 0
        assert numbers(await anext(subscription.batches())) == [0, 1, 2, 3]
        with pytest.raises(SubscriberTooSlowError):
            await anext(subscription.batches())


async def test_a_gap_is_told_before_the_batch_that_follows_it_is_over() -> None:
    async with subscribed("drop-oldest", 3) as (stream, subscription):
        got = []
        for _ in range(2):
            for _ in range(8):
                await offer(stream)
            await pass_on(stream, subscription)
            got.append(numbers(await anext(subscription.batches())))
            await settle()
        assert got == [[5, 6, 7], [13, 14, 15]]
        gaps = [(event.sequence, event.lost) for event in so_far(subscription) if event.kind is EventKind.GAP]
        assert gaps == [(5, 5), (13, 5)]
        assert subscription.stats.dropped == 10


async def test_very_many_holes_in_a_batch_are_told_as_one_from_the_hundredth_on() -> None:
    async with subscribed("conflate", 500) as (stream, subscription):
        for number in range(250):
            for _ in range(2):
                await offer(stream, StreamKey("ticker", "simex", str(number)))
        await pass_on(stream, subscription)
        stream._channel.tell(EventKind.RECONNECT, "in the end")
        assert numbers(await anext(subscription.batches())) == list(range(1, 500, 2))
        await settle()
        events = so_far(subscription)
        gaps = [event for event in events if event.kind is EventKind.GAP]
        assert [(gap.sequence, gap.lost, gap.count, gap.until) for gap in gaps[:100]] == [
            (number, 1, 1, None) for number in range(1, 201, 2)
        ]
        (rest,) = gaps[100:]
        assert (rest.sequence, rest.until, rest.lost, rest.count) == (201, 499, 150, 150)
        assert rest.message == "150 items conflated, as a newer one of the same key followed"
        assert events[-1].kind is EventKind.RECONNECT
        assert subscription.stats.conflated == 250


async def test_events_of_the_stream_within_a_batch_are_told_in_their_order_once_it_is_taken() -> None:
    async with subscribed("conflate", 10) as (stream, subscription):
        for each in (KEYS[0], KEYS[0], KEYS[1], KEYS[1]):
            await offer(stream, each)
            stream._channel.tell(EventKind.RECONNECT, "again")
        await pass_on(stream, subscription)
        before = [event for event in so_far(subscription) if event.kind is EventKind.RECONNECT]
        assert numbers(await anext(subscription.batches())) == [1, 3]
        await settle()
        later = so_far(subscription)[-6:]
        assert before == []
        assert [(event.kind.value, event.sequence) for event in later] == [
            ("reconnect", 1),
            ("gap", 1),
            ("reconnect", 2),
            ("reconnect", 3),
            ("gap", 3),
            ("reconnect", 4),
        ]


async def test_no_more_is_taken_from_a_stream_than_those_have_room_for_who_make_it_wait() -> None:
    async with distributed("block", 2) as (stream, slow, members), joined(slow, "error", 4) as quick:
        members.add(quick)
        for _ in range(20):
            await offer(stream)
        await until(lambda: quick.stats.buffered == 3, "as many as there is room for, and the one that waits")
        await settle()
        assert (stream.stats.delivered, slow.stats.buffered, quick.stats.buffered) == (3, 2, 3)
        got: list[int] = []
        for number in range(20):
            assert await collect(slow, 1, limit=1) == [number]
            if len(got) < 20:
                got += await collect(quick, 1)  # one that does not take them would be ended by the fifth
        assert got == list(range(20))


async def test_one_who_joins_while_another_makes_all_wait_gets_what_comes_from_then_on() -> None:
    async with distributed("block", 2) as (stream, slow, members):
        for _ in range(9):
            await offer(stream)
        await until(lambda: stream.stats.delivered == 3, "it waits for the third to fit")
        async with joined(slow, "error", 10) as late:
            members.add(late)
            assert await collect(slow, 9, limit=1) == list(range(9))
            assert await collect(late, 6) == list(range(3, 9))
        assert holes(await told(late)) == []


async def test_one_who_joins_with_less_room_than_others_gets_the_rest_in_its_turn() -> None:
    async with distributed("block", 9) as (stream, large, members):
        await settle()  # the manager waits for as many as that one has room for
        async with joined(large, "block", 2) as small:
            members.add(small)
            for _ in range(9):
                await offer(stream)
            await until(lambda: large.stats.buffered == 9, "they are handed on")
            assert small.stats.buffered == 2
            assert await collect(small, 9, limit=1) == list(range(9))
        assert await collect(large, 9) == list(range(9))


async def test_one_who_has_not_begun_has_no_batches() -> None:
    async with subscribed("error", 1) as (_, subscription):
        other = Subscription(KEYS[0], 1, "error", subscription._join, subscription._leave)
        for ask in (other.batches, other.receive_batch):
            with pytest.raises(StreamUsageError, match="has not begun"):
                ask()
        for ask in (subscription.batches, subscription.receive_batch):
            with pytest.raises(StreamUsageError, match=f"limit must be .* Correct {ask.__name__}"):
                ask(0)


@BOTH_KINDS
async def test_a_manager_hands_batches_to_all_who_subscribe(manager: StreamManager, fixture: PluginFixture) -> None:
    async with several(300) as exchange:
        await register(manager, exchange, fixture)
        async with (
            manager.subscribe(key()) as one,
            manager.subscribe(key(), buffer=5, overflow="block") as two,
            manager.subscribe(key(), buffer=5, overflow="drop-oldest") as three,
        ):
            first, second = await asyncio.gather(collect(one, 300), collect(two, 300, limit=3))
            assert first == second == list(range(300))
            assert await collect(three, 5) == list(range(295, 300))
        assert holes(await told(three)) == list(range(295))
        assert one.stats.delivered == two.stats.delivered == 300


@BOTH_KINDS
def test_scripts_take_batches_of_streams_and_subscriptions(fixture: PluginFixture) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=100)
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(exchange),
        blocking.StreamManager() as manager,
    ):
        manager.register("simex", fixture.path, rewrite=exchange.rewrites, allow_private=True)
        with manager.subscribe(candle_key()) as subscription:
            items = [next(subscription), *subscription.get_batch(7, timeout=HANG)]
            batches = subscription.batches(30)
            while len(items) < 100:
                found = next(batches)
                assert 1 <= len(found) <= 30
                items += found
            with pytest.raises(TimeoutError):
                subscription.get_batch(timeout=0)
            for ask in (subscription.batches, subscription.get_batch):
                with pytest.raises(StreamUsageError, match=f"limit must be .* Correct {ask.__name__}"):
                    ask(0)
            subscription.unsubscribe()
            assert list(batches) == []
            assert subscription.get_batch() == []
        assert [candle_of(item) for item in items] == candles(exchange, range(100))
