"""Every example as a process of its own, as a reader would run it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pykka
import pytest

from compat.demo.exchange import Exchange
from examples import actor_pykka, actor_sink
from tests.support.plugins import FIXTURES, MISBUILT, PluginFixture

pytestmark = pytest.mark.ours

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples"
KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"
CANDLE = re.compile(r"2025-01-\d\d \d\d:\d\d  [\d.]+ to [\d.]+, closed at [\d.]+")

Finished = tuple[int | None, str, str]


async def begin(*arguments: str) -> Process:
    """An example in a process; warnings are errors there too."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", *arguments, cwd=ROOT, stdout=PIPE, stderr=PIPE
    )


async def run(*arguments: str, within: float = 10.0) -> Finished:
    """Its exit code, output and errors."""
    process = await begin(*arguments)
    try:
        async with asyncio.timeout(within):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, output.decode(), errors.decode()


def commands() -> list[str]:
    """The commands in the table of the folder's README."""
    found = re.findall(r"`\.venv/bin/python (.+?)`", (FOLDER / "README.md").read_text())
    assert found
    return found


@pytest.fixture(scope="module")
def finished() -> dict[str, Finished]:
    """What became of every command of the README, all of them run at once."""

    async def run_all() -> dict[str, Finished]:
        found = await asyncio.gather(*(run(*command.split(), within=30) for command in commands()))
        return dict(zip(commands(), found, strict=True))

    return asyncio.run(run_all())


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_readme_runs_as_written(command: str, finished: dict[str, Finished]) -> None:
    code, output, errors = finished[command]
    refused = " before generic" in command or "NOPE" in command
    assert (code, bool(errors)) == ((1, True) if refused else (0, False)), errors
    assert "Traceback" not in errors
    assert refused or output


def test_the_readme_names_every_example() -> None:
    text = (FOLDER / "README.md").read_text()
    assert all(path.name in text for path in FOLDER.glob("*.py"))


def test_the_script_prints_ten_candles_of_the_simulator(finished: dict[str, Finished]) -> None:
    lines = finished["examples/script.py"][1].splitlines()
    assert len(lines) == 10
    assert all(CANDLE.fullmatch(line) for line in lines)


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.id)
async def test_the_script_runs_every_plugin(fixture: PluginFixture) -> None:
    async with Exchange(rate=100) as exchange:
        options = [f"--rewrite={prefix}={target}" for prefix, target in exchange.rewrites.items()]
        code, output, errors = await run(
            "examples/script.py", str(fixture.path), KEY, "--allow-private", "--count=3", *options
        )
    assert (code, errors) == (0, "")
    assert len(output.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no-such-file.wasm", KEY], "No such file"),
        ([str(MISBUILT), KEY], "go-command-module"),
        ([str(FIXTURES[0].path), "no key"], "is not a stream key"),
        ([str(FIXTURES[0].path), KEY, "--rewrite=wss://stream.simex.example=ws://127.0.0.1:9"], "allow_private=True"),
    ],
    ids=["no file", "no plugin", "no key", "private"],
)
async def test_the_script_tells_in_one_line_what_is_wrong(arguments: list[str], told: str) -> None:
    code, output, errors = await run("examples/script.py", *arguments)
    assert (code, output) == (1, "")
    assert told in errors
    assert len(errors.splitlines()) == 1


def test_the_task_group_follows_both_kinds_tells_events_and_ends(finished: dict[str, Finished]) -> None:
    output = finished["examples/task_group.py"][1]
    gaps = 0
    for source in ("legacy", "generic"):
        for symbol in ("BTC-USDT", "ETH-USDT"):
            of_one = re.findall(rf"^{source} +{symbol} +(.*)$", output, re.MULTILINE)
            assert sum(bool(re.fullmatch(r"[\d.]+", text)) for text in of_one) == 30
            gaps += sum(text.startswith("gap: ") for text in of_one)
    assert gaps >= 1  # one for each stream that was connected when the exchange cut all connections


async def test_one_failure_ends_the_whole_task_group() -> None:
    code, _, errors = await run("examples/task_group.py", "1000000", "BTC-USDT", "NOPE-USDT")
    assert code == 1
    assert "no market NOPE-USDT" in errors
    assert "Traceback" not in errors


def test_the_actor_of_a_plain_sink_holds_the_stream_back(finished: dict[str, Finished]) -> None:
    output = finished["examples/actor_sink.py"][1]
    assert output.splitlines()[-1] == f"handled 500 items, never more than {actor_sink.MAILBOX} in the mailbox"


def test_the_actor_of_pykka_answers_when_its_mailbox_is_empty(finished: dict[str, Finished]) -> None:
    *answers, result = finished["examples/actor_pykka.py"][1].splitlines()
    assert answers == [f"{count} candles so far, none waits" for count in range(64, 500, 64)]
    assert result.startswith("500 candles, ")


def test_an_actor_that_has_died_is_noticed() -> None:
    actor = actor_pykka.Average.start()
    with actor_pykka.simulated() as plugin, plugin.stream(KEY) as stream:
        actor.stop()
        with pytest.raises(pykka.ActorDeadError):
            actor_pykka.feed(stream, actor, 1)
    assert not pykka.ActorRegistry.get_all()


@pytest.mark.parametrize("count", ["0", "-1", "abc", "", "1.5"])
@pytest.mark.parametrize("example", ["task_group", "actor_sink", "actor_pykka", "script"])
async def test_a_count_that_is_none_is_told_in_one_line(example: str, count: str) -> None:
    code, output, errors = await run(f"examples/{example}.py", f"--count={count}" if example == "script" else count)
    assert (code, output) == (2, "")
    assert "number from 1 on" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert len(errors.splitlines()) == 1 or example == "script"  # argparse shows the usage as well


async def test_without_pykka_it_is_told_what_to_install() -> None:
    program = "import runpy, sys; sys.modules['pykka'] = None; runpy.run_path('examples/actor_pykka.py')"
    assert await run("-c", program) == (1, "", "this example needs Pykka: pip install pykka\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["examples/script.py", "--count=1000"],
        ["examples/task_group.py", "1000"],
        ["examples/actor_sink.py", "100000"],
        ["examples/actor_pykka.py", "100000"],
        ["-m", "examples.adopting", "before"],
        ["-m", "examples.adopting", "after"],
    ],
    ids=lambda arguments: " ".join(Path(argument).stem for argument in arguments),
)
@pytest.mark.parametrize("lines", [0, 1])
async def test_a_reader_that_has_seen_enough_ends_it_quietly(arguments: list[str], lines: int) -> None:
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", *arguments, cwd=ROOT, stdout=writing, stderr=PIPE
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as output:
        for _ in range(lines):
            assert await asyncio.to_thread(output.readline)
    try:
        async with asyncio.timeout(20):
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told = [line for line in errors.decode().splitlines() if not line.startswith("INFO ")]
    assert (process.returncode, told) == (0, [])


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
async def test_ctrl_c_ends_it_quickly_and_quietly(arguments: list[str]) -> None:
    process = await begin(*arguments)
    try:
        async with asyncio.timeout(30):  # it may have to compile its plugin first, on a machine with other work
            assert process.stdout is not None
            assert await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(8):
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert (process.returncode, errors.decode()) == (130, "")
