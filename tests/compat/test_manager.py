"""The manager with real plugins of both kinds against a real exchange: routing, sharing, overflow and failures."""

from __future__ import annotations

import asyncio

import pytest

from compat import (
    Backoff,
    CompatError,
    ConfigurationError,
    EventKind,
    OutageError,
    Overflow,
    StreamData,
    StreamManager,
    StreamRejectedError,
    StreamState,
    SubscriberTooSlowError,
    Subscription,
)
from compat.demo.exchange import Exchange
from tests.support.managers import Gate, by_hand, key, register, rest, several, take
from tests.support.plugins import BOTH_KINDS, COMMAND, GENERIC, LEGACY, PluginFixture
from tests.support.simex import candle_of, candles
from tests.support.waiting import HANG, until

pytestmark = pytest.mark.usefixtures("nothing_left")


async def end_of(subscription: Subscription) -> tuple[list[StreamData], CompatError]:
    """Everything until the subscription fails, and how it does."""
    items: list[StreamData] = []
    try:
        async with asyncio.timeout(HANG):
            async for item in subscription:
                items.append(item)  # noqa: PERF401 - what came before the failure is wanted
    except CompatError as error:
        return items, error
    pytest.fail("the subscription ended without a failure")


async def test_keys_are_routed_by_source_to_plugins_of_both_kinds_at_once(manager: StreamManager) -> None:
    async with several(50) as exchange:
        for source, fixture in {"old": LEGACY, "new": GENERIC}.items():
            plugin = await register(manager, exchange, fixture, source)
            assert (plugin.name, plugin.report.kind) == (source, fixture.kind)
        assert manager.sources == ("old", "new")
        async with (
            manager.subscribe(key("old")) as old,
            manager.subscribe("ohlcv:new:ETH-USDT?timeframe=5m") as new,
        ):
            both = await asyncio.gather(take(old, 50), take(new, 50))
        assert [candle_of(item) for item in both[0]] == candles(exchange, range(50))
        assert [candle_of(item) for item in both[1]] == candles(exchange, range(50), "ETH-USDT", "5m")
        assert [{str(item.key) for item in items} for items in both] == [
            {"ohlcv:old:BTC-USDT?timeframe=1m"},
            {"ohlcv:new:ETH-USDT?timeframe=5m"},
        ]
        assert len(exchange.journal.connections) == 2


@BOTH_KINDS
async def test_two_subscribers_share_one_stream_and_one_connection(
    manager: StreamManager, fixture: PluginFixture
) -> None:
    async with several(20) as exchange:
        await register(manager, exchange, fixture)
        async with manager.subscribe(key()) as one, manager.subscribe(str(key())) as two:
            assert one.stream is two.stream
            first, second = await asyncio.gather(take(one, 20), take(two, 20))
        assert first == second
        assert [item.sequence for item in first] == list(range(20))
        assert len(exchange.journal.connections) == 1


async def test_one_who_subscribes_later_gets_what_comes_from_then_on(manager: StreamManager) -> None:
    async with by_hand() as exchange:
        await register(manager, exchange, GENERIC)
        async with manager.subscribe(key()) as early:
            await take(early, 1)
            exchange.flood(4)
            await take(early, 4)
            async with manager.subscribe(key()) as late:
                exchange.flood(1)
                assert await take(late, 1) == await take(early, 1)
                assert (early.stats.delivered, late.stats.delivered) == (6, 1)
        assert len(exchange.journal.connections) == 1


async def test_the_order_of_parameters_makes_no_other_stream_but_a_connection_id_does(manager: StreamManager) -> None:
    async with several(1) as exchange:
        await register(manager, exchange, LEGACY)
        async with (
            manager.subscribe("ohlcv:simex:BTC-USDT?timeframe=1m&note=x") as one,
            manager.subscribe("ohlcv:simex:BTC-USDT?note=x&timeframe=1m") as two,
            manager.subscribe("ohlcv:simex:BTC-USDT?note=x&timeframe=1m#7") as three,
        ):
            assert one.stream is two.stream
            assert one.stream is not three.stream
            await asyncio.gather(take(one, 1), take(three, 1))
            assert exchange.connections == 2


@BOTH_KINDS
async def test_the_last_one_to_leave_closes_the_connection(manager: StreamManager, fixture: PluginFixture) -> None:
    async with several(10) as exchange:
        await register(manager, exchange, fixture)
        async with manager.subscribe(key()) as last:
            async with manager.subscribe(key()) as first:
                await take(first, 2)
            await take(last, 10)
            assert exchange.connections == 1
        assert last.stream.state is StreamState.STOPPED
        await exchange.wait_for_disconnect(HANG)


