"""``plugin-compat run``: what it refuses, how it ends, and what Ctrl-C does."""

from __future__ import annotations

import asyncio
import math
import os
import re
import signal
from typing import TYPE_CHECKING

import pytest

from compat.demo.exchange import Exchange
from tests.support.plugins import MISBUILT, PluginFixture
from tests.support.processes import end_of, lines_until
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command, Outcome, Start
from tests.support.plugins import BOTH_KINDS, GENERIC, LEGACY, PLUGINS, SLEEPING
from tests.support.runs import KEY, events, redirected, run, told


async def test_an_interruption_while_the_stream_recovers_is_told_as_such(start: Start) -> None:
    async with Exchange(rate=100) as exchange:
        process = await start("run", LEGACY.path, KEY, *redirected(exchange), "--allow-private", "--format", "ndjson")
        await until(lambda: exchange.journal.klines > 5, "candles are sent")
        exchange.reject(1_000_000)
        await exchange.drop_all()
        await lines_until(process.stderr, '"state":"recovering"')
        process.send_signal(signal.SIGINT)
        end = await end_of(process)
    assert end.code == 130
    assert re.fullmatch(r"\d+ items?, \d+ gaps?, interrupted while recovering", events(end.err)[-1].message)


@BOTH_KINDS
async def test_a_private_address_is_refused_with_the_remedy(command: Command, fixture: PluginFixture) -> None:
    async with Exchange() as exchange:
        outcome = await run(command, exchange, fixture)
        assert not exchange.journal.connections
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err.startswith("error: ")
    what, remedy = outcome.err.splitlines()
    assert exchange.ws_url in what
    assert "--allow-private" in remedy


@BOTH_KINDS
async def test_a_rejected_stream_exits_with_1_and_the_plugin_s_words(command: Command, fixture: PluginFixture) -> None:
    async with Exchange() as exchange:
        outcome = await run(command, exchange, fixture, "--allow-private", key="ohlcv:simex:NOPE-USDT?timeframe=1m")
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err.startswith(f"error: plugin '{fixture.path.stem}' refused stream ohlcv:simex:NOPE-USDT")
    assert "unknown_symbol: no market NOPE-USDT" in outcome.err


async def end_by(command: Command, fixture: PluginFixture, last_words: str) -> Outcome:
    """Run against an exchange that sends two candles and then this."""
    async with Exchange(mode="replay", rate=math.inf, limit=2) as exchange:

        async def say() -> None:
            await until(lambda: exchange.journal.klines == 2, "both candles are sent")
            await exchange.broadcast(last_words)

        outcome, _ = await asyncio.gather(run(command, exchange, fixture, "--allow-private"), say())
    return outcome


async def test_a_stream_that_the_plugin_ends_exits_with_0(command: Command) -> None:
    outcome = await end_by(command, PLUGINS["legacy-command"], '{"event":"goodbye"}')
    assert (outcome.code, outcome.out.count(b"\n"), told(outcome.err)) == (0, 2, ["2 items, 0 gaps"])


async def test_a_stream_that_fails_after_items_tells_what_it_came_to_and_then_the_error(command: Command) -> None:
    outcome = await end_by(command, LEGACY, '{"event":"error","code":"unknown_symbol","message":"it was delisted"}')
    assert (outcome.code, outcome.out.count(b"\n")) == (1, 2)
    end, error, remedy = outcome.err.splitlines()
    assert told(end) == ["2 items, 0 gaps"]
    assert error.startswith(f"error: plugin 'legacy' refused stream {KEY}: ")
    assert "it was delisted" in error
    assert remedy.startswith("  ")


def test_a_module_that_cannot_run_exits_with_1_and_the_finding(command: Command) -> None:
    outcome = command("run", MISBUILT, KEY)
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err.startswith(f"error: {MISBUILT}: go-command-module: ")
    assert "-buildmode=c-shared" in outcome.err


