"""The manager with real plugins of both kinds against a real exchange: routing, sharing, ending, and misuse."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from compat import (
    AdapterSettings,
    Backoff,
    CompatError,
    ConfigurationError,
    DetectionError,
    EventKind,
    KeyFormatError,
    OutageError,
    Overflow,
    PluginKind,
    SourceTakenError,
    StreamData,
    StreamKey,
    StreamManager,
    StreamRejectedError,
    StreamState,
    StreamUsageError,
    SubscriberTooSlowError,
    Subscription,
    UnknownSourceError,
    UsageError,
    WebSocketConnector,
)
from compat.demo.exchange import Exchange
from tests.support.plugins import FIXTURES, MISBUILT, PluginFixture
from tests.support.simex import QUICK, candle_of, candles
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from compat import Connector, Plugin, Socket

pytestmark = pytest.mark.usefixtures("nothing_left")

PLUGINS = {fixture.id: fixture for fixture in FIXTURES}
LEGACY, GENERIC, COMMAND = (PLUGINS[name] for name in ("legacy-callback", "generic-blocking", "legacy-command"))
BOTH_KINDS = pytest.mark.parametrize("fixture", [LEGACY, GENERIC], ids=["legacy", "generic"])


@pytest.fixture
async def manager() -> AsyncIterator[StreamManager]:
    async with StreamManager() as manager:
        yield manager


async def register(
    manager: StreamManager,
    exchange: Exchange,
    fixture: PluginFixture,
    source: str = "simex",
    *,
    backoff: Backoff = QUICK,
    buffer: int = 4_096,
    connector: Connector | None = None,
    **options: Any,
) -> Plugin:
    return await manager.register(
        source,
        fixture.path,
        rewrite=exchange.rewrites,
        allow_private=True,
        settings=AdapterSettings(backoff=backoff, buffer=buffer, connector=connector or WebSocketConnector()),
        **options,
    )


def several(count: int) -> Exchange:
    """An exchange that sends so many candles over each connection, at once, and is silent then."""
    return Exchange(mode="replay", rate=math.inf, limit=count)


def by_hand() -> Exchange:
    """An exchange that sends one candle over each connection, and others when it is flooded."""
    return Exchange(mode="replay", rate=1e-6)


@attrs.define
class Gate:
    """A connector whose sockets are closed no sooner than they may be."""

    opens: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        return GatedSocket(self, await WebSocketConnector().connect(url, headers=headers, subprotocol=subprotocol))


class GatedSocket:
    def __init__(self, gate: Gate, socket: Socket) -> None:
        self.gate, self.socket = gate, socket
        self.receive, self.send = socket.receive, socket.send

    async def close(self) -> None:
        await self.gate.opens.wait()
        await self.socket.close()


def key(source: str = "simex", symbol: str = "BTC-USDT") -> StreamKey:
    return StreamKey("ohlcv", source, symbol, {"timeframe": "1m"})


async def take(subscription: Subscription, count: int) -> list[StreamData]:
    items: list[StreamData] = []
    async with asyncio.timeout(HANG):
        while len(items) < count:
            items.append(await anext(subscription))
    return items


async def rest(subscription: Subscription) -> list[StreamData]:
    """Everything until the subscription ends normally."""
    async with asyncio.timeout(HANG):
        return [item async for item in subscription]


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
            await until(lambda: slow.stream.stats.delivered == 2, "it has overflowed")
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


@BOTH_KINDS
async def test_unregistering_ends_the_streams_of_that_source_only(
    manager: StreamManager, fixture: PluginFixture
) -> None:
    async with by_hand() as exchange:
        await register(manager, exchange, fixture, "going")
        await register(manager, exchange, LEGACY, "staying")
        async with manager.subscribe(key("going")) as going, manager.subscribe(key("staying")) as staying:
            await asyncio.gather(take(going, 1), take(staying, 1))
            await manager.unregister("going")
            await rest(going)
            assert going.stream.state is StreamState.STOPPED
            await until(lambda: exchange.connections == 1, "its connection is closed")
            exchange.flood(3)
            assert [item.sequence for item in await take(staying, 3)] == [1, 2, 3]
        assert manager.sources == ("staying",)
        with pytest.raises(UnknownSourceError):
            manager.subscribe(key("going"))


@BOTH_KINDS
async def test_a_source_that_is_registered_anew_while_it_closes_serves_the_next_subscriber(
    manager: StreamManager, fixture: PluginFixture
) -> None:
    gate = Gate()
    async with several(4) as exchange:
        await register(manager, exchange, fixture, connector=gate)
        async with manager.subscribe(key()) as before:
            await take(before, 1)
            unregistering = asyncio.create_task(manager.unregister("simex"))
            await asyncio.sleep(0)
            assert manager.sources == ()
            await register(manager, exchange, fixture)
            async with manager.subscribe(key()) as after:
                assert (await take(after, 1))[0].sequence == 0
                assert not unregistering.done()
                gate.opens.set()
                await unregistering
                await take(after, 3)
            await rest(before)


async def test_closing_the_manager_ends_subscriptions_and_connections() -> None:
    async with several(1) as exchange:
        manager = StreamManager()
        await register(manager, exchange, LEGACY, "old")
        await register(manager, exchange, GENERIC, "new")
        async with manager.subscribe(key("old")) as old, manager.subscribe(key("new")) as new:
            await asyncio.gather(take(old, 1), take(new, 1))
            waiting = asyncio.gather(rest(old), rest(new))
            await manager.aclose()
            await waiting
            assert manager.sources == ()
            assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("pump of")]
            await exchange.wait_for_disconnect(HANG)
            await manager.aclose()


async def test_a_closed_manager_refuses_everything_else(manager: StreamManager) -> None:
    async with Exchange() as exchange:
        await register(manager, exchange, LEGACY)
        begun_too_late = manager.subscribe(key())
        await manager.aclose()
        with pytest.raises(StreamUsageError, match="closed"):
            await begun_too_late.__aenter__()
        with pytest.raises(StreamUsageError, match="closed"):
            manager.subscribe(key())
        with pytest.raises(StreamUsageError, match="closed"):
            await register(manager, exchange, LEGACY)
        with pytest.raises(UnknownSourceError):
            await manager.unregister("simex")


async def test_a_source_is_taken_from_when_its_plugin_begins_to_be_opened(manager: StreamManager) -> None:
    first = asyncio.create_task(manager.register("simex", LEGACY.path))
    await asyncio.sleep(0)  # it has begun, and waits for its thread
    with pytest.raises(SourceTakenError):
        await manager.register("simex", GENERIC.path)
    assert (await first).report.kind is PluginKind.LEGACY
    assert manager.sources == ("simex",)


async def test_a_source_whose_plugin_could_not_be_opened_is_free(manager: StreamManager, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await manager.register("simex", tmp_path / "missing.wasm")
    assert (await manager.register("simex", GENERIC.path)).report.kind is PluginKind.GENERIC


async def test_a_manager_that_was_closed_meanwhile_registers_nothing() -> None:
    async with StreamManager() as manager:
        registering = asyncio.create_task(manager.register("simex", LEGACY.path))
        await asyncio.sleep(0)
    with pytest.raises(StreamUsageError, match="the stream manager has been closed"):
        await registering
    assert manager.sources == ()


async def test_a_source_can_be_registered_once(manager: StreamManager) -> None:
    plugin = await manager.register("simex", LEGACY.path)
    with pytest.raises(SourceTakenError) as caught:
        await manager.register("simex", GENERIC.path)
    assert caught.value.source == "simex"
    assert manager.sources == ("simex",)
    assert plugin.report.kind is PluginKind.LEGACY
    await manager.unregister("simex")
    assert (await manager.register("simex", GENERIC.path)).report.kind is PluginKind.GENERIC


async def test_an_unknown_source_is_refused_with_the_names_that_are_known(manager: StreamManager) -> None:
    await manager.register("a", LEGACY.path)
    await manager.register("b", GENERIC.path.read_bytes())
    with pytest.raises(UnknownSourceError, match=r"'c'.*a, b") as caught:
        manager.subscribe(key("c"))
    assert (caught.value.source, caught.value.known) == ("c", ("a", "b"))
    with pytest.raises(UnknownSourceError):
        await manager.unregister("c")


async def test_a_source_that_is_gone_when_the_subscription_begins_is_unknown(manager: StreamManager) -> None:
    await manager.register("simex", LEGACY.path)
    subscription = manager.subscribe(key())
    await manager.unregister("simex")
    with pytest.raises(UnknownSourceError):
        await subscription.__aenter__()


@pytest.mark.parametrize("text", ["ohlcv:simex", "", "ohlcv::BTC-USDT"])
async def test_a_text_that_is_no_key_is_refused(manager: StreamManager, text: str) -> None:
    await manager.register("simex", LEGACY.path)
    with pytest.raises(KeyFormatError):
        manager.subscribe(text)


async def test_a_module_that_cannot_run_is_refused_and_its_name_stays_free(manager: StreamManager) -> None:
    with pytest.raises(DetectionError, match="go-command-module"):
        await manager.register("simex", MISBUILT)
    with pytest.raises(FileNotFoundError):
        await manager.register("simex", MISBUILT.with_name("missing.wasm"))
    assert manager.sources == ()
    await manager.register("simex", LEGACY.path)


async def test_settings_that_are_given_apply_to_the_streams(manager: StreamManager) -> None:
    async with several(2) as exchange:
        settings = attrs.evolve(AdapterSettings(), clock=lambda: 42)
        await manager.register(
            "simex", LEGACY.path, rewrite=exchange.rewrites, allow_private=True, settings=settings, kind="legacy"
        )
        async with manager.subscribe(key()) as subscription:
            assert [item.timestamp for item in await take(subscription, 2)] == [42, 42]


async def test_what_is_no_key_at_all_is_refused() -> None:
    async with StreamManager() as manager:
        for wrong in (5, None, b"ohlcv:simex:BTC-USDT"):
            with pytest.raises(UsageError, match=r"key must be a StreamKey.* Correct subscribe\(key=...\)"):
                manager.subscribe(wrong)  # type: ignore[arg-type]
