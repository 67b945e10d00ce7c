"""Ctrl-C and SIGTERM, whenever they come: while the command is still being imported, and while it runs."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from compat.demo.exchange import Exchange
from tests.detectors.encoding import slow_to_validate
from tests.support.plugins import FIXTURES
from tests.support.waiting import until

PLUGIN = FIXTURES[0].path
KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"
COMMANDS = {"module": ("-m", "compat"), "installed": (str(Path(sys.executable).with_name("plugin-compat")),)}


async def rest(process: Process) -> tuple[int | None, bytes, list[str]]:
    """How it ended, and what it said besides which modules it imports."""
    try:
        async with asyncio.timeout(20):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    said = [line for line in err.decode().splitlines() if line.strip() and not line.startswith("import time:")]
    return process.returncode, out, said


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("imported", ["click.globals", "attr", "websockets", "compat.cli.run", "compat.cli"])
async def test_ctrl_c_while_modules_are_imported_ends_quietly(command: tuple[str, ...], imported: str) -> None:
    # The interpreter itself tells which module it has just imported, so that the moment is always the same.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-X", "importtime", *command, "simulate", stdout=PIPE, stderr=PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(20):
        while line := await process.stderr.readline():
            if line.decode().rpartition("|")[2].strip() == imported:
                break
    assert line, "it was never imported"
    process.send_signal(signal.SIGINT)
    code, _, said = await rest(process)
    assert (code, said) == (130, [])


@pytest.mark.parametrize("shell", ["exec", "trap '' INT; exec"], ids=["", "where Ctrl-C is ignored"])
async def test_sigterm_ends_a_run_as_ctrl_c_does(shell: str) -> None:
    async with Exchange(rate=100) as exchange:
        redirected = [part for pair in exchange.rewrites.items() for part in ("--rewrite", "=".join(pair))]
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", f'{shell} "$@"', "sh", sys.executable, *COMMANDS["module"], "run", str(PLUGIN), KEY),
            *(*redirected, "--allow-private", "--format", "json"),
            stdout=PIPE,
            stderr=PIPE,
        )
        await until(lambda: exchange.journal.klines > 3, "candles are sent", within=20)
        process.send_signal(signal.SIGTERM)
        code, out, said = await rest(process)
        assert (code, len(said)) == (143, 1)
        assert re.fullmatch(r"\d\d:\d\d:\d\d \d+ items?, 0 gaps", said[0])
        assert "items" in json.loads(out)
        await exchange.wait_for_disconnect(timeout=2)


@pytest.mark.parametrize("arguments", [("simulate",), ("demo",)], ids=lambda arguments: arguments[0])
async def test_sigterm_ends_the_other_commands_as_well(arguments: tuple[str, ...]) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, *COMMANDS["module"], *arguments, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    code, _, said = await rest(process)
    assert (code, said) == (143, [])


def worked(process: Process) -> float:
    """The seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_ctrl_c_ends_an_inspection_whatever_the_validator_is_still_doing(tmp_path: Path) -> None:
    pipe = tmp_path / "slow.wasm"
    os.mkfifo(pipe)
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'exec "$@" < "$0"', str(pipe), sys.executable, *COMMANDS["module"], "inspect", "-"),
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        await asyncio.to_thread(pipe.write_bytes, slow_to_validate(seconds=60))
        read = worked(process)  # all but what still is in the pipe: what takes its time now is the validator
        await until(lambda: worked(process) > read + 0.5, "it validates", within=20)
    finally:
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        code, out, said = await rest(process)
    assert time.monotonic() - begun < 2
    assert (code, out, said) == (130, b"", [])


async def test_ctrl_c_while_a_file_is_validated_ends_soon(tmp_path: Path) -> None:
    path = tmp_path / "slow.wasm"
    path.write_bytes(slow_to_validate(seconds=60))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *COMMANDS["module"], "inspect", path, stdout=PIPE, stderr=PIPE
    )
    try:
        # Importing takes less than that, reading next to nothing.
        await until(lambda: worked(process) > 2.0, "it validates", within=30)
    finally:
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        code, out, said = await rest(process)
    assert time.monotonic() - begun < 2
    assert (code, out, said) == (130, b"", [])
