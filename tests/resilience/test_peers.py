"""Exchanges that misbehave in every way of the table, in the middle of a stream, and then behave again.

What each looks like at the socket is in ``tests/adapters/net/test_peers.py``; here both kinds of plugin live through
it.
"""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from compat import (
    AdapterSettings,
    ConnectFailedError,
    EventKind,
    Opening,
    StreamState,
    Tls,
    WebSocketConnector,
    open_plugin,
)
from compat.demo.exchange import Exchange
from compat.demo.scenario import After, Drop, Scenario, Step
from tests.resilience.conftest import PLUGINS, NotedBackoff, settings
from tests.support.clocks import StopWatch
from tests.support.rogue.behaviours import BEHAVIOURS
from tests.support.rogue.certificates import Authority, serving
from tests.support.rogue.peer import Forwarder, Rogue
from tests.support.simex import Brisk
from tests.support.waiting import HANG, until
from tests.support.watched import watching

if TYPE_CHECKING:
    from tests.support.plugins import PluginFixture

HASTY = WebSocketConnector(open_timeout=0.3, keepalive=0.2, max_message=10_000)
ORIGIN = "wss://stream.simex.example"
PATIENT = "429 with seconds"  # takes them


def hasty(**chosen: object) -> AdapterSettings:
    """Finds out soon that something is wrong, but for the first connection, with which nothing is."""
    return settings(connector=Brisk(attrs.evolve(HASTY, open_timeout=HANG), HASTY), **chosen)


def open_at(fixture: PluginFixture, url: str, chosen: AdapterSettings) -> Opening:
    return open_plugin(fixture.path, rewrite={ORIGIN: url}, allow_private=True, settings=chosen)


@contextlib.asynccontextmanager
async def forwarded(**exchange: Any) -> AsyncIterator[tuple[Exchange, Forwarder]]:
    """An exchange, and what stands in front of it."""
    async with Exchange(**{"rate": 100, **exchange}) as made, Forwarder(made.port) as between:
        yield made, between


NAMES = [name for name in BEHAVIOURS if name != PATIENT]
FIRST_OPEN = NAMES.index("stays silent")  # the first that accepts the WebSocket


@pytest.mark.timeout(400)  # they are many, on a busy machine
@pytest.mark.parametrize(
    "behaviours", [NAMES[:FIRST_OPEN], NAMES[FIRST_OPEN:]], ids=["before it is open", "while it is open"]
)
async def test_a_stream_survives_every_misbehaviour_of_a_server(both: PluginFixture, behaviours: list[str]) -> None:
    idle = StopWatch()  # which stands still while all is well: a busy machine needs its time
    async with (
        forwarded() as (exchange, between),
        contextlib.AsyncExitStack() as rogues,
        open_at(both, between.ws_url, hasty(monotonic=idle)) as plugin,
        watching(plugin, idle_limit=0.4) as watched,
    ):
        await watched.back(exchange, 0)
        for behaviour in behaviours:
            # It misbehaves once and then passes everything on; it is there to the end, for the stream goes through it.
            rogue = await rogues.enter_async_context(Rogue(behaviour, times=1, upstream=exchange.port))
            with telling(behaviour):
                between.upstream = rogue.port
                accepted = len(exchange.journal.connections)
                between.cut()
                idle.run()
                await tried_again(rogue)
                idle.stop()
                await watched.back(exchange, accepted)
        await until(lambda: watched.stream.state is StreamState.STREAMING, "it streams")
    assert watched.error is None
    assert watched.audit.problems == ()
    assert len(watched.told(EventKind.GAP)) >= len(behaviours)


async def tried_again(rogue: Rogue) -> None:
    await until(lambda: len(rogue.attempts) >= 2, "it meets the rogue, and tries again")


@contextlib.contextmanager
def telling(what: str) -> Iterator[None]:
    """Tell of a failure where it was."""
    try:
        yield
    except Exception as error:
        error.add_note(what)
        raise


async def test_a_server_that_asks_for_patience_gets_it(both: PluginFixture) -> None:
    async with Exchange(rate=100) as exchange:
        async with open_at(both, exchange.ws_url, settings()) as plugin, watching(plugin) as watched:
            await watched.back(exchange, 0)
            exchange.reject(1, 429, 1)
            dropped = time.monotonic()
            await exchange.drop_all()
            await watched.back(exchange, 1)
        _, again = exchange.journal.connections
        assert again.opened - dropped >= 1.0
    told = [event.message for event in watched.told(EventKind.RECONNECT, EventKind.RESTART)]
    assert len(told) == 2  # it was lost, and rejected once
    assert "HTTP status 429, and asks for 1 s of patience" in told[1]
    assert watched.audit.problems == ()


