"""``plugin-compat simulate``: every command that it prints works as printed."""

from __future__ import annotations

import asyncio
import errno
import json
import shlex
import signal
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect

from compat.demo.exchange import Exchange
from tests.support.processes import end_of, lines_until
from tests.support.waiting import HANG

if TYPE_CHECKING:
    import pytest

    from tests.compat.cli.conftest import Command, Start


async def welcome(process: asyncio.subprocess.Process) -> tuple[str, list[list[str]]]:
    """Where it can be reached, and the commands that are printed, each as its words."""
    lines = await lines_until(process.stdout, r"generic\.wasm 'ohlcv")
    assert lines[0].startswith("SimEx is open on ws://127.0.0.1:")
    return lines[0].split()[4], [shlex.split(line) for line in lines if line.startswith("  plugin-compat ")]


async def test_what_it_prints_can_be_run_and_ctrl_c_ends_it(start: Start, command: Command) -> None:
    server = await start("simulate", "--rate", "50")
    _, commands = await welcome(server)
    assert [words[1] for words in commands] == ["inspect", "info", "call", "run", "run"]
    for words in commands:
        runs = words[1] == "run"
        count = ("--count", 2, "--format", "ndjson") if runs else ()
        outcome = await asyncio.to_thread(command, *words[1:], *count)
        assert outcome.code == 0, words
        assert ("2 items, 0 gaps" in outcome.err) if runs else not outcome.err
        if runs:
            assert [json.loads(line)["sequence"] for line in outcome.out.splitlines()] == [0, 1]
    server.send_signal(signal.SIGINT)
    end = await end_of(server)
    assert (end.code, end.err.strip()) == (130, "")


async def test_it_drops_connections_on_request_again_and_again(start: Start) -> None:
    server = await start("simulate", "--drop-every", "0.2")
    url, _ = await welcome(server)
    for _ in range(2):
        async with connect(f"{url}/ws", close_timeout=HANG) as socket, asyncio.timeout(HANG):
            await socket.wait_closed()
        assert socket.close_code == 1006
    server.send_signal(signal.SIGINT)
    told = {line for line in (await end_of(server)).err.splitlines() if line}
    assert told == {"dropped all connections, as every 0.2 s"}


async def test_a_port_that_is_taken_is_told(command: Command) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with taken:
        port = taken.sockets[0].getsockname()[1]
        outcome = await asyncio.to_thread(command, "simulate", "--port", port)
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err.splitlines() == [
        f"error: cannot listen on port {port}: Address already in use",
        "  Choose another port, or leave --port away: the system chooses a free one",
    ]


def refuse_to_open(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    async def refuse(_: Exchange) -> Exchange:
        raise OSError(number, "error while attempting to bind on address ('127.0.0.1', 80)")

    monkeypatch.setattr(Exchange, "__aenter__", refuse)


def test_a_port_that_is_root_s_is_told(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_to_open(monkeypatch, errno.EACCES)
    outcome = command("simulate", "--port", "80")
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err.splitlines() == [
        "error: cannot listen on port 80: Permission denied",
        "  Choose a port above 1023, or leave --port away: the system chooses a free one",
    ]


def test_another_error_of_the_system_is_told_as_it_is(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_to_open(monkeypatch, errno.EMFILE)
    assert command("simulate").err.startswith("error: error while attempting to bind")
