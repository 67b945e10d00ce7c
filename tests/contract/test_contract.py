"""What every plugin does through every adapter: one suite over all real plugins, against a real exchange.

It runs over both faces of the library, the asynchronous and the blocking one.
"""

from __future__ import annotations

import asyncio
import math
import random
import ssl
import time
import traceback
from typing import TYPE_CHECKING

import pytest
import trustme

from compat import (
    ConfigurationError,
    DetectionError,
    EventKind,
    Plugin,
    PluginKind,
    RequestFailedError,
    StreamManager,
    StreamRejectedError,
    StreamState,
    TokenBuckets,
    UnknownCommandError,
    WebSocketConnector,
    open_plugin,
)
from compat.demo.exchange import Exchange
from tests.contract.conftest import EACH_KIND, FIRST_OF_THEIR_KIND
from tests.support.plugins import FIXTURES, MISBUILT, PluginFixture, candle_key
from tests.support.simex import candle_of, candles, unhurried
from tests.support.waiting import HANG, drain, guest_threads, told, until

if TYPE_CHECKING:
    from compat import StreamData
    from tests.contract.conftest import Open, Trading
    from tests.support.flavours import Flavour

pytestmark = pytest.mark.usefixtures("nothing_left")

GARBAGE = ("<html>502 Bad Gateway</html>", "", "null", "[]", '{"event":"kline"}', '{"event":', "\U0001f4a9")
NOW = 1_700_000_000 * 10**9  # nanoseconds


async def test_metadata_is_read_without_the_network(fixture: PluginFixture, trading: Trading) -> None:
    exchange = Exchange()
    async with trading(exchange) as plugin:
        info = await plugin.info()
        assert (info.name, info.stream_types, info.problems) == (fixture.title, fixture.stream_types, ())
        assert "wss://stream.simex.example/*" in info.network_targets
        assert plugin.report.kind is fixture.kind
    assert not exchange.journal.connections
    assert not exchange.journal.requests


async def test_what_is_no_stream_is_asked_for_in_the_same_words(fixture: PluginFixture, trading: Trading) -> None:
    settings = unhurried(token_buckets=TokenBuckets())
    async with trading(Exchange(), settings=settings) as plugin:
        offered = {item.name for item in plugin.report.exports}
        for command, export in (("getMarkets", "list_markets"), ("getTimeframes", "get_timeframes")):
            if export in offered or "handle_command" in offered:
                reply = await plugin.request(command)
                assert isinstance(reply.json(), list)
                assert reply.json()
                again = await plugin.request(command, {})
                assert again.data == reply.data
            else:
                with pytest.raises(UnknownCommandError):
                    await plugin.request(command)
        with pytest.raises((UnknownCommandError, RequestFailedError), match="accountBalances"):
            await plugin.request("accountBalances")


async def test_a_refused_configuration_fails_the_stream_and_is_not_shown(
    fixture: PluginFixture, open_: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with Exchange() as exchange:
        async with open_(exchange, config={fixture.credential: "invalid"}) as plugin:
            async with plugin.stream(candle_key()) as stream:
                with pytest.raises(ConfigurationError) as caught:
                    await drain(stream, 1)
            events = await told(stream)
        assert not exchange.journal.connections
    assert stream.state is StreamState.FAILED
    shown = [*traceback.format_exception(caught.value), *(event.message for event in events), caplog.text]
    assert fixture.id in str(caught.value)
    assert caught.value.remedy
    assert not any("invalid" in text for text in shown)


async def test_a_configured_stream_starts_with_the_first_candle_and_stops_when_it_is_closed(
    fixture: PluginFixture,
    open_: Open,
) -> None:
    exchange = Exchange(mode="replay", rate=200)
    config = {fixture.credential: "correct-horse"}
    settings = unhurried(clock=lambda: NOW)
    before = time.time_ns()
    async with (
        exchange,
        open_(exchange, config=config, settings=settings) as plugin,
        plugin.stream(candle_key()) as stream,
    ):
        item, *_ = await drain(stream, 3)
        await stream.aclose()  # the exchange would go on for ever
        assert stream.state is StreamState.STOPPED
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await exchange.wait_for_disconnect(HANG)
    assert candle_of(item) == candles(exchange, [0])[0]
    assert (item.key, item.data_type, item.sequence) == (candle_key(), "ohlcv", 0)
    first, last = (before, time.time_ns()) if fixture.tells_time else (NOW, NOW)
    assert first <= item.timestamp <= last
    (connection,) = exchange.journal.connections
    sent = dict(connection.headers)
    assert sent.get("X-Api-Key") == ("correct-horse" if fixture.sends_credential else None)
    assert sent["X-Client"] == "simex-plugin"
    assert [(event.kind, event.state) for event in await told(stream)] == [
        (EventKind.STATE, StreamState.STARTING),
        (EventKind.STATE, StreamState.STREAMING),
        (EventKind.STATE, StreamState.STOPPED),
    ]


@pytest.mark.parametrize("count", [200, pytest.param(1_000, marks=pytest.mark.nightly)])
async def test_candles_of_all_sizes_arrive_complete_and_in_order(
    trading: Trading, fixture: PluginFixture, count: int
) -> None:
    sizes = random.Random(11)
    pads = [int(10 ** sizes.uniform(0, 3.3)) if sizes.random() < 0.99 else fixture.longest for _ in range(count)]
    assert max(pads) == fixture.longest
    exchange = Exchange(mode="replay", rate=math.inf, limit=len(pads), pad=pads.__getitem__)
    async with trading(exchange) as plugin, plugin.stream(candle_key()) as stream:
        items = await drain(stream, len(pads))
        assert [candle_of(item) for item in items] == candles(exchange, range(len(pads)))
        assert [item.sequence for item in items] == list(range(len(pads)))
        assert stream.stats.gaps == stream.stats.restarts == stream.stats.plugin_errors == 0


async def test_the_same_key_can_be_streamed_again(trading: Trading) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=50)
    async with trading(exchange) as plugin:
        for _ in range(2):
            async with plugin.stream(candle_key()) as stream:
                items = await drain(stream, 50)
            assert [candle_of(item) for item in items] == candles(exchange, range(50))
    assert len(exchange.journal.connections) == 2