async def test_a_stream_that_was_closed_is_opened_anew_for_the_next_subscriber(manager: StreamManager) -> None:
    async with several(3) as exchange:
        await register(manager, exchange, LEGACY)
        for _ in range(2):
            async with manager.subscribe(key()) as subscription:
                assert [item.sequence for item in await take(subscription, 3)] == [0, 1, 2]
            assert await rest(subscription) == []
        assert len(exchange.journal.connections) == 2


async def test_one_who_is_too_slow_is_ended_after_what_fitted_and_nobody_else_is_disturbed(
    manager: StreamManager,
) -> None:
    async with several(50) as exchange:
        await register(manager, exchange, GENERIC)
        async with manager.subscribe(key(), buffer=5) as slow, manager.subscribe(key()) as quick:
            assert [item.sequence for item in await take(quick, 50)] == list(range(50))
            items, error = await end_of(slow)
            assert [item.sequence for item in items] == [0, 1, 2, 3, 4]
            assert isinstance(error, SubscriberTooSlowError)
            assert (error.stream, error.buffer) == (str(key()), 5)
            assert quick.stream.state is StreamState.STREAMING
            assert exchange.connections == 1


@BOTH_KINDS
@pytest.mark.parametrize("overflow", ["drop-oldest", "conflate"])
async def test_one_who_drops_what_it_is_too_slow_for_gets_the_latest_and_is_told_what_is_missing(
    manager: StreamManager, fixture: PluginFixture, overflow: str
) -> None:
    async with several(50) as exchange:
        await register(manager, exchange, fixture)
        async with manager.subscribe(key(), buffer=5, overflow=overflow) as slow, manager.subscribe(key()) as quick:
            assert [item.sequence for item in await take(quick, 50)] == list(range(50))
            waiting = [45, 46, 47, 48, 49] if overflow == "drop-oldest" else [49]  # of one key
            items = await take(slow, len(waiting))
            assert [candle_of(item) for item in items] == candles(exchange, waiting)
            assert [item.sequence for item in items] == waiting
            async with asyncio.timeout(HANG):
                gap = await anext(event async for event in slow.events() if event.kind is EventKind.GAP)
            assert (gap.sequence, gap.lost) == (waiting[0], waiting[0])
            stream = manager.status().plugins[0].streams[0]
            stats = {subscription.capacity: subscription for subscription in stream.subscriptions}[5]
            assert (stats.overflow, stats.dropped) == (Overflow(overflow), waiting[0])
            assert stats.conflated == (49 if overflow == "conflate" else 0)
            assert stream.stats.gaps == 0
        events = [event async for event in slow.events()]
        assert [event.message for event in events if event.kind is EventKind.STATE] == [
            "starting",
            "streaming",
            "closed",
        ]
        assert [event.sequence for event in events] == [0, 0, waiting[0], 50]


@BOTH_KINDS
async def test_one_who_blocks_makes_the_others_and_the_exchange_wait_and_nobody_loses_anything(
    manager: StreamManager, fixture: PluginFixture
) -> None:
    count = 200
    async with several(count) as exchange:
        await register(manager, exchange, fixture, buffer=16)
        async with (
            manager.subscribe(key(), buffer=5, overflow="block") as slow,
            manager.subscribe(key(), buffer=3, overflow=Overflow.BLOCK) as slower,
            manager.subscribe(key(), buffer=count) as quick,
        ):
            assert [item.sequence for item in await take(quick, 4)] == [0, 1, 2, 3]
            await until(lambda: quick.stream.stats.buffered == 16, "the stream's own buffer is full")
            assert (quick.stats.buffered, slow.stats.buffered, slower.stats.buffered) == (0, 4, 3)
            every = await asyncio.gather(take(slow, count), take(slower, count), take(quick, count - 4))
        assert [[item.sequence for item in items][-1] for items in every] == [count - 1] * 3
        assert every[0] == every[1]
        assert every[0][4:] == every[2]
        assert [item.sequence for item in every[0]] == list(range(count))


