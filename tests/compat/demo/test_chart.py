"""Candlesticks: heights, holes, and a window that both charts share."""

from __future__ import annotations

from decimal import Decimal

from compat import Candle
from compat.demo.chart import HOLE, draw, window
from compat.demo.show import INTERVAL


def candle(n: int, *prices: int) -> Candle:
    opened, high, low, close = map(Decimal, prices)
    return Candle(n * INTERVAL, opened, high, low, close, Decimal(1))


def feed(*candles: Candle) -> dict[int, Candle]:
    return {each.opened: each for each in candles}


def test_a_candle_has_a_wick_a_body_and_a_wick() -> None:
    shown = feed(candle(0, 2, 8, 0, 4))
    view = window([shown], 10)
    assert view is not None
    assert [view.low, view.high] == [0, 8]
    assert draw(shown, view, 4) == ("│╽┃│",)


def test_a_rising_and_a_falling_candle_look_the_same() -> None:
    rising, falling = feed(candle(0, 2, 8, 0, 5)), feed(candle(0, 5, 8, 0, 2))
    view = window([rising, falling], 10)
    assert view is not None
    assert draw(rising, view, 4) == draw(falling, view, 4)


def test_a_candle_is_missing_if_one_before_and_one_after_it_have_come() -> None:
    one, other = feed(candle(0, 1, 1, 1, 1), candle(3, 1, 1, 1, 1)), feed(candle(1, 1, 1, 1, 1))
    view = window([one, other], 10)
    assert view is not None
    assert view.opened == tuple(n * INTERVAL for n in range(4))
    assert draw(one, view, 1) == ("╻", HOLE, HOLE, "╻")
    assert draw(other, view, 1) == (" ", "╻", " ", " ")
    assert draw({}, view, 2) == ("  ",) * 4


def test_a_window_shows_the_latest_candles_and_scales_to_them() -> None:
    shown = feed(candle(0, 1, 100, 1, 1), candle(1, 5, 6, 5, 6), candle(2, 6, 7, 6, 7))
    view = window([shown, {}], 2)
    assert view is not None
    assert view.opened == (INTERVAL, 2 * INTERVAL)
    assert [view.low, view.high] == [5, 7]
    assert draw(shown, view, 1) == ("┃", "╹")


def test_without_candles_there_is_no_window() -> None:
    assert window([{}, {}], 10) is None
