"""The command line as a whole: the installed command, wrong usage, and how it ends."""

from __future__ import annotations

import asyncio
import importlib.metadata
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.plugins import FIXTURES

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command, Start

PLUGIN = FIXTURES[0].path
KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"


async def test_the_installed_command_tells_its_version() -> None:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("plugin-compat"), "--version", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    assert importlib.metadata.version("plugin-compat") in out.decode()


async def test_the_module_is_the_command(start: Start) -> None:
    process = await start("inspect", PLUGIN)
    out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(f"{PLUGIN}: legacy".encode())


def test_running_the_module_is_running_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["plugin-compat", "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("compat", run_name="__main__")
    assert stop.value.code == 0
    assert "Run legacy and generic datasource plugins" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("run", "-h"), ("inspect", "-h"), ("demo", "-h")])
def test_help_goes_to_stdout(command: Command, arguments: tuple[str, ...]) -> None:
    outcome = command(*arguments)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(b"Usage: ")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ((), "Commands:"),
        (("stream",), "No such command 'stream'"),
        (("--verbose",), "--verbose"),
        (("inspect",), "Missing argument 'FILES...'"),
        (("inspect", "missing.wasm"), "'missing.wasm' does not exist"),
        (("inspect", PLUGIN.parent), "is a directory"),
        (("inspect", PLUGIN, "missing.wasm"), "'missing.wasm' does not exist"),
        (("inspect", PLUGIN, "--format", "xml"), "'text', 'json'"),
        (("run", PLUGIN), "Missing argument 'KEY'"),
        (("run", "missing.wasm", KEY), "'missing.wasm' does not exist"),
        (("run", PLUGIN, "ohlcv:simex"), "The form is type:source:identifier?name=value"),
        (("run", PLUGIN, "ohlcv:simex:BTC?timeframe"), "has no value"),
        (("run", PLUGIN, KEY, "--count", "0"), "x>=1"),
        (("run", PLUGIN, KEY, "--count", "many"), "'many' is not a valid integer"),
        (("run", PLUGIN, KEY, "--format", "json"), "'text', 'ndjson'"),
        (("run", PLUGIN, KEY, "--rewrite", "wss://a.example"), "FROM=TO"),
        (("run", PLUGIN, KEY, "--rewrite", "a.example=ws://127.0.0.1:1"), "FROM=TO"),
        (("run", PLUGIN, KEY, "--config", "api_key"), "NAME=VALUE"),
        (("run", PLUGIN, KEY, "--everything"), "--everything"),
        (("demo", "--candles", "0"), "1<=x<=10000"),
        (("demo", "--seed", "x"), "'x' is not a valid integer"),
    ],
    ids=lambda value: " ".join(Path(str(part)).name for part in value) if isinstance(value, tuple) else "",
)
def test_wrong_usage_says_what_is_wrong_and_exits_with_2(
    command: Command, arguments: tuple[object, ...], hint: str
) -> None:
    outcome = command(*arguments)
    assert outcome.code == 2
    assert outcome.out == b""
    assert outcome.err.startswith("Usage: ")
    assert hint in " ".join(outcome.err.split())


@pytest.mark.parametrize("text", ["correct-horse", "=correct-horse"])
def test_a_value_in_the_wrong_form_is_not_repeated_for_it_may_be_a_secret(command: Command, text: str) -> None:
    outcome = command("run", PLUGIN, KEY, "--config", text)
    assert outcome.code == 2
    assert "'--config'" in outcome.err
    assert "horse" not in outcome.err


async def test_wrong_usage_of_the_real_command_shows_no_traceback(start: Start) -> None:
    process = await start("run", PLUGIN, "nonsense")
    out, err = await process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert b"Traceback" not in err


def test_an_interruption_exits_with_130(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["compat.cli.run"], "open_plugin", interrupted)
    outcome = command("run", PLUGIN, KEY)
    assert (outcome.code, outcome.out, outcome.err.strip()) == (130, b"", "")
