"""Every example as a process of its own, as a reader would run it; what needs no process, in this one."""

from __future__ import annotations

import asyncio
import os
import re
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pykka
import pytest

from compat.demo.exchange import Exchange
from examples import actor_pykka, actor_sink, script, task_group
from tests.support.plugins import FIXTURES, MISBUILT, PluginFixture
from tests.support.processes import Finished, end_of, running
from tests.support.waiting import HANG

pytestmark = pytest.mark.ours

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples"
KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"
CANDLE = re.compile(r"2025-01-\d\d \d\d:\d\d  [\d.]+ to [\d.]+, closed at [\d.]+")


def begun(*arguments: str, **options: Any) -> Any:
    """An example in a process; warnings are errors there, too."""
    return running("-W", "error", *arguments, cwd=ROOT, **options)


def shows_ten_candles(end: Finished) -> None:
    lines = end.out.decode().splitlines()
    assert len(lines) == 10
    assert all(CANDLE.fullmatch(line) for line in lines)


def follows_both_kinds_and_tells_events(end: Finished) -> None:
    output = end.out.decode()
    gaps = 0
    for source in ("legacy", "generic"):
        for symbol in ("BTC-USDT", "ETH-USDT"):
            of_one = re.findall(rf"^{source} +{symbol} +(.*)$", output, re.MULTILINE)
            assert sum(bool(re.fullmatch(r"[\d.]+", text)) for text in of_one) == 30
            gaps += sum(text.startswith("gap: ") for text in of_one)
    assert gaps >= 1  # at the latest of the one that had its first item last, when the exchange cut all connections


def ends_with_the_one_that_fails(end: Finished) -> None:
    assert "no market NOPE-USDT" in end.err  # the others wait for it to begin


def holds_the_stream_back(end: Finished) -> None:
    last = end.out.decode().splitlines()[-1]
    assert last == f"handled 500 items, never more than {actor_sink.MAILBOX} in the mailbox"


def answers_when_its_mailbox_is_empty(end: Finished) -> None:
    *answers, result = end.out.decode().splitlines()
    assert answers == [f"{count} candles so far, none waits" for count in range(64, 500, 64)]
    assert result.startswith("500 candles, ")


def shows_ten_ticks(end: Finished) -> None:
    lines = end.out.decode().splitlines()
    assert len(lines) == 10
    assert all(re.fullmatch(r"(legacy|generic) BTC-USDT 1m \d\d:\d\d [\d.]+", line) for line in lines)


def cannot_be_loaded(end: Finished) -> None:
    assert "unknown import: `env::ws_connect` has not been defined" in end.err


#: The commands in the table of the folder's README, with their exit codes and what they show.
COMMANDS: dict[str, tuple[int, Callable[[Finished], None]]] = {
    "examples/script.py": (0, shows_ten_candles),
    "examples/task_group.py": (0, follows_both_kinds_and_tells_events),
    "examples/task_group.py 30 BTC-USDT NOPE-USDT": (1, ends_with_the_one_that_fails),
    "examples/actor_sink.py": (0, holds_the_stream_back),
    "examples/actor_pykka.py": (0, answers_when_its_mailbox_is_empty),
    "-m examples.adopting after legacy": (0, shows_ten_ticks),
    "-m examples.adopting after generic": (0, shows_ten_ticks),
    "-m examples.adopting before legacy": (0, shows_ten_ticks),
    "-m examples.adopting before generic": (1, cannot_be_loaded),
}


def test_these_are_the_commands_of_the_readme() -> None:
    found = re.findall(r"`\.venv/bin/python (.+?)`", (FOLDER / "README.md").read_text())
    assert found == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
async def test_every_command_of_the_readme_runs_as_written(command: str) -> None:
    code, shows_what_it_should = COMMANDS[command]
    async with begun(*command.split()) as process:
        end = await end_of(process)
    assert (end.code, bool(end.err)) == (code, code != 0), end.err
    assert "Traceback" not in end.err
    shows_what_it_should(end)


def test_the_readme_names_every_example() -> None:
    text = (FOLDER / "README.md").read_text()
    assert {path.name for path in FOLDER.glob("*.py") if f"]({path.name})" not in text} == set()


