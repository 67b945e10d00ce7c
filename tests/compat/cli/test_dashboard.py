"""The demo's frames on terminals of several sizes: nothing cut in half, nothing taller than the screen."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from compat import StreamState
from compat.cli.dashboard import Dashboard, Plan
from compat.demo.show import Check, Phase, Show
from tests.support.shows import feed, finished_show, recovered_show

SIZES = [(120, 40), (120, 24), (100, 30), (80, 24), (79, 40), (60, 30), (50, 27), (240, 70)]


def terminal(width: int, height: int, **environment: str) -> tuple[Console, io.StringIO]:
    output = io.StringIO()
    console = Console(
        file=output,
        force_terminal=True,
        width=width,
        height=height,
        color_system="standard",
        legacy_windows=False,
        _environ=environment,
    )
    return console, output


def frame(show: Show, width: int, height: int) -> list[str]:
    """The lines of one frame, as they stand on the screen."""
    console, _ = terminal(width, height)
    lines = console.render_lines(Dashboard(console)._frame(show), pad=False)
    return ["".join(segment.text for segment in line) for line in lines]


def starting_show() -> Show:
    show = Show(wanted=10, encore=5, rate=5.0, market="BTC-USDT 1m", address="ws://127.0.0.1:12345")
    for name in ("legacy", "generic"):
        show.introduce(0.1, feed(name))
    return show


SHOWS = {
    "empty": lambda: Show(wanted=1, encore=1, rate=5.0, market="BTC-USDT 1m"),
    "starting": starting_show,
    "recovered": recovered_show,
    "finished": finished_show,
}


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("make", SHOWS.values(), ids=SHOWS)
def test_a_frame_fits_into_the_terminal(make: object, size: tuple[int, int]) -> None:
    assert callable(make)
    lines = frame(make(), *size)
    assert len(lines) < size[1]
    assert max(map(len, lines)) <= size[0]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_frame_keeps_its_height_from_the_beginning_to_the_end(size: tuple[int, int]) -> None:
    assert len({len(frame(make(), *size)) for name, make in SHOWS.items() if name != "empty"}) == 1


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_borders_stand_below_each_other(size: tuple[int, int]) -> None:
    lines = frame(recovered_show(), *size)
    tops = [line for line in lines if "╭" in line]
    inside = [line for line in lines if line.startswith("│ ")]  # a candle's wick never stands at the edge
    assert len(tops) == (2 if size[0] < 80 else 1)
    assert len({tuple(match.start() for match in re.finditer("[╭╮]", top)) for top in tops}) == 1
    for line in inside:
        assert (line[0], line.rstrip()[-1], len(line.rstrip())) == ("│", "│", len(tops[0].rstrip()))


def test_side_by_side_at_120_columns() -> None:
    text = "\n".join(frame(recovered_show(), 120, 40))
    assert re.search("─ legacy streaming ─.*─ generic streaming ─", text)
    assert "plugin-compat demo   BTC-USDT 1m from ws://127.0.0.1:1, 5 candles a second" in text
    assert "both are back   7 candles in common, all equal; 2 of 2 since both are back" in text
    assert "5.0 candles a second, latency 2.0 ms" in text
    assert text.count("8 candles, 1 gap told") == 1
    assert text.count("7 candles, 1 gap told") == 1
    assert "░ ░ ░" in text
    assert re.search(r"time +open +high +low +close +volume", text)
    assert "  3.5 s  generic  back after 1.5 s; 4 candles missing" in text


def test_what_a_stream_does_stands_beside_its_name() -> None:
    show = recovered_show()
    for state in (StreamState.STARTING, StreamState.RECOVERING, StreamState.FAILED):
        show.feeds["legacy"].state = state
        assert re.search(f"─ legacy {state} ─.*─ generic streaming ─", "\n".join(frame(show, 100, 30)))


def test_one_above_the_other_at_60_columns() -> None:
    lines = frame(recovered_show(), 60, 30)
    names = ("legacy", "generic")
    above, below = (next(n for n, line in enumerate(lines) if f"─ {name} streaming" in line) for name in names)
    assert below > above + 8
    assert not any("…" in line for line in lines[:-3])  # only the story is cut, with a sign that it is


def test_a_terminal_that_is_too_small_has_no_plan() -> None:
    assert Plan.fit(49, 50) is None
    assert Plan.fit(100, 12) is None
    assert Plan.fit(60, 20) is None
    assert frame(recovered_show(), 40, 10) == ["The demo goes on; this terminal is too …"]


def test_it_hides_the_cursor_draws_and_ends_with_the_verdict() -> None:
    console, output = terminal(100, 40)
    show = finished_show()
    show.checks = (*show.checks, Check(False, "pigs fly", ("one did not",)))
    with Dashboard(console) as dashboard:
        dashboard.show(starting_show())
        dashboard.show(show)
    text = output.getvalue()
    assert text.index("\x1b[?25l") < text.index("waiting for the first candle")
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    *_, lines = plain.rpartition("legacy: 8 candles, from socket to consumer in")
    assert [line[0] for line in lines.splitlines()[1:]] == [" ", *"✓✓✓✓✓✓", "✗", " ", " "]
    assert lines.rstrip().endswith("1 of 7 checks failed, in 3.5 s")
    assert "\x1b[1;32m✓" in text
    assert "\x1b[1;31m✗" in text


def test_colours_are_left_out_where_nobody_wants_them() -> None:
    console, output = terminal(100, 40, NO_COLOR="1")
    with Dashboard(console) as dashboard:
        dashboard.show(finished_show())
    styles = {code for codes in re.findall(r"\x1b\[([0-9;]*)m", output.getvalue()) for code in codes.split(";")}
    assert styles <= {"0", "1", "2", ""}


def test_after_a_change_of_size_the_screen_is_drawn_anew() -> None:
    console, output = terminal(100, 40)
    with Dashboard(console) as dashboard:
        dashboard.show(recovered_show())
        before = len(output.getvalue())
        console.width = 70
        dashboard.show(recovered_show())
    assert output.getvalue()[before:].startswith("\x1b[2J\x1b[H")


def test_what_differs_is_told_while_it_is_watched() -> None:
    show = recovered_show()
    at = show.common[0]
    show.feeds["legacy"].candles[at] = show.feeds["legacy"].candles[show.common[1]]
    assert "7 candles in common, 1 different" in "\n".join(frame(show, 120, 40))
    show.phase, show.interrupted = Phase.STREAMING, None
    assert "; interruption at 4" in "\n".join(frame(show, 120, 40))
