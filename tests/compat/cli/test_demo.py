"""``plugin-compat demo``: lines in a pipe, a picture on a terminal, and an exit code that is the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import attrs
import pytest

from adapters.contract import Candle
from compat import StreamData
from compat.demo import plot
from compat.demo.lines import Lines
from tests.support.terminal import on_a_terminal

if TYPE_CHECKING:
    from compat.demo.show import Show
    from tests.compat.cli.conftest import Command, Start


@pytest.mark.slow
async def test_in_a_pipe_it_writes_lines_and_what_was_proven(start: Start) -> None:
    began = time.monotonic()
    process = await start("demo")
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert time.monotonic() - began < 20
    lines = out.decode().splitlines()
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert [line.split(maxsplit=1)[0] for line in lines[:4]] == ["exchange", "legacy", "generic", "demo"]
    assert lines[1].startswith("legacy     legacy plugin, callback dialect: it exports")
    assert lines[2].startswith("generic    generic plugin: it exports")
    shown = {
        source: {line.split(maxsplit=1)[1] for line in lines if re.match(rf"{source} +\d+-", line)}
        for source in ("legacy", "generic")
    }
    assert len(shown["legacy"] & shown["generic"]) >= 30
    text = "\n".join(lines)
    assert "exchange   drops both connections" in text
    for source in shown:
        assert re.search(rf"^{source} +recovering: .*\n(.*\n)*{source} +gap before item \d+: ", text, re.MULTILINE)
        assert re.search(rf"^{source} +back after \d\.\d s; \d+ candles missing$", text, re.MULTILINE)
    assert sum(line.startswith("passed ") for line in lines) == 6
    assert re.fullmatch(r"result +all 6 checks passed, in \d+\.\d s", lines[-1])


def test_it_exits_with_1_if_the_plugins_disagree(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    read = StreamData.candle

    def read_with_a_difference(item: StreamData) -> Candle | None:
        candle = read(item)
        if candle is None or item.key.source == "legacy":
            return candle
        return attrs.evolve(candle, open=candle.open + 1)

    monkeypatch.setattr(StreamData, "candle", read_with_a_difference)
    monkeypatch.setattr(plot, "_ENCORE", 1)
    outcome = command("demo", "--candles", 1, "--seed", 5)
    assert (outcome.code, outcome.err) == (1, "")
    lines = outcome.out.decode().splitlines()
    assert [line.split()[0] for line in lines if re.match("passed|failed", line)] == [*["failed"] * 2, *["passed"] * 4]
    assert lines[-1].startswith("result     2 of 6 checks failed, in ")


def test_it_gives_up_with_a_verdict(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plot, "_PATIENCE", -5.0)
    outcome = command("demo", "--candles", 1)
    assert (outcome.code, outcome.err) == (1, "")
    lines = outcome.out.decode().splitlines()
    assert any(line.startswith("demo       given up after ") for line in lines)
    assert re.fullmatch(r"result +\d of 6 checks failed, in \d\.\d s", lines[-1])


def test_an_interruption_is_no_error(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(show: Show) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Lines, "show", lambda _, show: interrupted(show))
    outcome = command("demo")
    assert (outcome.code, outcome.out, outcome.err) == (130, b"", "")


async def test_ctrl_c_ends_it_without_noise(start: Start) -> None:
    process = await start("demo", "--candles", 10_000)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while b" open " not in await process.stdout.readline():
            pass
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(3):
        _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")


@pytest.mark.slow
def test_on_a_terminal_both_are_shown_side_by_side() -> None:
    code, output = on_a_terminal("demo", "--candles", 2, columns=100, lines=30)
    assert code == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output)
    assert re.search("legacy streaming ─.* generic streaming ─", text)
    assert re.search("legacy recovering ─.* generic recovering ─", text)
    assert "1 gap told" in text
    assert text.rstrip().splitlines()[-1].strip().startswith("all 6 checks passed, in ")
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")
    # From the top of a frame to its end, and back up as far: never more than the screen.
    assert max(len(ups) // len("\x1b[1A\x1b[2K") for ups in re.findall(r"(?:\x1b\[1A\x1b\[2K)+", output)) < 30


def test_a_terminal_that_can_do_nothing_gets_lines() -> None:
    code, output = on_a_terminal("demo", "--candles", 1, TERM="dumb")
    assert code == 0
    assert "\x1b" not in output
    assert output.rstrip().splitlines()[-1].startswith("result     all 6 checks passed, in ")


async def test_colour_that_is_forced_into_a_pipe_makes_no_moving_picture(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    process = await start("demo", "--candles", 10_000)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert (await process.stdout.readline()).startswith(b"exchange   simulated on ws://")


def test_ctrl_c_on_a_terminal_gives_it_back_as_it_was() -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "compat", "demo"],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=environment | {"TERM": "xterm-256color"},
        start_new_session=True,
    )
    os.close(theirs)
    output = bytearray()
    interrupted = False
    try:
        with contextlib.suppress(OSError):  # how a terminal tells that nobody writes to it any more
            while data := os.read(ours, 65_536):
                output += data
                if b"in common" in output and not interrupted:
                    interrupted = True
                    process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=5)
    finally:
        os.close(ours)
        process.kill()
    assert (process.returncode, err) == (130, b"")
    assert output.rindex(b"\x1b[?25h") > output.rindex(b"\x1b[?25l")
    assert output.endswith(b"\n\x1b[?25h")
    assert b"Traceback" not in output
    assert b"checks" not in output
