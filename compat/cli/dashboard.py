"""The demo on a terminal: both plugins side by side, or one above the other where there is no room, then the verdict.

A frame is never taller than the terminal. It is drawn when the performance lets the view look, and at no other time:
a thread of its own would compete with the plugins whose latencies are shown.
"""

from __future__ import annotations

import textwrap
from itertools import groupby
from operator import itemgetter
from types import TracebackType
from typing import Self

import attrs
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from adapters.contract import Candle, StreamState
from adapters.times import rfc3339
from compat.demo.chart import Window, draw, window
from compat.demo.lines import result
from compat.demo.show import Feed, Phase, Show, counted

__all__ = ["Dashboard", "Plan"]

_SIDE_BY_SIDE = 80  # columns from which both panels have room beside each other
_NARROWEST = 50
_WIDEST = 160
_BORDERS = 4  # columns of a panel that are not its content
_STORY, _SHORT_STORY = 4, 3  # rows
_VERDICT = 10  # rows
_EVIDENCE = 44  # columns from which it needs two rows and not three
_FEWEST = 4  # rows for chart and candles together
_WHO = 9  # columns

_STATES = {
    StreamState.NEW: "dim",
    StreamState.STARTING: "cyan",
    StreamState.STREAMING: "green",
    StreamState.RECOVERING: "yellow",
    StreamState.STOPPED: "dim",
    StreamState.FAILED: "red",
}
_LABELS = {StreamState.NEW: StreamState.STARTING}  # whoever watches sees no difference
_PHASES = {Phase.INTERRUPTED: "bold yellow", Phase.RECOVERING: "yellow", Phase.RECOVERED: "green", Phase.OVER: "dim"}
_COLUMNS = (
    ("opened", "open", "high", "low", "close", "volume"),
    ("opened", "open", "high", "low", "close"),
    ("opened", "close", "volume"),
    ("opened", "close"),
)
"""Of a candle: the first of these that fits is shown."""


