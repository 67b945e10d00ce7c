"""Ctrl-C and SIGTERM, whenever they come: while the command is still being imported, and while it runs."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from compat.demo.exchange import Exchange
from detectors.binary import Reader
from detectors.formats import HEADER
from tests.detectors.encoding import leb, module_of, section, slow_to_validate
from tests.support.plugins import FIXTURES
from tests.support.processes import COMPAT, INSTALLED, end_of, lines_until, running
from tests.support.waiting import until

if TYPE_CHECKING:
    from asyncio.subprocess import Process

PLUGIN = FIXTURES[0].path
KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"


def endless(functions: int = 4) -> bytes:
    """A valid module on which the validator works for minutes: what ends before that has not waited for it.

    It has the function of ``slow_to_validate``, which is as long as one may be, several times.
    """
    reader = Reader(slow_to_validate(seconds=70), len(HEADER))
    bodies = []
    while reader.at < len(reader.data):
        reader.byte()
        bodies.append(reader.take(reader.number()))
    types, _, (_, *function) = bodies
    code = leb(functions) + bytes(function) * functions
    return module_of(section(1, types), section(3, leb(functions) + b"\0" * functions), section(10, code))


def said(err: str) -> list[str]:
    """What a process said besides which modules it imports."""
    return [line for line in err.splitlines() if line.strip() and not line.startswith("import time:")]


MOMENTS = [
    *((COMPAT, name) for name in ("click.globals", "attr", "websockets", "compat.cli.run", "compat.cli")),
    *(((INSTALLED,), name) for name in ("click.globals", "compat.cli")),
]


@pytest.mark.parametrize(
    ("command", "imported"), MOMENTS, ids=[f"{Path(command[0]).name} {name}" for command, name in MOMENTS]
)
async def test_ctrl_c_while_modules_are_imported_ends_quietly(command: tuple[str, ...], imported: str) -> None:
    # The interpreter itself tells which module it has just imported, so that the moment is always the same.
    async with running("-X", "importtime", *command, "simulate") as process:
        await lines_until(process.stderr, rf"\| +{re.escape(imported)}$")
        process.send_signal(signal.SIGINT)
        end = await end_of(process)
    assert (end.code, said(end.err)) == (130, [])


@pytest.mark.parametrize("shell", ["exec", "trap '' INT; exec"], ids=["", "where Ctrl-C is ignored"])
async def test_sigterm_ends_a_run_as_ctrl_c_does(shell: str) -> None:
    async with Exchange(rate=100) as exchange:
        redirected = [part for pair in exchange.rewrites.items() for part in ("--rewrite", "=".join(pair))]
        command = (*COMPAT, "run", PLUGIN, KEY, *redirected, "--allow-private", "--format", "json")
        async with running("-c", f'{shell} "$@"', "sh", sys.executable, *command, program="sh") as process:
            await until(lambda: exchange.journal.klines > 3, "candles are sent")
            process.send_signal(signal.SIGTERM)
            end = await end_of(process)
        (last,) = said(end.err)
        assert end.code == 143
        assert re.fullmatch(r"\d\d:\d\d:\d\d \d+ items?, 0 gaps", last)
        assert "items" in json.loads(end.out)
        await until(lambda: not exchange.connections, "it is gone")


@pytest.mark.parametrize("command", ["simulate", "demo"])
async def test_sigterm_ends_the_other_commands_as_well(command: str) -> None:
    async with running(*COMPAT, command) as process:
        await lines_until(process.stdout, " on ws://")
        process.send_signal(signal.SIGTERM)
        end = await end_of(process)
    assert (end.code, said(end.err)) == (143, [])


def worked(process: Process) -> float:
    """The seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def has_read(process: Process) -> int:
    """The bytes that a process has read, from whatever it was."""
    lines = Path(f"/proc/{process.pid}/io").read_text(encoding="utf-8").splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


@pytest.mark.parametrize("source", ["a file", "standard input"])
async def test_ctrl_c_ends_an_inspection_whatever_the_validator_is_still_doing(tmp_path: Path, source: str) -> None:
    path = tmp_path / "slow.wasm"
    module = endless()
    path.write_bytes(module)
    with path.open("rb") as file:
        async with running(*COMPAT, "inspect", path if source == "a file" else "-", stdin=file) as process:
            await until(lambda: has_read(process) > len(module), "it reads the module")
            before = worked(process)  # what takes its time now is the validator
            await until(lambda: worked(process) > before + 0.5, "it validates")
            process.send_signal(signal.SIGINT)
            end = await end_of(process)
    assert (end.code, end.out, said(end.err)) == (130, b"", [])
