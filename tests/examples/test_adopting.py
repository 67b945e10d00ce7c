"""The stream managers of ``examples/adopting``: one scenario over both, and the claims of their README."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import threading
from pathlib import Path

import extism
import pytest
import trustme

from compat import PluginKind
from compat.demo.exchange import Exchange
from examples.adopting import before
from examples.adopting.owner import Tick
from tests.support.adopting import BITCOIN, HOST, NOWHERE, Case, Company
from tests.support.guests import Answer
from tests.support.legacy import legacy
from tests.support.plugins import GENERIC
from tests.support.simex import Candle, candles
from tests.support.waiting import HANG, guest_threads, until

pytestmark = pytest.mark.usefixtures("nothing_left")

FOLDER = Path(before.__file__).parent


def candle_of(tick: Tick) -> Candle:
    return Candle(tick.opened, *map(str, (tick.open, tick.high, tick.low, tick.close, tick.volume)))


def sent(exchange: Exchange, connection: int) -> list[Candle]:
    """What the exchange sent over one of its connections."""
    return candles(exchange, exchange.journal.connections[connection].klines.numbers("BTC-USDT", "1m"))


async def test_the_same_scenario_over_both_managers(case: Case, company: Company) -> None:
    async with Exchange(seed=5, rate=100, ping_interval=0.05, pong_deadline=HANG) as exchange:
        company.connector.routes = {HOST: exchange.ws_url}
        tasks = asyncio.all_tasks()
        manager = case.manager(company)
        await manager.load("simex", case.plugin.path.read_bytes(), {case.plugin.credential: "correct-horse"})

        # A market streams.
        manager.start(BITCOIN)
        await until(lambda: len(company.ticks) >= 30, "ticks come")
        assert [candle_of(tick) for tick in company.ticks] == sent(exchange, 0)[: len(company.ticks)]
        assert {tick.market for tick in company.ticks} == {BITCOIN}

        # Pings are answered.
        await until(lambda: any("pong" in text for text in exchange.journal.connections[0].received), "a pong")

        # A connection that is lost is opened anew, and what was sent over it is all there.
        await exchange.drop_all()
        dropped = len(company.ticks)
        await until(lambda: len(exchange.journal.connections) == 2, "the second connection")
        await until(lambda: company.ticks[-1].opened > sent(exchange, 0)[-1].t, "ticks come again")
        got = [candle_of(tick) for tick in company.ticks]
        first, second = sent(exchange, 0), sent(exchange, 1)
        border = got.index(second[0])
        assert got[:border] == first[:border]
        assert got[border:] == second[: len(got) - border]
        assert dropped <= border
        told = [message for message in company.said(logging.INFO) if "gap: " in message]
        assert len(told) == (1 if case.is_new else 0)

        # A symbol that does not exist fails that stream only, in the exchange's words.
        manager.start(NOWHERE)
        await until(lambda: bool(company.said(logging.ERROR)), "it is told")
        (failure,) = company.said(logging.ERROR)
        assert re.search(r"simex NOPE-USDT 1m: .*(no market|unknown market:) NOPE-USDT", failure)
        assert ("Check the key's type" in failure) is case.is_new
        last = sent(exchange, 1)[-1]
        await until(lambda: company.ticks[-1].opened > last.t, "the other stream goes on")

        # All of the owner's things were used.
        accepted = exchange.journal.connections
        assert company.connector.opened == len(accepted) >= 2
        for connection in accepted:
            headers = dict(connection.headers)
            assert (headers["X-Company"], headers["X-Client"]) == ("Example Ltd", "simex-plugin")
            assert headers.get("X-Api-Key") == ("correct-horse" if case.plugin.sends_credential else None)
        assert company.threads == {"MainThread"}
        if case.plugin.kind is PluginKind.LEGACY:  # a generic plugin gives a time of its own
            times = [tick.received for tick in company.ticks]
            assert times == sorted(set(times))
            assert times[-1] < next(company.times)
        else:
            assert next(company.times) > 1

        # Stopping, once or twice, leaves nothing behind.
        await manager.stop(BITCOIN)
        await exchange.wait_for_disconnect(HANG)
        stopped = len(company.ticks)
        await manager.stop(BITCOIN)
        await manager.aclose()
        await until(lambda: not guest_threads(), "the guests end")
        assert stopped == len(company.ticks)
        await until(lambda: exchange.connections == 0, "every socket is closed")
        assert not [task for task in asyncio.all_tasks() - tasks if not task.done() and "stream" in task.get_name()]
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("plugin ")]


async def test_a_market_can_be_started_again_and_closing_ends_what_runs(case: Case, company: Company) -> None:
    async with Exchange(rate=100) as exchange:
        company.connector.routes = {HOST: exchange.ws_url}
        manager = case.manager(company)
        await manager.load("simex", case.plugin.path.read_bytes())
        for turn in range(1, 3):
            manager.start(BITCOIN)
            manager.start(BITCOIN)  # it runs already
            await until(lambda: len(company.ticks) >= 5, "ticks come")
            if turn == 1:
                await manager.stop(BITCOIN)
                company.ticks.clear()
        await manager.aclose()
        await until(lambda: exchange.connections == 0, "every socket is closed")
        assert len(exchange.journal.connections) == 2
    assert not company.said()


async def test_the_company_trust_is_used(case: Case, company: Company) -> None:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with Exchange(rate=100, ssl=server) as exchange:
        company.connector.routes, company.connector.ssl = {HOST: exchange.ws_url}, client
        manager = case.manager(company)
        await manager.load("simex", case.plugin.path.read_bytes())
        manager.start(BITCOIN)
        await until(lambda: len(company.ticks) >= 5, "ticks come")
        await manager.aclose()
    assert not company.said()


async def test_before_cannot_even_load_a_generic_plugin(company: Company) -> None:
    manager = company.before()
    with pytest.raises(extism.Error, match="unknown import: `env::ws_connect` has not been defined"):
        await manager.load("simex", GENERIC.path.read_bytes())
    await manager.aclose()


async def test_before_loses_the_reason_that_after_tells(company: Company) -> None:
    refusing = legacy(prepare=Answer({"success": False, "error": "the account is closed"}, code=1))
    for manager, told in ((company.before(), "Error code: 1"), (company.after(), "the account is closed")):
        await manager.load("simex", refusing)
        manager.start(BITCOIN)
        await until(lambda: bool(company.said(logging.ERROR)), "it fails")
        (message,) = company.said(logging.ERROR)
        assert told in message
        assert ("the account is closed" in message) is (told == "the account is closed")
        company.caplog.clear()
        await manager.aclose()


def test_the_line_counts_of_the_readme_are_true() -> None:
    text = (FOLDER / "README.md").read_text()
    claimed = dict(re.findall(r"`(\w+\.py)` \((\d+) lines\)", text))
    assert claimed == {name: str(len((FOLDER / name).read_text().splitlines())) for name in ("before.py", "after.py")}