async def test_two_streams_at_once_do_not_mix(trading: Trading) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=100)
    markets = (("BTC-USDT", "1m"), ("ETH-USDT", "5m"))
    together = asyncio.Barrier(2)  # neither is over before the other has all

    async def follow(plugin: Plugin, symbol: str, timeframe: str) -> list[StreamData]:
        async with plugin.stream(candle_key(symbol, timeframe)) as stream:
            items = await drain(stream, 100)
            await together.wait()
            return items

    async with trading(exchange) as plugin, asyncio.TaskGroup() as tasks:
        following = [tasks.create_task(follow(plugin, *market)) for market in markets]
    for task, market in zip(following, markets, strict=True):
        assert [candle_of(item) for item in task.result()] == candles(exchange, range(100), *market)
        assert {item.key for item in task.result()} == {candle_key(*market)}


NOT_OFFERED = {
    "stream type": candle_key(type_="trades"),
    "symbol": candle_key("NOPE-USDT"),
    "interval": candle_key(timeframe="7m"),
}


async def test_a_stream_that_nobody_offers_is_rejected_at_once(fixture: PluginFixture, trading: Trading) -> None:
    exchange = Exchange()
    reasons = {}
    async with trading(exchange) as plugin:
        for what, key in NOT_OFFERED.items():
            before = len(exchange.journal.connections)
            async with plugin.stream(key) as stream:
                with pytest.raises(StreamRejectedError) as caught:
                    await drain(stream, 1)
                assert stream.state is StreamState.FAILED
            assert (caught.value.plugin, caught.value.stream) == (fixture.id, str(key))
            reasons[what] = caught.value.reason
            assert stream.stats.reconnects == stream.stats.restarts == 0  # it was tried once
            assert len(exchange.journal.connections) - before <= 1
            assert caught.value.reason in str(caught.value)
        await until(lambda: exchange.connections == 0, "the sockets are closed")
    assert all(reasons.values())
    assert len(set(reasons.values())) == len(NOT_OFFERED)  # each in its own words


async def test_garbage_between_candles_is_ignored(trading: Trading) -> None:
    exchange = Exchange(mode="replay", rate=200)
    async with trading(exchange) as plugin, plugin.stream(candle_key()) as stream:
        items = await drain(stream, 5)
        for text in GARBAGE:
            await exchange.broadcast(text)
            before_it = len(exchange.journal.connections[0].klines)
            items += await drain(stream, before_it - len(items) + 1)  # the last one came after it
        assert [candle_of(item) for item in items] == candles(exchange, range(len(items)))
        assert stream.stats.gaps == stream.stats.restarts == stream.stats.reconnects == 0


async def test_a_slow_consumer_makes_the_plugin_wait_and_loses_nothing(flavour: Flavour, trading: Trading) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=400, pad=lambda n: 300 if n % 3 else 5)
    settings = unhurried(buffer=8)
    async with trading(exchange, settings=settings) as plugin, plugin.stream(candle_key()) as stream:
        await until(lambda: stream.stats.buffered == 8, "the buffer fills")
        items = []
        for _ in range(10):
            # A producer that once waited goes on when less than half is left, which may be after this consumer's last.
            await until(lambda: stream.stats.buffered >= 4, "the buffer fills again")
            stats = stream.stats
            assert stats.received == stats.delivered + stats.buffered
            assert stats.buffered <= 8
            items += await drain(stream, 8)
        items += await drain(stream, 320)
        assert [candle_of(item) for item in items] == candles(exchange, range(400))
        assert stream.stats.gaps == 0


@pytest.fixture
def tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's context."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@EACH_KIND
async def test_streams_run_over_tls(trading: Trading, tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = tls
    exchange = Exchange(mode="replay", rate=math.inf, limit=20, ssl=server)
    settings = unhurried(connector=WebSocketConnector(ssl=client, open_timeout=HANG))
    async with trading(exchange, settings=settings) as plugin, plugin.stream(candle_key()) as stream:
        items = await drain(stream, 20)
        assert exchange.ws_url.startswith("wss://")
        assert [candle_of(item) for item in items] == candles(exchange, range(20))


@pytest.mark.parametrize("registered", FIRST_OF_THEIR_KIND, ids=lambda fixture: fixture.id)
async def test_a_stream_manager_delivers_what_a_plugin_does(registered: PluginFixture) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=20)
    async with exchange, StreamManager() as manager:
        await manager.register(
            "simex", registered.path, rewrite=exchange.rewrites, allow_private=True, settings=unhurried()
        )
        async with manager.subscribe(candle_key()) as subscription, asyncio.timeout(HANG):
            items = [await anext(subscription) for _ in range(20)]
    assert [candle_of(item) for item in items] == candles(exchange, range(20))


async def test_a_plugin_built_the_wrong_way_is_refused_with_the_diagnosis() -> None:
    with pytest.raises(DetectionError) as caught:
        await open_plugin(MISBUILT)
    assert "go-command-module" in str(caught.value)
    assert not guest_threads()


def test_every_kind_of_plugin_is_among_the_fixtures() -> None:
    assert {fixture.kind for fixture in FIXTURES} == {PluginKind.LEGACY, PluginKind.GENERIC}
