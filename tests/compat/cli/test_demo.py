"""``plugin-compat demo``: lines in a pipe, a picture on a terminal, and an exit code that is the verdict."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING, Any

import attrs

from adapters.contract import Candle
from compat import StreamData
from compat.cli.command import Session
from compat.demo.lines import Lines
from compat.demo.plot import Pace
from tests.support.processes import end_of, lines_until
from tests.support.terminal import on_a_terminal
from tests.support.waiting import HANG

if TYPE_CHECKING:
    import pytest

    from compat.demo.show import Show
    from tests.compat.cli.conftest import Command, Start

PACE = Pace(rate=50.0, outage=0.2, encore=3, patience=HANG, farewell=HANG)
#: The command with this pace, for the interpreter.
PACED = (
    "-c",
    f"""
from compat.cli import main
from compat.cli.command import Session
from compat.demo.plot import Pace
main(Session(pace={PACE!r}))
""",
)


def paced(**pace: Any) -> Session:
    return Session(pace=attrs.evolve(PACE, **pace))


def test_in_a_pipe_it_writes_lines_and_what_was_proven(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # which makes no moving picture
    outcome = command("demo", "--candles", 5, session=paced())
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.decode().splitlines()
    assert all(line.isascii() and line.isprintable() for line in lines)
    assert [line.split(maxsplit=1)[0] for line in lines[:4]] == ["exchange", "legacy", "generic", "demo"]
    assert re.fullmatch(r"exchange   simulated on ws://127\.0\.0\.1:\d+, 50 candles a second", lines[0])
    assert lines[1].startswith("legacy     legacy plugin, callback dialect: it exports")
    assert lines[2].startswith("generic    generic plugin: it exports")
    shown = {
        source: {line.split(maxsplit=1)[1] for line in lines if re.match(rf"{source} +\d+-", line)}
        for source in ("legacy", "generic")
    }
    assert len(shown["legacy"] & shown["generic"]) >= 8
    text = "\n".join(lines)
    assert "exchange   drops both connections" in text
    for source in shown:
        assert re.search(rf"^{source} +recovering: .*\n(.*\n)*{source} +gap before item \d+: ", text, re.MULTILINE)
        assert re.search(rf"^{source} +back after \d+\.\d s; \d+ candles? missing$", text, re.MULTILINE)
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
    outcome = command("demo", "--candles", 1, "--seed", 5, session=paced(encore=1))
    assert (outcome.code, outcome.err) == (1, "")
    lines = outcome.out.decode().splitlines()
    assert [line.split()[0] for line in lines if re.match("passed|failed", line)] == [*["failed"] * 2, *["passed"] * 4]
    assert lines[-1].startswith("result     2 of 6 checks failed, in ")


def test_it_gives_up_with_a_verdict(command: Command) -> None:
    outcome = command("demo", "--candles", 1, session=paced(patience=-HANG))
    assert (outcome.code, outcome.err) == (1, "")
    lines = outcome.out.decode().splitlines()
    assert any(line.startswith("demo       given up after ") for line in lines)
    assert "failed     0 candles from both plugins of 4 wanted, 0 of them different" in lines
    assert re.fullmatch(r"result +\d of 6 checks failed, in \d+\.\d s", lines[-1])


def test_an_interruption_is_no_error(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(show: Show) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Lines, "show", lambda _, show: interrupted(show))
    outcome = command("demo")
    assert (outcome.code, outcome.out, outcome.err) == (130, b"", "")


async def test_ctrl_c_ends_it_without_noise(start: Start) -> None:
    process = await start("demo", "--candles", 95)
    first, *_ = await lines_until(process.stdout, " open ")
    assert first.endswith(", 10 candles a second")  # for pipes
    process.send_signal(signal.SIGINT)
    end = await end_of(process)
    assert (end.code, end.err) == (130, "")
    assert b"checks" not in end.out  # it was over before its time


def test_on_a_terminal_both_are_shown_side_by_side() -> None:
    code, output = on_a_terminal("demo", "--candles", 2, columns=100, lines=30, program=PACED)
    assert code == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output)
    assert re.search(r"─ legacy \w+ ─.*─ generic \w+ ─", text)
    assert re.search(r"\d+ candles?, 1 gap told.*\d+ candles?, 1 gap told", text)
    assert text.rstrip().splitlines()[-1].strip().startswith("all 6 checks passed, in ")
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")
    # From the top of a frame to its end, and back up as far: never more than the screen.
    assert max(len(ups) // len("\x1b[1A\x1b[2K") for ups in re.findall(r"(?:\x1b\[1A\x1b\[2K)+", output)) < 30


def test_a_terminal_that_can_do_nothing_gets_lines() -> None:
    code, output = on_a_terminal("demo", "--candles", 1, program=PACED, environment={"TERM": "dumb"})
    assert code == 0
    assert "\x1b" not in output
    assert output.rstrip().splitlines()[-1].startswith("result     all 6 checks passed, in ")


def test_ctrl_c_on_a_terminal_gives_it_back_as_it_was() -> None:
    code, output = on_a_terminal("demo", "--candles", 45, columns=100, lines=30, interrupt_at="candles in common")
    assert code == 130
    assert "5 candles a second" in output  # for people who watch
    assert output.rindex("\x1b[?25h") > output.rindex("\x1b[?25l")
    assert output.endswith("\n\x1b[?25h")
    assert "Traceback" not in output
    assert "checks" not in output