@BOTH_KINDS
@pytest.mark.parametrize("end", ["leave", "unregister", "close"])
async def test_one_who_blocks_lets_go_without_taking_what_waits(
    manager: StreamManager, fixture: PluginFixture, end: str
) -> None:
    async with several(200) as exchange:
        await register(manager, exchange, fixture)
        async with (
            manager.subscribe(key(), buffer=1, overflow="block") as one,
            manager.subscribe(key(), buffer=2, overflow="block") as two,
            manager.subscribe(key()) as quick,
        ):
            await take(quick, 2)
            await until(lambda: two.stats.buffered == 2, "both are full")
            await until(lambda: quick.stream.stats.received == 200, "nothing is left to be read")
            async with asyncio.timeout(HANG):
                if end == "leave":
                    await one.unsubscribe()
                    assert [item.sequence for item in await take(two, 2)] == [0, 1]
                    await two.unsubscribe()
                    assert len(await take(quick, 198)) == 198
                    return
                await (manager.aclose() if end == "close" else manager.unregister("simex"))
                assert [item.sequence for item in await rest(one)] == [0]
                await rest(two)
                await rest(quick)
        await exchange.wait_for_disconnect(HANG)


@BOTH_KINDS
async def test_when_the_only_subscriber_is_too_slow_the_stream_ends_and_the_next_one_gets_another(
    manager: StreamManager, fixture: PluginFixture
) -> None:
    gate = Gate()
    async with several(3) as exchange:
        await register(manager, exchange, fixture, connector=gate)
        async with manager.subscribe(key(), buffer=1) as slow:
            await until(lambda: slow.stream.stats.delivered >= 2, "it has overflowed")
            (first,), error = await end_of(slow)
            assert first.sequence == 0
            assert isinstance(error, SubscriberTooSlowError)
            async with manager.subscribe(key()) as following:
                assert following.stream is not slow.stream
                assert [item.sequence for item in await take(following, 3)] == [0, 1, 2]
                assert exchange.connections == 2  # the first stream is still being closed
                gate.opens.set()
                await until(lambda: exchange.connections == 1, "the first stream is closed")
                assert following.stream.state is StreamState.STREAMING
        await until(lambda: slow.stream.state is StreamState.STOPPED, "the first stream ends")


@BOTH_KINDS
async def test_a_rejected_stream_fails_at_every_subscription(manager: StreamManager, fixture: PluginFixture) -> None:
    async with Exchange() as exchange:
        await register(manager, exchange, fixture)
        unknown = key(symbol="NOPE-USDT")
        async with manager.subscribe(unknown) as one, manager.subscribe(unknown) as two:
            for items, error in await asyncio.gather(end_of(one), end_of(two)):
                assert items == []
                assert isinstance(error, StreamRejectedError)
                assert error.stream == str(unknown)
        async with manager.subscribe(key()) as another:
            await take(another, 1)


@BOTH_KINDS
async def test_a_stream_that_breaks_fails_at_every_subscription_after_its_items(
    manager: StreamManager, fixture: PluginFixture
) -> None:
    async with several(5) as exchange:
        await register(manager, exchange, fixture, backoff=Backoff(patience=0))
        async with manager.subscribe(key()) as one, manager.subscribe(key()) as two:
            await until(lambda: one.stream.stats.delivered == 5, "all candles arrive")
            await exchange.drop_all()
            for items, error in await asyncio.gather(end_of(one), end_of(two)):
                assert [candle_of(item) for item in items] == candles(exchange, range(5))
                assert isinstance(error, OutageError)
            with pytest.raises(OutageError):
                await anext(one)


async def test_a_stream_that_the_plugin_ends_ends_every_subscription(manager: StreamManager) -> None:
    async with several(3) as exchange:
        await register(manager, exchange, COMMAND)
        async with manager.subscribe(key()) as one, manager.subscribe(key()) as two:
            await until(lambda: one.stream.stats.delivered == 3, "all candles arrive")
            await exchange.broadcast('{"event":"goodbye"}')
            first, second = await asyncio.gather(rest(one), rest(two))
        assert first == second
        assert [item.sequence for item in first] == [0, 1, 2]


async def test_a_refused_configuration_surfaces_at_the_subscription(manager: StreamManager) -> None:
    async with Exchange() as exchange:
        await register(manager, exchange, GENERIC, config={"api_key": "invalid"})
        async with manager.subscribe(key()) as subscription:
            items, error = await end_of(subscription)
        assert (items, type(error)) == ([], ConfigurationError)
        assert not exchange.journal.connections


async def test_a_configuration_reaches_the_plugin(manager: StreamManager) -> None:
    async with Exchange() as exchange:
        await register(manager, exchange, LEGACY, config={"api_key": "correct-horse"})
        async with manager.subscribe(key()) as subscription:
            await take(subscription, 1)
        assert ("X-Api-Key", "correct-horse") in exchange.journal.connections[0].headers
