"""Connections that break, however they break: both kinds recover, and whatever is missing has been told."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import attrs
import pytest

from compat import Backoff, EventKind, Pacing, StreamState, WebSocketConnector
from compat.demo.exchange import Exchange
from compat.demo.scenario import After, Close, Scenario, Step
from tests.resilience.conftest import NotedBackoff, settings
from tests.support.plugins import candle_key
from tests.support.simex import open_against
from tests.support.waiting import HANG, until
from tests.support.watched import watching

if TYPE_CHECKING:
    from tests.support.plugins import PluginFixture

BROKEN = (EventKind.RECONNECT, EventKind.RESTART)


@pytest.mark.parametrize("how", ["drop", "close"])
async def test_a_stream_survives_that_its_connections_end_again_and_again(every: PluginFixture, how: str) -> None:
    async with (
        Exchange(rate=200) as exchange,
        open_against(every, exchange, settings=settings()) as plugin,
        watching(plugin) as watched,
    ):
        await watched.back(exchange, 0)
        for connection in (1, 2):
            await (exchange.drop_all() if how == "drop" else exchange.close_all())
            await watched.back(exchange, connection)
        assert watched.stream.state is StreamState.STREAMING
    assert watched.error is None
    assert watched.audit.problems == ()
    assert len(watched.told(EventKind.GAP)) == len(watched.told(*BROKEN)) == 2
    assert len(exchange.journal.connections) == 3


async def test_a_server_that_closes_cleanly_again_and_again_is_tried_ever_more_rarely(both: PluginFixture) -> None:
    times = 4
    backoff = NotedBackoff(first=0.05, healthy_after=HANG)  # items come in between, but not for so long
    closing = Scenario((Step(After(candles=3), Close()),) * times)
    async with (
        Exchange(rate=200, scenario=closing) as exchange,
        open_against(both, exchange, settings=settings(backoff=backoff)) as plugin,
        watching(plugin) as watched,
    ):
        await watched.back(exchange, times)
    assert backoff.failures == [1, 2, 3, 4]  # each of which doubles the wait
    opened = [record.opened for record in exchange.journal.connections]
    assert all(later - earlier >= wait for (earlier, later), wait in zip(pairwise(opened), backoff.waits, strict=True))
    assert watched.audit.problems == ()


@pytest.mark.timeout(240)  # many guests, on a busy machine
@pytest.mark.parametrize("flaps", [10, pytest.param(100, marks=pytest.mark.nightly)])
async def test_a_stream_outlives_many_connections_that_are_dropped_at_once(both: PluginFixture, flaps: int) -> None:
    backoff = Backoff(first=0.005, highest=0.01)
    async with (
        Exchange(rate=100) as exchange,
        open_against(both, exchange, settings=settings(backoff=backoff)) as plugin,
        watching(plugin) as watched,
    ):
        await watched.back(exchange, 0)
        for _ in range(flaps):
            await exchange.drop_all()
            await exchange.wait_for_connections(1, timeout=HANG)
        await watched.back(exchange, flaps)
        assert watched.error is None
    assert watched.audit.problems == ()
    assert len(exchange.journal.connections) == flaps + 1
    assert 1 <= watched.stream.stats.gaps <= flaps  # one for each place, however often the connection broke there


@attrs.define
class _OneLarge:
    """Makes the next candle large, once it is told to."""

    size: int = 0

    def __call__(self, _: int) -> int:
        size, self.size = self.size, 0
        return size


async def test_a_message_that_is_too_large_costs_the_connection_and_no_more(both: PluginFixture) -> None:
    pad = _OneLarge()
    connector = WebSocketConnector(max_message=64_000, open_timeout=HANG)
    async with (
        Exchange(rate=200, history=0, pad=pad) as exchange,
        open_against(both, exchange, settings=settings(connector=connector)) as plugin,
        watching(plugin) as watched,
    ):
        await watched.back(exchange, 0)
        pad.size = 100_000
        await watched.back(exchange, 1)
    assert watched.audit.problems == ()
    assert watched.audit.holes == 1
    (reason,) = [event.message for event in watched.events if event.state is StreamState.RECOVERING]
    assert "a message is longer than 64000 bytes" in reason


@pytest.mark.timeout(240)  # on a busy machine
@pytest.mark.parametrize(
    ("streams", "rejected"), [(40, 20), pytest.param(200, 100, marks=pytest.mark.nightly)], ids=["40", "200"]
)
async def test_many_streams_do_not_storm_an_exchange_that_comes_back(
    legacy: PluginFixture, streams: int, rejected: int
) -> None:
    pacing = Pacing(rate=100, burst=5)
    backoff = Backoff(first=0.05, highest=0.2)
    async with (
        Exchange(rate=5) as exchange,
        open_against(legacy, exchange, settings=settings(pacing=pacing, backoff=backoff)) as plugin,
    ):
        opened = [await plugin.stream(candle_key()).__aenter__() for _ in range(streams)]
        try:
            await until(lambda: all(stream.stats.received for stream in opened), "all streams have an item")
            exchange.reject(rejected)
            came_back = time.monotonic()
            await exchange.drop_all()
            await exchange.wait_for_connections(streams, timeout=HANG)  # nobody is forgotten
        finally:
            await asyncio.gather(*(stream.aclose() for stream in opened))
    assert len(exchange.journal.connections) == 2 * streams
    again = sorted(record.opened for record in exchange.journal.connections[streams:])
    # Connection 0 is attempt number `rejected` + 1 at the least, and attempt n has to wait until n - burst are past.
    for number, moment in enumerate(again, start=rejected + 1):
        assert moment - came_back >= (number - pacing.burst) / pacing.rate
    assert all(stream.stats.reconnects >= 1 for stream in opened)


async def test_what_is_told_of_an_outage_names_its_cause_and_its_place(both: PluginFixture) -> None:
    async with (
        Exchange(rate=200) as exchange,
        open_against(both, exchange, settings=settings()) as plugin,
        watching(plugin) as watched,
    ):
        await watched.back(exchange, 0)
        exchange.reject(3, 503)
        await exchange.drop_all()
        await watched.back(exchange, 1)
    (recovering,) = [event for event in watched.events if event.state is StreamState.RECOVERING]
    assert "was lost: it broke off without a closing handshake" in recovering.message
    lost, *rejected = [event.message for event in watched.told(*BROKEN)]
    assert "was lost: it broke off without a closing handshake" in lost
    assert len(rejected) == 3
    assert all("HTTP status 503" in message for message in rejected)
    (gap,) = watched.told(EventKind.GAP)
    assert gap.sequence == recovering.sequence
    assert watched.audit.problems == ()
