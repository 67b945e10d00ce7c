"""What the manager and a plugin tell of themselves while both kinds stream."""

from __future__ import annotations

import asyncio
import math
import time

import msgspec
import pytest

from compat import ManagerStatus, PluginKind, StreamManager, StreamState, open_plugin
from compat.demo.exchange import Exchange
from tests.support.plugins import FIXTURES, PluginFixture, candle_key
from tests.support.simex import open_against
from tests.support.waiting import HANG, drain, until

pytestmark = pytest.mark.usefixtures("nothing_left")

LEGACY, GENERIC = (
    next(fixture for fixture in FIXTURES if fixture.id == id_) for id_ in ("legacy-callback", "generic-blocking")
)


async def test_a_manager_tells_what_runs_and_how_each_subscriber_fares() -> None:
    async with Exchange(mode="replay", rate=math.inf, limit=40) as exchange, StreamManager() as manager:
        assert manager.status() == ManagerStatus((), 0)
        for source, fixture in (("old", LEGACY), ("new", GENERIC)):
            await manager.register(source, fixture.path, rewrite=exchange.rewrites, allow_private=True)
        keys = [f"ohlcv:{source}:BTC-USDT?timeframe=1m" for source in ("old", "new")]
        async with (
            manager.subscribe(keys[0], buffer=500) as quick,
            manager.subscribe(keys[0], buffer=600),
            manager.subscribe(keys[1]) as other,
        ):
            async with asyncio.timeout(HANG):
                for _ in range(30):
                    await anext(quick)
                for _ in range(5):
                    await anext(other)
            streams = [subscription.stream for subscription in (quick, other)]
            await until(lambda: [stream.stats.delivered for stream in streams] == [40, 40], "all is handed on")
            handed_on = time.monotonic()
            await asyncio.sleep(0.01)
            waited = time.monotonic() - handed_on
            status = manager.status()
        old, new = status.plugins
        assert [(old.name, old.kind, old.dialect), (new.name, new.kind, new.dialect)] == [
            ("old", "legacy", "callback"),
            ("new", "generic", None),
        ]
        (stream,) = old.streams
        assert (str(stream.key), stream.state) == (keys[0], StreamState.STREAMING)
        assert (stream.stats.received, stream.stats.delivered, stream.stats.buffered) == (40, 40, 0)
        assert stream.stats.payload_bytes == streams[0].stats.payload_bytes > 40 * 50
        assert 0 < stream.stats.rate <= 40
        by_capacity = {subscription.capacity: subscription for subscription in stream.subscriptions}
        assert sorted(by_capacity) == [500, 600]
        assert (by_capacity[500].delivered, by_capacity[500].buffered) == (30, 10)
        assert (by_capacity[600].delivered, by_capacity[600].buffered) == (0, 40)
        # The oldest that wait are number 0 and number 30.
        assert by_capacity[600].lag > by_capacity[500].lag >= waited
        assert [subscription.delivered for subscription in new.streams[0].subscriptions] == [5]
        assert status.lingering_guests == 0
        assert msgspec.json.decode(msgspec.json.encode(status), type=ManagerStatus) == status
        assert [plugin.streams for plugin in manager.status().plugins] == [(), ()]


@pytest.mark.parametrize("fixture", [LEGACY, GENERIC], ids=["legacy", "generic"])
async def test_a_plugin_tells_which_streams_it_has(fixture: PluginFixture) -> None:
    async with Exchange(rate=100) as exchange, open_against(fixture, exchange) as plugin:
        assert (plugin.status().name, plugin.status().streams) == (fixture.id, ())
        unopened = plugin.stream(candle_key("ETH-USDT"))
        async with plugin.stream(candle_key()) as stream:
            await drain(stream, 1)
            (status,) = plugin.status().streams
            assert (status.key, status.state, status.subscriptions) == (stream.key, StreamState.STREAMING, ())
            assert plugin.streams == (stream,)
        assert plugin.status().streams == ()
        await unopened.aclose()


async def test_a_failed_stream_is_not_told_any_more_and_its_reconnects_were() -> None:
    async with Exchange(rate=100) as exchange, open_against(LEGACY, exchange) as plugin:
        async with plugin.stream(candle_key()) as stream:
            await drain(stream, 1)
            await exchange.drop_all()
            await until(lambda: stream.stats.reconnects == 1, "it connects anew")
            assert plugin.status().streams[0].stats.reconnects == 1
        async with plugin.stream(candle_key("NOPE-USDT")) as refused:
            await until(lambda: refused.state is StreamState.FAILED, "the exchange refuses it")
            assert plugin.streams == ()


async def test_a_plugin_tells_as_what_it_runs() -> None:
    async with open_plugin(GENERIC.path, kind="generic") as plugin:
        assert (plugin.kind, plugin.status().kind, plugin.status().dialect) == (PluginKind.GENERIC, "generic", None)
