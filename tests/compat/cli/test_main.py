"""The command line as a whole: the installed command, its help, and how it ends."""

from __future__ import annotations

import importlib.metadata
import os
import re
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from compat.cli import cli
from compat.demo.exchange import Exchange
from tests.support.plugins import FIXTURES, MISBUILT
from tests.support.processes import COMPAT, INSTALLED, end_of, python
from tests.support.terminal import on_a_terminal

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command, Start

PLUGIN = FIXTURES[0].path
KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"


def test_the_installed_command_tells_its_version() -> None:
    end = python(INSTALLED, "--version")
    assert (end.code, end.err) == (0, "")
    assert end.out.decode().split()[-1] == importlib.metadata.version("plugin-compat")


def test_neither_the_version_nor_the_import_loads_what_takes_its_time() -> None:
    """Not what runs plugins, nor what the other commands need."""
    costly = {"adapters", "asyncio", "click", "detectors", "extism", "extism_sys", "httpx", "rich", "wasmtime"}
    for arguments in (("-m", "compat", "--version"), ("-c", "import compat")):
        end = python("-X", "importtime", *arguments)
        loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in end.err.splitlines()}
        assert end.code == 0
        assert "compat" in loaded
        assert not costly & loaded


def test_the_version_is_told_alike_with_and_without_the_other_commands(command: Command) -> None:
    outcome = command("--version")
    assert (outcome.code, outcome.out) == (0, python("-m", "compat", "--version").out)


def test_the_module_is_the_command() -> None:
    end = python(*COMPAT, "inspect", PLUGIN)
    assert (end.code, end.err) == (0, "")
    assert end.out.startswith(f"{PLUGIN}: legacy".encode())


def test_running_the_module_is_running_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["plugin-compat", "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("compat", run_name="__main__")
    assert stop.value.code == 0
    assert "Run legacy and generic WebAssembly datasource plugins" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [(), *((name,) for name in cli.commands)], ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_goes_to_stdout(command: Command, arguments: tuple[str, ...], option: str) -> None:
    outcome = command(*arguments, option)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(" ".join(["Usage: plugin-compat", *arguments, "["]).encode())


def test_the_commands_are_listed_in_the_order_in_which_they_are_needed(command: Command) -> None:
    listed = command("--help").out.decode().partition("Commands:\n")[2].partition("\n\n")[0]
    names = [line.split()[0] for line in listed.splitlines()]
    assert names == ["demo", "inspect", "info", "run", "call", "simulate", "completion"]
    assert all(len(line.split()) > 3 for line in listed.splitlines())
    assert "..." not in listed


def test_every_option_of_every_command_has_a_help_text() -> None:
    for name, found in cli.commands.items():
        for parameter in found.params:
            assert isinstance(parameter, click.Argument) or parameter.help, f"{name} {parameter.name}"


def test_debug_may_stand_before_the_command(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, RuntimeError("something odd"))
    assert command("--debug", "run", PLUGIN, KEY).err.startswith("Traceback (most recent call last):\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize(("arguments", "code"), [(("run", "missing.wasm", KEY), 2), (("info", MISBUILT), 1)])
def test_the_exit_code_is_kept_even_if_nobody_can_be_told(arguments: tuple[object, ...], code: int) -> None:
    with Path("/dev/full").open("w") as full:
        assert python(*COMPAT, *arguments, stderr=full).code == code


def test_without_a_command_the_help_is_shown(command: Command) -> None:
    outcome = command()
    assert (outcome.code, outcome.out) == (2, b"")
    assert "Commands:" in outcome.err


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(sys.modules["compat.cli.parameters"], "open_plugin", fail)


def test_an_interruption_exits_with_130(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    outcome = command("run", PLUGIN, KEY)
    assert (outcome.code, outcome.out, outcome.err.strip()) == (130, b"", "")


def test_an_error_of_the_system_names_the_file(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, OSError(28, "No space left on device", "/tmp/x"))
    outcome = command("run", PLUGIN, KEY)
    assert outcome.code == 1
    assert outcome.err.splitlines() == [
        "error: /tmp/x: No space left on device",
        "  Make room where the output goes, or write it elsewhere",
    ]


def test_a_defect_is_told_as_one_without_a_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, RuntimeError("something\nodd about correct-horse"))
    outcome = command("run", PLUGIN, KEY, "--config", "api_key=correct-horse")
    assert (outcome.code, outcome.out) == (1, b"")
    what, remedy = outcome.err.splitlines()
    assert what == "error: unexpected RuntimeError: something odd about ***"
    assert "--debug" in remedy


def test_debug_shows_the_traceback_without_secrets(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, RuntimeError("something odd about correct-horse"))
    outcome = command("run", PLUGIN, KEY, "--config", "api_key=correct-horse", "--debug")
    assert outcome.code == 1
    assert outcome.err.startswith("Traceback (most recent call last):\n")
    assert "RuntimeError: something odd about ***" in outcome.err
    assert "horse" not in outcome.err


async def test_debug_shows_what_the_library_logs_and_nothing_of_other_libraries(start: Start) -> None:
    async with Exchange(mode="replay", limit=1) as exchange:
        options = [part for pair in exchange.rewrites.items() for part in ("--rewrite", "=".join(pair))]
        secret = ("--config", "api_key=correct-horse")
        end = await end_of(
            await start("run", PLUGIN, KEY, *options, "--allow-private", "--count", 1, "--debug", *secret)
        )
    assert end.code == 0
    assert f"compat.plugin.legacy: stream {KEY}, item 0: starting" in end.err
    *logged, last = end.err.splitlines()
    assert all(line.startswith("compat.") for line in logged)
    assert last.endswith(" 1 item, 0 gaps")
    assert "horse" not in end.err


# More than fits into a pipe, and less.
@pytest.mark.parametrize("arguments", [("inspect", *[PLUGIN] * 300), ("call", PLUGIN, "get_name")])
async def test_a_reader_that_has_gone_is_no_failure(start: Start, arguments: tuple[object, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = await start(*arguments, stdout=writing)
    os.close(writing)
    end = await end_of(process)
    assert (end.code, end.err) == (0, "")


SEEN = re.compile(r"\x1b\[[0-9;]*m")


def test_lists_are_broken_to_the_width_of_a_terminal() -> None:
    _, shown = on_a_terminal("inspect", PLUGIN, columns=60)
    lines = [line for line in SEEN.sub("", shown).splitlines() if line.startswith((" " * 11, "  exports"))]
    assert len(lines) > 3
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}], ids=str)
def test_colours_are_for_terminals_that_want_them_in_reports_and_errors(environment: dict[str, str]) -> None:
    code, shown = on_a_terminal("inspect", MISBUILT, "/proc/self/mem", environment=environment)
    report, mark, error = shown.partition("error:")
    assert (code, mark) == (1, "error:")
    assert "go-command-module" in report
    assert "/proc/self/mem: Input/output error" in error
    assert [bool(SEEN.search(report)), bool(SEEN.search(error))] == [not environment] * 2


def test_wrong_usage_is_not_told_in_colours_that_nobody_wants() -> None:
    code, shown = on_a_terminal("inspect", "missing.wasm", environment={"NO_COLOR": "1"})
    assert (code, shown.partition("'missing.wasm'")[0]) == (2, "error: Invalid value for 'PATH...': ")
    assert not SEEN.search(shown)
