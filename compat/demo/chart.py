"""Candlesticks out of box-drawing characters: one column a candle, two heights a row, holes where candles are missing.

Pure functions. Colours are the view's business; a column has one, so it can be told from the candle alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import attrs

from adapters.contract import Candle
from compat.demo.show import INTERVAL

__all__ = ["HOLE", "Window", "draw", "window"]

HOLE = "░"
"""Stands where a candle is missing: a later one has come."""

_NOTHING, _WICK, _BODY = range(3)
_STROKES = {
    (_NOTHING, _NOTHING): " ",
    (_NOTHING, _WICK): "╷",
    (_NOTHING, _BODY): "╻",
    (_WICK, _NOTHING): "╵",
    (_WICK, _WICK): "│",
    (_WICK, _BODY): "╽",
    (_BODY, _NOTHING): "╹",
    (_BODY, _WICK): "╿",
    (_BODY, _BODY): "┃",
}
"""By what stands in the upper and in the lower half of a cell."""


@attrs.frozen
class Window:
    """What charts that stand side by side have in common.

    Attributes:
        opened: The open time of each column.
        low: The price at the bottom.
        high: The price at the top.
    """

    opened: tuple[int, ...]
    low: Decimal
    high: Decimal


def window(feeds: Sequence[Mapping[int, Candle]], columns: int) -> Window | None:
    """The window of the latest candles of all feeds, which are given by open time; ``None`` if there are none."""
    times = [opened for feed in feeds for opened in feed]
    if not times:
        return None
    latest = max(times)
    first = max(min(times), latest - (columns - 1) * INTERVAL)
    opened = tuple(range(first, latest + 1, INTERVAL))
    shown = [feed[at] for feed in feeds for at in opened if at in feed]
    return Window(opened, min(candle.low for candle in shown), max(candle.high for candle in shown))


def draw(candles: Mapping[int, Candle], view: Window, rows: int) -> tuple[str, ...]:
    """The columns of a window from left to right, each ``rows`` characters from top to bottom."""
    begun, latest = min(candles, default=0), max(candles, default=0)
    return tuple(
        _column(candles[opened], view, rows) if opened in candles else (HOLE if begun < opened < latest else " ") * rows
        for opened in view.opened
    )


def _column(candle: Candle, view: Window, rows: int) -> str:
    halves = [_NOTHING] * (rows * 2)
    body = sorted((candle.open, candle.close))
    for (bottom, top), stroke in (((candle.low, candle.high), _WICK), (body, _BODY)):
        for half in range(_half(bottom, view, rows), _half(top, view, rows) + 1):
            halves[half] = stroke
    return "".join(_STROKES[halves[2 * row + 1], halves[2 * row]] for row in reversed(range(rows)))


def _half(price: Decimal, view: Window, rows: int) -> int:
    """Which half of a row a price is in, counted from the bottom."""
    span = view.high - view.low
    return min(int((price - view.low) * 2 * rows / span), 2 * rows - 1) if span else 0