async def test_a_half_open_connection_is_noticed_and_replaced(both: PluginFixture) -> None:
    async with (
        forwarded() as (exchange, between),
        open_at(both, between.ws_url, hasty()) as plugin,
        watching(plugin) as watched,
    ):
        await watched.back(exchange, 0)
        accepted, tried = len(exchange.journal.connections), len(between.attempts)
        between.freeze()
        await until(lambda: watched.stream.state is StreamState.RECOVERING, "it is noticed")
        await until(lambda: len(between.attempts) >= tried + 2, "others are tried, and hang as well")
        between.thaw()
        await watched.back(exchange, accepted)
    reasons = [event.message for event in watched.events if event.state is StreamState.RECOVERING]
    assert "no answer to a ping within 0.2 s: the connection is half-open" in reasons[0]
    assert watched.audit.problems == ()


async def test_an_exchange_that_is_not_there_at_the_beginning_is_told_at_once(
    both: PluginFixture, deserted_port: int
) -> None:
    backoff = NotedBackoff()
    url = f"ws://127.0.0.1:{deserted_port}"
    async with open_at(both, url, settings(backoff=backoff)) as plugin, watching(plugin) as watched:
        error = await watched.end()
    assert isinstance(error, ConnectFailedError)
    assert error.problem == "connection refused"
    assert backoff.failures == []
    assert watched.stream.stats.reconnects == watched.stream.stats.restarts == 0


async def test_an_exchange_that_goes_away_for_a_while_is_tried_with_restraint(
    both: PluginFixture, deserted_port: int
) -> None:
    tries = 3
    backoff = NotedBackoff(first=0.05, healthy_after=HANG)
    async with (
        forwarded() as (exchange, between),
        open_at(both, between.ws_url, settings(backoff=backoff)) as plugin,
        watching(plugin) as watched,
    ):
        await watched.back(exchange, 0)
        between.upstream = deserted_port
        await exchange.drop_all()
        await until(lambda: len(between.attempts) > tries, "it is tried again and again")
        between.upstream = exchange.port
        await watched.back(exchange, 1)
    # One wait before each attempt but the first, as long as the backoff has it, which is asked of ever more failures.
    assert len(between.attempts) == len(backoff.waits) + 1
    assert backoff.failures == list(range(1, len(backoff.waits) + 1))
    spaces = [later - earlier for earlier, later in pairwise(between.attempts)]
    assert all(space >= wait for space, wait in zip(spaces, backoff.waits, strict=True))
    assert watched.audit.problems == ()


@pytest.mark.parametrize("encoding", ["legacy-command", "legacy-command-base64"])
async def test_a_connection_that_is_lost_during_negotiation_costs_nothing_but_a_gap(encoding: str) -> None:
    dropping = Scenario((Step(After(candles=1), Drop()), Step(After(candles=1), Drop())))
    async with Exchange(rate=100, scenario=dropping) as exchange:
        async with open_at(PLUGINS[encoding], exchange.ws_url, settings()) as plugin:
            assert (await plugin.info()).message_encoding is None  # the module does not say
            async with watching(plugin) as watched:
                await watched.back(exchange, 2)
                await watched.more(5)
            assert (await plugin.info()).message_encoding == ("base64" if "base64" in encoding else "text")
        assert len(exchange.journal.connections) == 3
    assert watched.told(EventKind.PLUGIN_ERROR) == []
    assert watched.audit.problems == ()


@attrs.frozen
class Certified:
    """A server's contexts, with a certificate that is good and one that has expired, and who trusts their authority."""

    good: ssl.SSLContext
    expired: ssl.SSLContext
    trusting: Tls


@pytest.fixture
def certified(tmp_path: Path) -> Certified:
    authority = Authority()
    trusted = tmp_path / "ca.pem"
    trusted.write_bytes(authority.certificate)
    good, expired = authority.identity(), authority.identity(days=(-10, -5))
    return Certified(serving(good, tmp_path), serving(expired, tmp_path), Tls(ca=trusted))


async def test_a_server_that_nobody_trusts_is_not_spoken_to(both: PluginFixture, certified: Certified) -> None:
    async with Exchange(ssl=certified.good) as exchange:
        async with open_at(both, exchange.ws_url, settings()) as plugin, watching(plugin) as watched:
            error = await watched.end()
        assert exchange.journal.connections == []
    assert isinstance(error, ConnectFailedError)
    assert "certificate is not trusted" in error.problem


async def test_a_certificate_that_goes_bad_is_waited_for_until_it_is_good_again(
    both: PluginFixture, certified: Certified
) -> None:
    async with (
        Exchange(rate=100, ssl=certified.good) as exchange,
        Rogue("leaves at once", ssl=certified.expired) as rogue,
        Forwarder(exchange.port) as between,
    ):
        url, chosen = between.ws_url.replace("ws:", "wss:"), settings(tls=certified.trusting)
        async with open_at(both, url, chosen) as plugin, watching(plugin) as watched:
            await watched.back(exchange, 0)
            between.upstream = rogue.port
            tried = len(between.attempts)
            await exchange.drop_all()
            await until(lambda: len(between.attempts) >= tried + 2, "the expired one is met, and tried again")
            between.upstream = exchange.port
            await watched.back(exchange, 1)
    lost, *met = [event.message for event in watched.told(EventKind.RECONNECT, EventKind.RESTART)]
    assert "was lost" in lost
    assert met
    assert all("has expired" in message for message in met)
    assert watched.audit.problems == ()