Script = Callable[..., tuple[int | str | None, str, str]]


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Runs the script in this process; returns its exit code, and what it wrote."""

    def run_here(*arguments: object) -> tuple[int | str | None, str, str]:
        monkeypatch.setattr(sys, "argv", ["script.py", *map(str, arguments)])
        try:
            code: int | str | None = script.main()
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run_here


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.id)
async def test_the_script_runs_every_plugin(run_script: Script, fixture: PluginFixture) -> None:
    async with Exchange(rate=100) as exchange:
        options = [f"--rewrite={prefix}={target}" for prefix, target in exchange.rewrites.items()]
        code, output, errors = await asyncio.to_thread(
            run_script, fixture.path, KEY, "--allow-private", "--count=3", *options
        )
    assert (code, errors) == (0, "")
    lines = output.splitlines()
    assert len(lines) == 3
    assert all(CANDLE.fullmatch(line) for line in lines)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no-such-file.wasm", KEY], "No such file"),
        ([MISBUILT, KEY], "go-command-module"),
        ([FIXTURES[0].path, "no key"], "is not a stream key"),
        ([FIXTURES[0].path, KEY, "--rewrite=wss://stream.simex.example=ws://127.0.0.1:9"], "allow_private=True"),
    ],
    ids=["no file", "no plugin", "no key", "private"],
)
def test_the_script_tells_in_one_line_what_is_wrong(run_script: Script, arguments: list[object], told: str) -> None:
    code, output, errors = run_script(*arguments)
    assert (code, output) == (1, "")
    assert told in errors
    assert len(errors.splitlines()) == 1


def test_an_actor_that_has_died_is_noticed() -> None:
    actor = actor_pykka.Average.start()
    with actor_pykka.simulated() as plugin, plugin.stream(KEY) as stream:
        actor.stop()
        with pytest.raises(pykka.ActorDeadError):
            actor_pykka.feed(stream, actor, 1, threading.Event())
    assert not pykka.ActorRegistry.get_all()


NO_COUNTS = ("0", "-1", "abc", "", "1.5")


@pytest.mark.parametrize("main", [task_group.main, actor_sink.main, actor_pykka.main], ids=lambda main: main.__module__)
def test_a_count_that_is_none_is_told_in_one_line(
    capsys: pytest.CaptureFixture[str], main: Callable[[str], int]
) -> None:
    for count in NO_COUNTS:
        assert main(count) == 2
        assert capsys.readouterr() == ("", f"COUNT is a number from 1 on, and {count!r} is none\n")


def test_a_count_of_the_script_that_is_none_is_told_after_its_usage(run_script: Script) -> None:
    for count in NO_COUNTS:
        code, output, errors = run_script(f"--count={count}")
        assert (code, output) == (2, "")
        assert errors.startswith("usage: ")
        assert errors.splitlines()[-1].endswith("error: argument --count: it is no number from 1 on")


def test_without_pykka_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pykka", None)
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(FOLDER / "actor_pykka.py"))
    assert caught.value.code == "this example needs Pykka: pip install pykka"


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["examples/script.py", "--count=1000"], 0),
        (["examples/script.py", "--count=1000"], 1),
        (["examples/task_group.py", "1000"], 0),
        (["examples/actor_sink.py", "100000"], 0),
        (["examples/actor_sink.py", "100000"], 1),  # which prints on two threads
        (["examples/actor_pykka.py", "100000"], 0),
        (["examples/actor_pykka.py", "100000"], 1),  # likewise
        (["-m", "examples.adopting", "before"], 0),
        (["-m", "examples.adopting", "after"], 0),
    ],
    ids=lambda value: value if isinstance(value, int) else " ".join(Path(argument).stem for argument in value),
)
async def test_a_reader_that_has_seen_enough_ends_it_quietly(arguments: list[str], lines: int) -> None:
    reading, writing = os.pipe()
    async with begun(*arguments, stdout=writing) as process:
        os.close(writing)
        with os.fdopen(reading, "rb") as output:
            for _ in range(lines):
                assert await asyncio.to_thread(output.readline)
        end = await end_of(process)
    told = [line for line in end.err.splitlines() if not line.startswith("INFO ")]
    assert (end.code, told) == (0, [])


@pytest.mark.parametrize(
    "arguments",
    [
        ["examples/script.py", "--count=1000000"],
        ["examples/task_group.py", "1000000"],
        ["examples/actor_sink.py", "1000000"],
        ["examples/actor_pykka.py", "1000000"],
    ],
    ids=lambda arguments: Path(arguments[0]).stem,
)
async def test_ctrl_c_ends_it_quietly(arguments: list[str]) -> None:
    async with begun(*arguments) as process, asyncio.timeout(HANG):
        assert await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        end = await end_of(process)
    assert (end.code, end.err) == (130, "")