@BOTH_KINDS
async def test_a_configuration_reaches_the_plugin_and_is_never_printed(
    command: Command, fixture: PluginFixture
) -> None:
    async with Exchange(mode="replay", limit=2) as exchange:
        secrets = ("--config", "api_key=correct-horse", "--config", "passphrase=battery=staple")
        outcome = await run(command, exchange, fixture, "--allow-private", "--count", 2, *secrets)
    assert outcome.code == 0
    sent = dict(exchange.journal.connections[0].headers)
    assert sent.get("X-Api-Key") == ("correct-horse" if fixture.sends_credential else None)
    assert not any(word in outcome.out.decode() + outcome.err for word in ("horse", "staple"))


async def test_a_configuration_that_the_plugin_repeats_in_its_refusal_is_not_printed(command: Command) -> None:
    async with Exchange() as exchange:
        outcome = await run(command, exchange, SLEEPING, "--allow-private", "--config", "nap_ms=correct-horse")
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err.startswith("error: ")
    assert "plugin_configure: nap_ms is not a number of milliseconds: ***" in outcome.err
    assert "horse" not in outcome.err


@BOTH_KINDS
async def test_a_refused_configuration_exits_with_1(command: Command, fixture: PluginFixture) -> None:
    async with Exchange() as exchange:
        outcome = await run(command, exchange, fixture, "--allow-private", "--config", "api_key=invalid")
    assert (outcome.code, outcome.out) == (1, b"")
    assert "the exchange refuses the API key" in outcome.err
    assert "invalid" not in outcome.err


async def test_a_reader_sees_an_item_as_soon_as_it_is_there(start: Start) -> None:
    async with Exchange(mode="replay", rate=math.inf, limit=1) as exchange:
        process = await start("run", LEGACY.path, KEY, *redirected(exchange), "--allow-private")
        await lines_until(process.stdout, re.escape(KEY))  # the exchange says nothing more
        assert process.returncode is None
        process.send_signal(signal.SIGINT)
        assert (await end_of(process)).code == 130


INTERRUPTED = {
    "legacy": (LEGACY, (), 5),
    "generic-blocking": (GENERIC, (), 5),
    "generic-goroutine": (PLUGINS["generic-goroutine"], (), 5),
    "generic-sleeping": (SLEEPING, (), 5),
    "generic-sleeping-asleep": (SLEEPING, ("--config", "nap_ms=3600000"), 1),
}


@pytest.mark.parametrize(("fixture", "options", "items"), INTERRUPTED.values(), ids=INTERRUPTED)
async def test_ctrl_c_ends_a_run_whatever_its_guest_does_and_without_noise(
    start: Start, fixture: PluginFixture, options: tuple[str, ...], items: int
) -> None:
    async with Exchange(rate=100) as exchange:
        arguments = ("run", fixture.path, KEY, *redirected(exchange), "--allow-private", *options)
        process = await start(*arguments)
        for _ in range(items):
            await lines_until(process.stdout, re.escape(KEY))
        process.send_signal(signal.SIGINT)
        end = await end_of(process)
        assert end.code == 130
        assert re.fullmatch(r"\d\d:\d\d:\d\d \d+ items?, 0 gaps", end.err.strip())
        await until(lambda: not exchange.connections, "it is gone")


@BOTH_KINDS
async def test_ctrl_c_ends_a_run_that_waits_for_its_first_item(start: Start, fixture: PluginFixture) -> None:
    async with Exchange(mode="replay", limit=0) as exchange:
        process = await start("run", fixture.path, KEY, *redirected(exchange), "--allow-private")
        await until(lambda: exchange.connections, "it connects")
        await until(lambda: exchange.journal.connections[0].sent > 0, "the subscription is confirmed")
        process.send_signal(signal.SIGINT)
        end = await end_of(process)
    assert (end.code, end.out, told(end.err)) == (130, b"", ["0 items, 0 gaps"])


@BOTH_KINDS
async def test_a_run_whose_reader_has_gone_ends_cleanly(start: Start, fixture: PluginFixture) -> None:
    async with Exchange(rate=100) as exchange:
        reading, writing = os.pipe()
        process = await start("run", fixture.path, KEY, *redirected(exchange), "--allow-private", stdout=writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as output:
            first = await asyncio.to_thread(output.readline)
        end = await end_of(process)
        assert KEY.encode() in first
        assert (end.code, end.err.strip()) == (0, "")
        await until(lambda: not exchange.connections, "it is gone")
