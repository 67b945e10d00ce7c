"""Connections that break, however they break: both kinds recover, and whatever is missing has been told."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from compat import AdapterSettings, Backoff, EventKind, Pacing, StreamState, WebSocketConnector
from compat.demo.exchange import Exchange
from tests.support.plugins import candle_key
from tests.support.simex import open_against
from tests.support.waiting import until
from tests.support.watched import watching

if TYPE_CHECKING:
    from tests.support.plugins import PluginFixture

SOON = Backoff(first=0.02, highest=0.1, healthy_after=0.2)
AT_ONCE = Pacing(rate=1_000, burst=1_000)


def settings(**chosen: object) -> AdapterSettings:
    return AdapterSettings(**{"backoff": SOON, "pacing": AT_ONCE, **chosen})  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["drop", "close"])
async def test_a_stream_survives_that_its_connections_end_again_and_again(every: PluginFixture, how: str) -> None:
    async with (
        Exchange(rate=200) as exchange,
        open_against(every, exchange, settings=settings()) as plugin,
        watching(plugin) as watched,
    ):
        await watched.more(5)
        for _ in range(2):
            await (exchange.drop_all() if how == "drop" else exchange.close_all())
            await exchange.wait_for_connections(1, timeout=10)
            await watched.more(5)
        assert watched.stream.state is StreamState.STREAMING
    assert watched.audit.problems == ()
    assert watched.audit.delivered >= 15
    assert len(exchange.journal.connections) >= 3


@pytest.mark.endurance
async def test_a_server_that_closes_cleanly_again_and_again_is_tried_ever_more_rarely(both: PluginFixture) -> None:
    async def close_often(exchange: Exchange) -> None:
        while True:
            await asyncio.sleep(0.2)
            await exchange.close_all()

    backoff = Backoff(first=0.2, highest=2.0)  # items come in between, but not for half a minute
    async with (
        Exchange(rate=100) as exchange,
        open_against(both, exchange, settings=settings(backoff=backoff)) as plugin,
        watching(plugin) as watched,
    ):
        await watched.more(5)
        closing = asyncio.create_task(close_often(exchange))
        await asyncio.sleep(5)
        tried = len(exchange.journal.connections)
        closing.cancel()
        await watched.more(20)
    assert 3 <= tried <= 16  # 25 without waiting
    assert watched.audit.problems == ()


@pytest.mark.endurance
@pytest.mark.timeout(240)  # a hundred guests, on a busy machine
async def test_a_stream_outlives_a_hundred_connections_that_are_dropped_at_once(both: PluginFixture) -> None:
    backoff = Backoff(first=0.005, highest=0.01)
    async with (
        Exchange(rate=100) as exchange,
        open_against(both, exchange, settings=settings(backoff=backoff)) as plugin,
        watching(plugin) as watched,
    ):
        await watched.more(1)
        for flaps in range(1, 101):
            await exchange.drop_all()
            await exchange.wait_for_connections(1, timeout=30)
            assert len(exchange.journal.connections) > flaps
        await watched.more(20)
        assert watched.error is None
    assert watched.audit.problems == ()
    assert watched.stream.stats.gaps <= 101


async def test_a_message_that_is_too_large_costs_the_connection_and_no_more(both: PluginFixture) -> None:
    large: dict[int, int] = {}
    connector = WebSocketConnector(max_message=64_000)
    async with (
        Exchange(rate=200, history=0, pad=lambda n: large.get(n, 0)) as exchange,
        open_against(both, exchange, settings=settings(connector=connector)) as plugin,
        watching(plugin) as watched,
    ):
        await watched.more(10)
        large[(watched.audit.last or 0) + 100] = 100_000
        await until(lambda: len(exchange.journal.connections) > 1, "it connects anew")
        await watched.more(10)
        reasons = [event.message for event in watched.events if event.state is StreamState.RECOVERING]
    assert watched.audit.problems == ()
    assert watched.audit.holes == 1
    assert len(reasons) == 1
    assert "1009" in reasons[0] or "longer than" in reasons[0]


@pytest.mark.endurance
@pytest.mark.timeout(150)  # on a busy machine
async def test_two_hundred_streams_do_not_storm_an_exchange_that_comes_back(legacy: PluginFixture) -> None:
    pacing = Pacing(rate=100, burst=20)
    backoff = Backoff(first=0.2, highest=1.0)
    async with (
        Exchange(rate=2) as exchange,
        open_against(legacy, exchange, settings=settings(pacing=pacing, backoff=backoff)) as plugin,
    ):
        streams = [await plugin.stream(candle_key()).__aenter__() for _ in range(200)]
        try:
            await exchange.wait_for_connections(200, timeout=50)
            await asyncio.sleep(0.5)
            exchange.reject(100)
            came_back = time.monotonic()
            await exchange.drop_all()
            await exchange.wait_for_connections(200, timeout=50)
            opened = sorted(record.opened for record in exchange.journal.connections if record.opened >= came_back)
            assert len(opened) == 200
            for first, last in ((0, 99), (50, 149), (100, 199), (0, 199)):
                assert last - first + 1 <= 20 + 100 * (opened[last] - opened[first]) + 30  # that were on their way
            assert max(later - earlier for earlier, later in pairwise(opened)) < 5  # and nobody is forgotten
        finally:
            await asyncio.gather(*(stream.aclose() for stream in streams))
    assert all(stream.stats.reconnects >= 1 for stream in streams)


async def test_what_is_told_of_an_outage_names_its_cause_and_its_place(both: PluginFixture) -> None:
    async with (
        Exchange(rate=200) as exchange,
        open_against(both, exchange, settings=settings()) as plugin,
        watching(plugin) as watched,
    ):
        await watched.more(10)
        exchange.reject(3, 503)
        await exchange.drop_all()
        await watched.more(10)
        recovering = [event for event in watched.events if event.state is StreamState.RECOVERING]
        (gap,) = watched.told(EventKind.GAP)
    assert "was lost: it broke off without a closing handshake" in recovering[0].message
    again = [event.message for event in watched.events if event.kind in (EventKind.RECONNECT, EventKind.RESTART)]
    assert sum("HTTP status 503" in message for message in again) >= 1
    assert gap.sequence == recovering[0].sequence
