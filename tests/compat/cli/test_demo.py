"""``plugin-compat demo``: what it shows, and that its exit code is its verdict."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from typing import TYPE_CHECKING

import attrs
import pytest

from compat.demo import comparison

if TYPE_CHECKING:
    from compat import StreamData
    from compat.demo.comparison import Ohlcv
    from tests.compat.cli.conftest import Command, Start


@pytest.mark.slow
async def test_the_demo_shows_the_same_ten_candles_from_both_plugins(start: Start) -> None:
    began = time.monotonic()
    process = await start("demo")
    async with asyncio.timeout(15):
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert time.monotonic() - began < 15
    *lines, verdict = out.decode().splitlines()
    shown = {
        source: [line.split(maxsplit=1)[1] for line in lines if re.match(rf"{source} +\d", line)]
        for source in ("legacy", "generic")
    }
    assert len(set(shown["legacy"]) & set(shown["generic"])) >= 10
    assert re.fullmatch(r"result +1\d candles the same from both plugins, in \d+\.\d s", verdict)


def test_the_demo_says_which_plugin_is_which(command: Command) -> None:
    outcome = command("demo", "--candles", 1, "--seed", 5)
    lines = [line.split(maxsplit=1) for line in outcome.out.decode().splitlines()[:3]]
    assert [name for name, _ in lines] == ["exchange", "legacy", "generic"]
    assert lines[1][1].startswith("legacy plugin, callback dialect: it exports")
    assert lines[2][1].startswith("generic plugin: it exports")
    assert (outcome.code, outcome.err) == (0, "")


def test_the_demo_exits_with_1_if_the_plugins_disagree(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    read = comparison.read_candle

    def read_with_a_difference(item: StreamData) -> Ohlcv:
        candle = read(item)
        if item.key.source == "legacy":
            return candle
        return attrs.evolve(candle, prices=(candle.prices[0] + 1, *candle.prices[1:]))

    monkeypatch.setattr(comparison, "read_candle", read_with_a_difference)
    outcome = command("demo", "--candles", 1)
    assert outcome.code == 1
    lines = outcome.out.decode().splitlines()
    assert {line.split()[1] for line in lines if line.startswith("different")} == {"legacy:", "generic:"}
    assert re.fullmatch(r"result +(\d) candles in common of 1 wanted, \1 different, in .* s", lines[-1])


async def test_ctrl_c_ends_the_demo(start: Start) -> None:
    process = await start("demo", "--candles", 10_000)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        while b" open " not in await process.stdout.readline():
            pass
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(3):
        _, err = await process.communicate()
    assert (process.returncode, err.strip()) == (130, b"")
