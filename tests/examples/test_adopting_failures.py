"""The stream managers of ``examples/adopting``: what each makes of failures and refusals."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import random
import threading
from pathlib import Path

import pytest

from compat import AdapterSettings, Backoff, Bounds, DetectionError, NetworkPolicy
from compat.demo.exchange import Exchange
from examples.adopting.owner import LONGEST_WAIT, patient
from tests.support.adopting import BITCOIN, CASES, HOST, Case, Company
from tests.support.guests import Answer
from tests.support.legacy import legacy, on
from tests.support.plugins import MISBUILT
from tests.support.waiting import HANG, guest_threads, until

pytestmark = pytest.mark.usefixtures("nothing_left")
HOUR = 3_600.0


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