@attrs.frozen
class Plan:
    """How a frame fits into a terminal.

    Attributes:
        stacked: Whether the panels stand one above the other.
        inner: Columns of a panel's content.
        evidence: Rows for what the plugin is, and why.
        chart: Rows of its chart.
        candles: Rows of its candles.
        story: Rows of the story below.
    """

    stacked: bool
    inner: int
    evidence: int
    chart: int
    candles: int
    story: int

    @classmethod
    def fit(cls, width: int, height: int) -> Plan | None:
        """The plan for a terminal of this size; ``None`` if it is too small."""
        width = min(width, _WIDEST)
        stacked = width < _SIDE_BY_SIDE
        panels = 2 if stacked else 1
        story = _SHORT_STORY if stacked else _STORY
        inner = (width if stacked else width // 2) - _BORDERS
        evidence = 2 if inner >= _EVIDENCE else 3
        free = height - 1 - 2 - story - panels * (evidence + 4)  # headings; borders, figures, the candles' header
        # Where it is possible, the verdict has room below the last frame.
        free = min(max(free - _VERDICT, min(free, 7 * panels)), 20) // panels
        candles = min(max(free // 3, 1), 6)
        if width < _NARROWEST or free < _FEWEST:
            return None
        return cls(stacked, inner, evidence, free - candles, candles, story)


class Dashboard:
    """Implements ``show.View`` on a terminal; a context manager, which gives the terminal back as it was.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._size = console.size
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._spinner = Spinner("dots", style="cyan")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, show: Show) -> None:
        """Draw a frame; with a verdict, the last one, and the verdict below it."""
        if self._console.size != self._size:  # the terminal has broken up the last frame, so that it cannot be replaced
            self._size = self._console.size
            self._console.clear()
        self._live.update(self._frame(show), refresh=True)
        if show.checks:
            self._live.stop()
            self._console.print(_verdict(show))

    def _frame(self, show: Show) -> RenderableType:
        plan = Plan.fit(*self._size)
        if plan is None:
            return _line("The demo goes on; this terminal is too small to show it.")
        view = window([feed.candles for feed in show.feeds.values()], _chart_columns(plan))
        # Decided beforehand: a chart that draws itself together halfway is a bad one.
        expected = show.wanted + show.encore + int(2 * show.rate)
        gap = " " if 2 * expected <= _chart_columns(plan) else ""
        panels: list[RenderableType] = [_panel(feed, view, gap, plan) for feed in show.feeds.values()]
        width = self._size.width
        return Group(_heading(show, width), self._progress(show, width), *_arranged(panels, plan), *_story(show, plan))

    def _progress(self, show: Show, width: int) -> Text:
        style = _PHASES.get(show.phase, "cyan")
        mark = self._spinner.render(show.now) if show.phase is not Phase.OVER else Text("●", style)
        line = _line()
        line.append_text(mark if isinstance(mark, Text) else Text("●", style))
        line.append(f" {show.phase}", style)
        if show.common:
            equal = f"{len(show.different)} different" if show.different else "all equal"
            _append(line, width, f"   {counted(len(show.common), 'candle')} in common, {equal}", _ahead(show))
        return line


def _line(text: str = "", style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _append(line: Text, width: int, *parts: str) -> Text:
    """Append as many of the parts as there is room for: half a part looks like a mistake."""
    for part in parts:
        if line.cell_len + len(part) > width:
            break
        line.append(part)
    return line


def _heading(show: Show, width: int) -> Text:
    line = _line().append("plugin-compat demo", "bold")
    return _append(line, width, f"   {show.market} from {show.address}", f", {show.rate:g} candles a second")


def _ahead(show: Show) -> str:
    if show.interrupted is None:
        return f"; interruption at {show.wanted}"
    return f"; {show.common_since} of {show.encore} since both are back" if show.all_back else ""


def _arranged(panels: list[RenderableType], plan: Plan) -> list[RenderableType]:
    if plan.stacked or not panels:
        return panels
    table = Table.grid(expand=False)
    for _ in panels:
        table.add_column(width=plan.inner + _BORDERS)
    table.add_row(*panels)
    return [table]


def _panel(feed: Feed, view: Window | None, gap: str, plan: Plan) -> Panel:
    style = _STATES[feed.state]
    title = _line().append(feed.name, "bold").append(f" {_LABELS.get(feed.state, feed.state)}", style)
    gaps = f", {counted(len(feed.gaps), 'gap')} told" if feed.gaps else ""
    latency = f", latency {feed.latency * 1e3:.1f} ms" if feed.latency is not None else ""
    figures = f"{feed.rate:.1f} candles a second{latency}" if feed.arrivals else "waiting for the first candle"
    evidence = textwrap.wrap(f"{feed.kind}: it {feed.reason}", plan.inner, max_lines=plan.evidence, placeholder=" ...")
    evidence += [""] * (plan.evidence - len(evidence))
    content = Group(
        *(_line(line) for line in evidence),
        _line(figures),
        *_chart(feed, view, gap, plan),
        *_candles(feed, plan),
    )
    return Panel(
        content,
        title=title,
        title_align="left",
        subtitle=_line(f"{counted(len(feed.arrivals), 'candle')}{gaps}"),
        subtitle_align="right",
        border_style=style,
        width=plan.inner + _BORDERS,
    )


def _chart_columns(plan: Plan) -> int:
    return plan.inner - 10  # a price stands beside it


def _chart(feed: Feed, view: Window | None, gap: str, plan: Plan) -> list[Text]:
    lines = [_line() for _ in range(plan.chart)]
    if view is None:
        return lines
    columns = draw(feed.candles, view, plan.chart)
    styles = [_colour(feed.candles.get(opened)) for opened in view.opened]
    for row, line in enumerate(lines):
        # In pieces of one colour, which makes a frame a third as long.
        for style, piece in groupby(zip(styles, columns, strict=True), key=itemgetter(0)):
            line.append("".join(column[row] + gap for _, column in piece), style)
    for line, price in ((lines[0], view.high), (lines[-1], view.low)):
        line.pad_right(plan.inner - len(line.plain) - len(str(price)))
        line.append(str(price), "dim")
    return lines


def _colour(candle: Candle | None) -> str:
    return "yellow" if candle is None else "green" if candle.close >= candle.open else "red"


def _candles(feed: Feed, plan: Plan) -> list[Text]:
    latest = [arrival.candle for arrival in feed.arrivals[-plan.candles :]]
    rows = [{name: name for name in _COLUMNS[0]} | {"opened": "time"}, *map(_cells, latest)]
    for names in _COLUMNS:
        widths = [max(len(row[name]) for row in rows) for name in names]
        space = min((plan.inner - sum(widths)) // (len(names) - 1), 4)
        if space > 0:
            break
    lines = [
        _line((" " * space).join(row[name].rjust(width) for name, width in zip(names, widths, strict=True)))
        for row in rows
    ]
    lines[0].stylize("dim")
    return [*lines, *(_line() for _ in range(plan.candles - len(latest)))]


def _cells(candle: Candle) -> dict[str, str]:
    return {name: str(getattr(candle, name)) for name in _COLUMNS[0]} | {"opened": rfc3339(candle.opened)[11:16]}


def _story(show: Show, plan: Plan) -> list[Text]:
    story = [happening for happening in show.happenings if not happening.routine][-plan.story :]
    lines = [
        _line(f"{happening.at:5.1f} s  ", "dim")
        .append(f"{happening.who:<{_WHO}}", "not dim")
        .append(happening.text, "not dim")
        for happening in story
    ]
    return [*lines, *(_line() for _ in range(plan.story - len(lines)))]


def _verdict(show: Show) -> RenderableType:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for feed in show.feeds.values():
        table.add_row("", Text(f"{feed.name}: {feed.summary}", "dim"))
    for check in show.checks:
        mark = Text("✓", "bold green") if check.passed else Text("✗", "bold red")
        table.add_row(mark, Text(check.text))
        for detail in check.details:
            table.add_row("", Text(detail, "red"))
    table.add_row("", Text(result(show), "bold green" if show.passed else "bold red"))
    return table
