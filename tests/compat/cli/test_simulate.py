"""``plugin-compat simulate``: every command that it prints works as printed."""

from __future__ import annotations

import asyncio
import errno
import json
import shlex
import signal
from typing import TYPE_CHECKING

import pytest

from compat.demo.exchange import Exchange

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command, Start


async def welcome(process: asyncio.subprocess.Process) -> list[list[str]]:
    """The commands that are printed, each as its words."""
    assert process.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(20):
        while not lines or "generic.wasm 'ohlcv" not in lines[-1]:
            lines.append((await process.stdout.readline()).decode().rstrip())
    assert lines[0].startswith("SimEx is open on ws://127.0.0.1:")
    return [shlex.split(line) for line in lines if line.startswith("  plugin-compat ")]


@pytest.mark.slow
async def test_what_it_prints_can_be_run_and_ctrl_c_ends_it(start: Start) -> None:
    server = await start("simulate", "--rate", "50")
    commands = await welcome(server)
    assert [words[1] for words in commands] == ["inspect", "info", "call", "run", "run"]
    for words in commands:
        count = ("--count", 2, "--format", "ndjson") if words[1] == "run" else ()
        process = await start(*words[1:], *count)
        async with asyncio.timeout(30):
            out, err = await process.communicate()
        assert process.returncode == 0, words
        assert (b"2 items, 0 gaps" in err) if "run" in words else not err
        if count:
            assert [json.loads(line)["sequence"] for line in out.splitlines()] == [0, 1]
    server.send_signal(signal.SIGINT)
    async with asyncio.timeout(5):
        _, err = await server.communicate()
    assert (server.returncode, err.strip()) == (130, b"")


async def test_it_drops_connections_on_request_and_a_run_recovers(start: Start) -> None:
    server = await start("simulate", "--rate", "50", "--drop-every", "2")
    words = (await welcome(server))[3]
    process = await start(*words[1:], "--count", 120)
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode == 0
    assert out.count(b"\n") == 120
    assert b"reconnect: " in err
    assert b" gap before item " in err
    server.send_signal(signal.SIGINT)
    _, err = await server.communicate()
    assert b"dropped all connections, as every 2 s" in err


async def test_a_port_that_is_taken_is_told(start: Start) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    async with taken:
        port = taken.sockets[0].getsockname()[1]
        process = await start("simulate", "--port", port)
        _, err = await process.communicate()
    assert process.returncode == 1
    assert err.decode().splitlines() == [
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
