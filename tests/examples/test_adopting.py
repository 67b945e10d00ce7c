"""The stream managers of ``examples/adopting``: one scenario over both, and every claim of their README."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import extism
import pytest
import trustme

from compat import AdapterSettings, Backoff, Bounds, DetectionError, NetworkPolicy, PluginKind
from compat.demo.exchange import Exchange
from examples.adopting import after, before
from examples.adopting.owner import LONGEST_WAIT, CompanyConnector, Manager, Market, Tick, patient
from tests.support.guests import Answer
from tests.support.legacy import legacy, on
from tests.support.plugins import FIXTURES, MISBUILT, PluginFixture
from tests.support.simex import QUICK, Candle, candles
from tests.support.waiting import HANG, guest_threads, until

pytestmark = pytest.mark.usefixtures("nothing_left")

FOLDER = Path(before.__file__).parent
PLUGINS = {fixture.id: fixture for fixture in FIXTURES}
GENERIC = PLUGINS["generic-blocking"]
BITCOIN, NOWHERE = Market("simex", "BTC-USDT", "1m"), Market("simex", "NOPE-USDT", "1m")
HOUR = 3_600.0
HOST = "wss://stream.simex.example"


@attrs.define(eq=False)
class Company:
    """The owner: everything a manager is given, and what came of it."""

    caplog: pytest.LogCaptureFixture
    logger: logging.Logger = attrs.field(factory=lambda: logging.getLogger("company"))
    connector: CompanyConnector = attrs.field(factory=CompanyConnector)
    ticks: list[Tick] = attrs.field(factory=list)
    threads: set[str] = attrs.field(factory=set)
    sink_is_broken: bool = False
    times: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    failures: list[int] = attrs.field(factory=list)
    settings: AdapterSettings = attrs.field(factory=lambda: AdapterSettings(backoff=QUICK))

    def sink(self, tick: Tick) -> None:
        if self.sink_is_broken:
            raise ZeroDivisionError
        self.threads.add(threading.current_thread().name)
        self.ticks.append(tick)

    def clock(self) -> int:
        """So small that no other clock shows such a time."""
        return next(self.times)

    def wait(self, failures: int) -> float:
        """Not at all; but remember after how many failures in a row that was asked."""
        self.failures.append(failures)
        return 0.0

    def said(self, level: int = logging.WARNING) -> list[str]:
        return [record.getMessage() for record in self.records if record.levelno >= level]

    @property
    def records(self) -> list[logging.LogRecord]:
        return [record for record in self.caplog.records if record.name == self.logger.name]

    def before(self) -> Manager:
        return before.StreamManager(
            connector=self.connector, sink=self.sink, clock=self.clock, logger=self.logger, wait=self.wait
        )

    def after(self, policy: NetworkPolicy | None = None) -> Manager:
        return after.StreamManager(
            connector=self.connector,
            sink=self.sink,
            clock=self.clock,
            logger=self.logger,
            wait=self.wait,
            settings=attrs.evolve(self.settings, policy=policy or NetworkPolicy()),
        )

    def after_on_loopback(self) -> Manager:
        return self.after(NetworkPolicy(allow_private=True))


@pytest.fixture
def company(caplog: pytest.LogCaptureFixture) -> Company:
    caplog.set_level(logging.INFO, "company")
    return Company(caplog)


@attrs.frozen
class Case:
    manager: Callable[[Company], Manager]
    plugin: PluginFixture

    @property
    def is_new(self) -> bool:
        return self.manager is not Company.before


CASES = {
    "before, legacy-callback": Case(Company.before, PLUGINS["legacy-callback"]),
    "after, legacy-callback": Case(Company.after_on_loopback, PLUGINS["legacy-callback"]),
    "after, legacy-command": Case(Company.after_on_loopback, PLUGINS["legacy-command"]),
    "after, generic-blocking": Case(Company.after_on_loopback, GENERIC),
}


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


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


async def test_a_plugin_that_hangs_does_not_keep_the_manager_from_stopping(company: Company) -> None:
    company.settings = AdapterSettings(bounds=Bounds(message_timeout=HOUR))
    async with Exchange() as exchange:
        company.connector.routes = {HOST: exchange.ws_url}
        manager = company.after_on_loopback()
        await manager.load("simex", legacy("callback", on("hang", then="loop")))
        manager.start(BITCOIN)
        await exchange.wait_for_connections(1, HANG)
        await exchange.broadcast("hang")
        before = guests_worked()
        await until(lambda: guests_worked() > before + 0.1, "it hangs")
        async with asyncio.timeout(HANG):  # otherwise it would take an hour
            await manager.stop(BITCOIN)
            await manager.aclose()


def guests_worked() -> float:
    """The seconds of processor time that guests have used."""
    threads = [thread.native_id for thread in threading.enumerate() if thread.name in guest_threads()]
    stats = [Path(f"/proc/self/task/{thread}/stat").read_text().rpartition(") ")[2].split() for thread in threads]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


async def test_an_outage_at_the_start_is_waited_for(case: Case, company: Company) -> None:
    async with Exchange(rate=100) as exchange:
        company.connector.routes = {HOST: exchange.ws_url}
        exchange.reject(2, 500)  # at 503 a stream would wait by itself
        manager = case.manager(company)
        await manager.load("simex", case.plugin.path.read_bytes())
        manager.start(BITCOIN)
        await until(lambda: bool(company.ticks), "a tick comes")
        assert [request.status for request in exchange.journal.requests] == [500, 500]
        assert len(company.said()) == 2
        assert company.failures == [1, 2]
        await manager.aclose()


@pytest.mark.parametrize(("failures", "ceiling"), [(1, 0.5), (2, 1.0), (6, 16.0), (7, 30.0), (1_000, 30.0)])
def test_the_owner_waits_up_to_twice_as_long_after_each_failure(
    monkeypatch: pytest.MonkeyPatch, failures: int, ceiling: float
) -> None:
    between: list[tuple[float, float]] = []
    monkeypatch.setattr(random, "uniform", lambda low, high: between.append((low, high)))
    patient(failures)
    assert between == [(0, ceiling)]


async def test_failures_in_a_row_are_counted_anew_after_a_connection_that_was_good_for_long(
    case: Case, company: Company
) -> None:
    # A stream tries by itself before the manager does.
    company.settings = AdapterSettings(backoff=Backoff(first=0.001, highest=0.01, patience=0.1))
    async with Exchange(rate=100) as exchange:
        company.connector.routes = {HOST: exchange.ws_url}
        exchange.reject(3, 500)
        manager = case.manager(company)
        await manager.load("simex", case.plugin.path.read_bytes())
        manager.start(BITCOIN)
        await until(lambda: bool(company.ticks), "a tick comes")
        assert company.failures == [1, 2, 3]

        company.times = itertools.count(int(LONGEST_WAIT * 1e9) + 1_000_000)
        ticks = len(company.ticks)
        await until(lambda: len(company.ticks) > ticks + 1, "a tick comes after more than half a minute")
        exchange.reject(1_000, 500)
        await exchange.drop_all()
        await until(lambda: len(company.failures) >= 5, "it has failed again, and again")
        assert company.failures[3:5] == [1, 2]
        await manager.aclose()


async def test_a_module_that_cannot_run_is_refused_when_it_is_loaded(company: Company) -> None:
    manager = company.after()
    with pytest.raises(DetectionError, match="go-command-module"):
        await manager.load("simex", MISBUILT.read_bytes())
    await manager.aclose()


async def test_an_address_that_is_not_declared_is_denied_unless_it_is_allowed(company: Company) -> None:
    undeclared = legacy(meta=Answer({"name": "says nothing"}))
    manager = company.after()
    await manager.load("simex", undeclared)
    manager.start(BITCOIN)
    await until(lambda: bool(company.said()), "it fails")
    assert "Declare it in the plugin's metadata, or allow it explicitly" in company.said(logging.ERROR)[0]
    assert company.connector.opened == 0
    await manager.aclose()

    company.caplog.clear()
    async with Exchange() as exchange:
        company.connector.routes = {HOST: exchange.ws_url}
        manager = company.after(NetworkPolicy(also=f"{HOST}/*", allow_private=True))
        await manager.load("simex", undeclared)
        manager.start(BITCOIN)
        await exchange.wait_for_connections(1, HANG)
        await manager.aclose()


@pytest.mark.parametrize("case", [case for case in CASES.values() if case.is_new], ids=lambda case: case.plugin.id)
async def test_a_private_address_is_denied_unless_it_is_allowed(case: Case, company: Company) -> None:
    async with Exchange() as exchange:
        manager = company.after(NetworkPolicy(rewrites=tuple(exchange.rewrites.items())))
        await manager.load("simex", case.plugin.path.read_bytes())
        manager.start(BITCOIN)
        await until(lambda: bool(company.said()), "it fails")
        assert "--allow-private, or allow_private=True" in company.said(logging.ERROR)[0]
        await manager.aclose()
        assert not exchange.journal.connections


async def test_a_sink_that_fails_ends_its_stream_and_is_told(case: Case, company: Company) -> None:
    company.sink_is_broken = True
    async with Exchange(rate=100) as exchange:
        company.connector.routes = {HOST: exchange.ws_url}
        manager = case.manager(company)
        await manager.load("simex", case.plugin.path.read_bytes())
        manager.start(BITCOIN)
        await until(lambda: bool(company.said(logging.ERROR)), "it is told")
        (failure,) = (record for record in company.records if record.levelno == logging.ERROR)
        assert failure.exc_info is not None
        assert failure.exc_info[0] is ZeroDivisionError
        await until(lambda: exchange.connections == 0, "the socket is closed")
        await manager.aclose()


def test_the_line_counts_of_the_readme_are_true() -> None:
    text = (FOLDER / "README.md").read_text()
    claimed = dict(re.findall(r"`(\w+\.py)` \((\d+) lines\)", text))
    assert claimed == {name: str(len((FOLDER / name).read_text().splitlines())) for name in ("before.py", "after.py")}
