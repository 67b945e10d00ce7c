"""What every plugin does through every adapter: one suite over all real plugins, against a real exchange.

It runs over both faces of the library, the asynchronous and the blocking one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import logging
import math
import random
import ssl
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
import trustme

from compat import (
    AdapterSettings,
    CompatError,
    ConfigurationError,
    DetectionError,
    EventKind,
    Opening,
    Plugin,
    PluginKind,
    RequestFailedError,
    StreamRejectedError,
    StreamState,
    TokenBuckets,
    UnknownCommandError,
    WebSocketConnector,
    open_plugin,
)
from compat.demo.exchange import Exchange
from compat.demo.market import GENESIS
from tests.support.flavours import ASYNCIO, FLAVOURS, Flavour
from tests.support.plugins import FIXTURES, MISBUILT, PluginFixture, candle_key
from tests.support.simex import QUICK, candle_of, candles, open_against
from tests.support.waiting import drain, guest_threads, told, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from compat import StreamData

pytestmark = pytest.mark.usefixtures("nothing_left")

Open = Callable[..., Opening]
Trading = Callable[..., contextlib.AbstractAsyncContextManager[Plugin]]

GARBAGE = ("<html>502 Bad Gateway</html>", "", "null", "[]", '{"event":"kline"}', '{"event":', "\U0001f4a9")
TLS_FIXTURES = tuple({fixture.kind: fixture for fixture in reversed(FIXTURES[:3])}.values())


@pytest.fixture(params=FIXTURES, ids=lambda fixture: fixture.id)
def fixture(request: pytest.FixtureRequest) -> PluginFixture:
    """Every plugin in turn."""
    found: PluginFixture = request.param
    return found


FACES = [
    pytest.param(flavour, id=flavour.name, marks=[] if flavour is ASYNCIO else pytest.mark.ours) for flavour in FLAVOURS
]


@pytest.fixture(params=FACES)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """Each face of the library in turn."""
    found: Flavour = request.param
    return found


@pytest.fixture
def open_(fixture: PluginFixture, flavour: Flavour) -> Open:
    """Opens the plugin in turn against an exchange."""
    return functools.partial(open_against, fixture, flavour=flavour)


@pytest.fixture
def trading(open_: Open) -> Trading:
    """The same, and opens the exchange."""

    @contextlib.asynccontextmanager
    async def trade(exchange: Exchange, *, settings: AdapterSettings | None = None) -> AsyncIterator[Plugin]:
        async with exchange, open_(exchange, settings=settings) as plugin:
            yield plugin

    return trade


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
    settings = AdapterSettings(backoff=QUICK, token_buckets=TokenBuckets())
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


async def test_a_configured_stream_starts_with_the_first_candle_and_stops_within_two_seconds(
    fixture: PluginFixture,
    open_: Open,
) -> None:
    exchange = Exchange(mode="replay", rate=200)
    config = {fixture.credential: "correct-horse"}
    before = time.time_ns()
    async with (
        exchange,
        open_(exchange, config=config) as plugin,
        plugin.stream(candle_key()) as stream,
    ):
        item, *_ = await drain(stream, 3)
        assert stream.state is StreamState.STREAMING
        begun = time.monotonic()
        closing = asyncio.create_task(stream.aclose())
        await exchange.wait_for_disconnect(2.0)
        await closing
        assert time.monotonic() - begun < 2.0
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
    assert candle_of(item) == candles(exchange, [0])[0]
    assert (item.key, item.data_type, item.sequence) == (candle_key(), "ohlcv", 0)
    assert before <= item.timestamp <= time.time_ns()
    sent = dict(exchange.journal.connections[0].headers)
    assert sent.get("X-Api-Key") == ("correct-horse" if fixture.sends_credential else None)
    assert sent["X-Client"] == "simex-plugin"
    assert [(event.kind, event.state) for event in await told(stream)] == [
        (EventKind.STATE, StreamState.STARTING),
        (EventKind.STATE, StreamState.STREAMING),
        (EventKind.STATE, StreamState.STOPPED),
    ]


async def test_a_thousand_candles_of_all_sizes_arrive_complete_and_in_order(trading: Trading) -> None:
    sizes = random.Random(11)
    pads = [int(10 ** sizes.uniform(0, 3.3)) if sizes.random() < 0.99 else 60_000 for _ in range(1_000)]
    exchange = Exchange(mode="replay", rate=math.inf, limit=len(pads), pad=pads.__getitem__)
    async with trading(exchange) as plugin, plugin.stream(candle_key()) as stream:
        items = await drain(stream, len(pads), within=30)
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
    exchange = Exchange(mode="replay", rate=math.inf, limit=200)
    markets = (("BTC-USDT", "1m"), ("ETH-USDT", "5m"))

    together = asyncio.Barrier(2)

    async def follow(plugin: Plugin, symbol: str, timeframe: str) -> list[StreamData]:
        async with plugin.stream(candle_key(symbol, timeframe)) as stream:
            items = await drain(stream, 200)
            await together.wait()
            return items

    async with trading(exchange) as plugin:
        found = await asyncio.gather(*(follow(plugin, *market) for market in markets))
    for items, market in zip(found, markets, strict=True):
        assert [candle_of(item) for item in items] == candles(exchange, range(200), *market)
        assert {item.key for item in items} == {candle_key(*market)}


@pytest.mark.parametrize(
    "key",
    [candle_key(type_="trades"), candle_key("NOPE-USDT"), candle_key(timeframe="7m")],
    ids=["stream type", "symbol", "interval"],
)
async def test_a_stream_that_nobody_offers_is_rejected_at_once(
    fixture: PluginFixture, trading: Trading, key: object
) -> None:
    assert isinstance(key, type(candle_key()))
    exchange = Exchange()
    async with trading(exchange) as plugin:
        async with plugin.stream(key) as stream:
            with pytest.raises(StreamRejectedError) as caught:
                await drain(stream, 1, within=3)
            assert stream.state is StreamState.FAILED
        assert (caught.value.plugin, caught.value.stream) == (fixture.id, str(key))
        assert caught.value.reason
        assert caught.value.reason in str(caught.value)
        assert len(exchange.journal.connections) <= 1
        await until(lambda: exchange.connections == 0, "the socket is closed", within=2)


async def test_a_stream_recovers_when_the_exchange_closes_or_drops_it(trading: Trading) -> None:
    exchange = Exchange(rate=100)
    async with trading(exchange) as plugin, plugin.stream(candle_key()) as stream:
        items = await drain(stream, 5)
        for turn, interrupt in enumerate((exchange.close_all, exchange.drop_all), start=1):
            await interrupt()
            async with asyncio.timeout(10):
                while len(exchange.journal.connections) == turn or items[-1].sequence < first_of(exchange, turn, items):
                    items.append(await anext(stream))
            assert stream.state is StreamState.STREAMING
            assert stream.stats.gaps == turn
            assert stream.stats.reconnects + stream.stats.restarts == turn
    numbers = [number_of(item) for item in items]
    assert numbers == sorted(set(numbers))
    assert [candle_of(item) for item in items] == candles(exchange, numbers)
    gaps = [event.sequence for event in await told(stream, EventKind.GAP)]
    assert gaps == [first_of(exchange, connection, items) for connection in (1, 2)]


def number_of(item: StreamData) -> int:
    return (candle_of(item).t - GENESIS) // 60


def first_of(exchange: Exchange, connection: int, items: list[StreamData]) -> float:
    """The sequence of the first item that came over a connection; infinite if none has come."""
    sent = set(exchange.journal.connections[connection].klines.numbers("BTC-USDT", "1m"))
    return next((item.sequence for item in items if number_of(item) in sent), math.inf)


async def test_garbage_between_candles_is_ignored(trading: Trading) -> None:
    exchange = Exchange(mode="replay", rate=1_000)
    async with trading(exchange) as plugin, plugin.stream(candle_key()) as stream:
        items = await drain(stream, 5)
        for text in GARBAGE:
            await exchange.broadcast(text)
            items += await drain(stream, 5)
        assert [candle_of(item) for item in items] == candles(exchange, range(len(items)))
        assert stream.stats.gaps == stream.stats.restarts == stream.stats.reconnects == 0


async def test_a_slow_consumer_makes_the_plugin_wait_and_loses_nothing(flavour: Flavour, trading: Trading) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=1_000, pad=lambda n: 300 if n % 3 else 5)
    settings = AdapterSettings(buffer=8)
    async with trading(exchange, settings=settings) as plugin, plugin.stream(candle_key()) as stream:
        await until(lambda: stream.stats.buffered == 8, "the buffer fills")
        items = []
        for _ in range(10):
            # A producer that once waited goes on when less than half is left, which may be after this consumer's last.
            await until(lambda: stream.stats.buffered >= 4, "the buffer fills again")
            assert stream.stats.received == stream.stats.delivered + stream.stats.buffered
            assert stream.stats.buffered <= 8
            items += await drain(stream, 8)
        items += await drain(stream, 920)
        assert [candle_of(item) for item in items] == candles(exchange, range(1_000))
        assert stream.stats.gaps == 0


async def test_a_consumer_that_leaves_early_leaves_nothing_behind(
    open_: Open, fixture: PluginFixture, caplog: pytest.LogCaptureFixture
) -> None:
    exchange = Exchange(rate=math.inf)
    async with exchange:
        async with open_(exchange, settings=AdapterSettings(buffer=16)) as plugin:
            async with plugin.stream(candle_key()) as stream:
                async for _ in stream:
                    break
                await until(lambda: stream.stats.buffered >= 8, "the plugin waits for room")
                begun = time.monotonic()
            assert time.monotonic() - begun < 2
            await until(lambda: exchange.connections == 0, "the socket is closed", within=2)
        await until(lambda: not guest_threads(), "the guests end", within=2)
    warnings = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    if fixture.id == "generic-sleeping":  # it sleeps between two attempts to connect, and may just have begun to
        warnings = [text for text in warnings if "lingers until it wakes" not in text]
    assert warnings == []
    gc.collect()  # a socket that was forgotten warns now, and warnings are errors


async def test_closing_the_plugin_stops_its_streams(open_: Open) -> None:
    async with Exchange(rate=100) as exchange:
        plugin = await open_(exchange).__aenter__()
        stream = plugin.stream(candle_key())
        await stream.__aenter__()
        await drain(stream, 1)
        begun = time.monotonic()
        await plugin.aclose()
        await exchange.wait_for_disconnect(2)
        assert time.monotonic() - begun < 2
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await plugin.aclose()
        with pytest.raises(CompatError, match="has been closed"):
            plugin.stream(candle_key())


@pytest.mark.parametrize("fixture", TLS_FIXTURES, ids=lambda fixture: f"{fixture.kind}")
async def test_streams_run_over_tls(trading: Trading) -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    exchange = Exchange(mode="replay", rate=math.inf, limit=20, ssl=server)
    settings = AdapterSettings(connector=WebSocketConnector(ssl=client), backoff=QUICK)
    async with trading(exchange, settings=settings) as plugin, plugin.stream(candle_key()) as stream:
        items = await drain(stream, 20)
        assert exchange.ws_url.startswith("wss://")
        assert [candle_of(item) for item in items] == candles(exchange, range(20))


async def test_a_plugin_built_the_wrong_way_is_refused_with_the_diagnosis() -> None:
    with pytest.raises(DetectionError) as caught:
        await open_plugin(MISBUILT)
    assert "go-command-module" in str(caught.value)
    assert not guest_threads()


def test_every_kind_of_plugin_is_among_the_fixtures() -> None:
    assert {fixture.kind for fixture in FIXTURES} == {PluginKind.LEGACY, PluginKind.GENERIC}
