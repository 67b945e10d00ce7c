"""Exchanges that misbehave in every way of the table, in the middle of a stream, and then behave again.

What each looks like at the socket is in ``tests/adapters/net/test_peers.py``; here both kinds of plugin live through
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapters import legacy
from compat import (
    AdapterSettings,
    Backoff,
    ConnectFailedError,
    EventKind,
    Opening,
    Pacing,
    StreamState,
    Tls,
    WebSocketConnector,
    open_plugin,
)
from compat.demo.exchange import Exchange
from compat.demo.scenario import After, Drop, Scenario, Step
from tests.support.plugins import FIXTURES
from tests.support.rogue.behaviours import BEHAVIOURS
from tests.support.rogue.certificates import Authority, serving
from tests.support.rogue.peer import Forwarder, Rogue, closed_port
from tests.support.waiting import until
from tests.support.watched import watching

if TYPE_CHECKING:
    from tests.support.plugins import PluginFixture

HASTY = WebSocketConnector(open_timeout=0.3, keepalive=0.2, max_message=10_000)
SOON = Backoff(first=0.02, highest=0.1, healthy_after=0.2)
AT_ONCE = Pacing(rate=1_000, burst=1_000)
ORIGIN = "wss://stream.simex.example"
PATIENT = "429 with seconds"  # takes them


def open_at(fixture: PluginFixture, url: str, **chosen: Any) -> Opening:
    settings = AdapterSettings(**{"connector": HASTY, "backoff": SOON, "pacing": AT_ONCE, **chosen})
    return open_plugin(fixture.path, rewrite={ORIGIN: url}, allow_private=True, settings=settings)


@contextlib.asynccontextmanager
async def forwarded(**exchange: Any) -> AsyncIterator[tuple[Exchange, Forwarder]]:
    """An exchange, and what stands in front of it."""
    async with Exchange(**{"rate": 100, **exchange}) as made, Forwarder(made.port) as between:
        yield made, between


@pytest.mark.parametrize("behaviour", sorted(BEHAVIOURS.keys() - {PATIENT}))
async def test_a_stream_survives_a_time_of_misbehaviour(both: PluginFixture, behaviour: str) -> None:
    async with forwarded() as (exchange, between), Rogue(behaviour, times=1, upstream=exchange.port) as rogue:
        async with open_at(both, between.ws_url) as plugin, watching(plugin, idle_limit=1.0) as watched:
            await watched.more(5)
            between.upstream = rogue.port
            await exchange.drop_all()
            await until(lambda: len(exchange.journal.connections) == 2, "it comes back", within=15)
            await watched.more(5)
            assert watched.stream.state is StreamState.STREAMING
            assert watched.error is None
        assert len(rogue.attempts) >= 2
    assert watched.audit.problems == ()
    assert watched.told(EventKind.GAP)


async def test_a_server_that_asks_for_patience_gets_it(both: PluginFixture) -> None:
    async with Exchange(rate=100) as exchange:
        async with open_at(both, exchange.ws_url) as plugin, watching(plugin) as watched:
            await watched.more(5)
            exchange.reject(1, 429, 1)
            dropped = time.monotonic()
            await exchange.drop_all()
            await watched.more(20)
            reasons = [event.message for event in watched.events if event.kind is not EventKind.STATE]
        _, again = exchange.journal.connections
        assert 1.0 <= again.opened - dropped < 5
    assert any("HTTP status 429, and asks for 1 s of patience" in reason for reason in reasons)
    assert watched.audit.problems == ()


async def test_a_half_open_connection_is_noticed_and_replaced(both: PluginFixture) -> None:
    async with forwarded() as (_, between), open_at(both, between.ws_url) as plugin, watching(plugin) as watched:
        await watched.more(5)
        between.freeze()
        await until(lambda: watched.stream.state is StreamState.RECOVERING, "it is noticed")
        await until(lambda: len(between.attempts) >= 3, "others are tried, and hang as well")
        between.thaw()
        await watched.more(20)
        reasons = [event.message for event in watched.events if event.state is StreamState.RECOVERING]
    assert "no answer to a ping within 0.2 s: the connection is half-open" in reasons[0]
    assert watched.audit.problems == ()


async def test_an_exchange_that_is_not_there_at_the_beginning_is_told_at_once(both: PluginFixture) -> None:
    async with open_at(both, f"ws://127.0.0.1:{closed_port()}") as plugin, watching(plugin) as watched:
        error = await watched.end()
    assert isinstance(error, ConnectFailedError)
    assert error.problem == "connection refused"
    assert watched.stream.stats.reconnects == watched.stream.stats.restarts == 0


async def test_an_exchange_that_goes_away_for_a_while_is_tried_with_restraint(both: PluginFixture) -> None:
    backoff = Backoff(first=0.1, highest=0.4, healthy_after=5)
    async with forwarded() as (exchange, between):
        async with open_at(both, between.ws_url, backoff=backoff) as plugin, watching(plugin) as watched:
            await watched.more(5)
            between.upstream = closed_port()
            begun = time.monotonic()
            await exchange.drop_all()
            await asyncio.sleep(2.0)
            tries = [moment for moment in between.attempts if moment > begun]
            between.upstream = exchange.port
            await watched.more(10)
        assert 3 <= len(tries) <= 25
    assert watched.audit.problems == ()


@pytest.mark.parametrize("encoding", ["legacy-command", "legacy-command-base64"])
async def test_a_connection_that_is_lost_during_negotiation_costs_nothing_but_a_gap(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(legacy, "declared", lambda _: None)  # as of a module that does not say
    (fixture,) = (each for each in FIXTURES if each.id == encoding)
    dropping = Scenario((Step(After(candles=1), Drop()), Step(After(candles=1), Drop())))
    async with Exchange(rate=100, scenario=dropping) as exchange:
        async with open_at(fixture, exchange.ws_url) as plugin, watching(plugin) as watched:
            await watched.more(10)
            assert watched.told(EventKind.PLUGIN_ERROR) == []
            assert (await plugin.info()).message_encoding == ("base64" if "base64" in encoding else "text")
        assert len(exchange.journal.connections) == 3
    assert watched.audit.problems == ()


async def test_a_server_that_nobody_trusts_is_not_spoken_to(both: PluginFixture, tmp_path: Path) -> None:
    async with Exchange(ssl=serving(Authority().identity(), tmp_path)) as exchange:
        async with (
            open_at(both, exchange.ws_url, connector=WebSocketConnector()) as plugin,
            watching(plugin) as watched,
        ):
            error = await watched.end()
        assert exchange.journal.connections == []
    assert isinstance(error, ConnectFailedError)
    assert "certificate" in error.problem


async def test_a_certificate_that_goes_bad_is_waited_for_until_it_is_good_again(
    both: PluginFixture, tmp_path: Path
) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.mkdir()
    bad.mkdir()
    expired = authority.identity(days=(-10, -5))
    async with (
        Exchange(rate=100, ssl=serving(authority.identity(), good)) as exchange,
        Rogue("leaves at once", ssl=serving(expired, bad)) as rogue,
        Forwarder(exchange.port) as between,
    ):
        url, tls = between.ws_url.replace("ws:", "wss:"), Tls(ca=tmp_path / "ca.pem")
        async with open_at(both, url, tls=tls) as plugin, watching(plugin) as watched:
            await watched.more(5)
            between.upstream = rogue.port
            await exchange.drop_all()
            await until(lambda: len(between.attempts) >= 3, "the expired one is met")
            between.upstream = exchange.port
            await watched.more(5)
            reasons = [event.message for event in watched.events]
    assert any("expired" in reason for reason in reasons)
    assert watched.audit.problems == ()
