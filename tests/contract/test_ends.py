"""How the streams of every plugin end and go on: by being closed, left, or cut off by the exchange."""

from __future__ import annotations

import gc
import logging
import math
from typing import TYPE_CHECKING

import pytest

from compat import CompatError, EventKind, StreamState
from compat.demo.exchange import Exchange
from compat.demo.market import GENESIS
from tests.support.plugins import PluginFixture, candle_key
from tests.support.simex import Brisk, candle_of, candles, unhurried
from tests.support.waiting import HANG, drain, guest_threads, told, until

if TYPE_CHECKING:
    from compat import StreamData
    from tests.contract.conftest import Open, Trading

pytestmark = pytest.mark.usefixtures("nothing_left")


def number_of(item: StreamData) -> int:
    return (candle_of(item).t - GENESIS) // 60


def came_over(exchange: Exchange, connection: int, item: StreamData) -> bool:
    """Whether an item came over the connection of this number."""
    records = exchange.journal.connections
    return connection < len(records) and number_of(item) in records[connection].klines.numbers("BTC-USDT", "1m")


async def test_a_stream_recovers_when_the_exchange_closes_or_drops_it(trading: Trading) -> None:
    exchange = Exchange(rate=100)
    async with trading(exchange) as plugin, plugin.stream(candle_key()) as stream:
        items = await drain(stream, 5)
        places = []
        for turn, interrupt in enumerate((exchange.close_all, exchange.drop_all), start=1):
            await interrupt()
            while not came_over(exchange, turn, items[-1]):
                items += await drain(stream, 1)
            places.append(items[-1].sequence)
            assert stream.state is StreamState.STREAMING
            assert stream.stats.gaps == turn
            assert stream.stats.reconnects + stream.stats.restarts == turn
    numbers = [number_of(item) for item in items]
    assert numbers == sorted(set(numbers))
    assert [candle_of(item) for item in items] == candles(exchange, numbers)
    assert [event.sequence for event in await told(stream, EventKind.GAP)] == places


async def test_a_consumer_that_leaves_early_leaves_nothing_behind(
    open_: Open, fixture: PluginFixture, caplog: pytest.LogCaptureFixture
) -> None:
    # Its sockets are full, so that the exchange never gets to answer a close.
    settings = unhurried(buffer=16, connector=Brisk())
    async with Exchange(rate=math.inf) as exchange:
        async with open_(exchange, settings=settings) as plugin:
            async with plugin.stream(candle_key()) as stream:
                async for _ in stream:
                    break
                await until(lambda: stream.stats.buffered >= 8, "the plugin waits for room")
            await until(lambda: exchange.connections == 0, "the socket is closed")
        await until(lambda: not guest_threads(), "the guests end")
    warnings = {record.getMessage() for record in caplog.records if record.levelno > logging.INFO}
    assert warnings.difference(fixture.says) == set()
    gc.collect()  # a socket that was forgotten warns now, and warnings are errors


async def test_closing_the_plugin_stops_its_streams(open_: Open) -> None:
    async with Exchange(rate=100) as exchange:
        plugin = await open_(exchange).__aenter__()
        stream = plugin.stream(candle_key())
        await stream.__aenter__()
        await drain(stream, 1)
        await plugin.aclose()  # the exchange would go on for ever
        assert stream.state is StreamState.STOPPED
        await exchange.wait_for_disconnect(HANG)
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await plugin.aclose()
        with pytest.raises(CompatError, match="has been closed"):
            plugin.stream(candle_key())
