"""The candle laws, and that a candle depends on nothing but its seed, market and number."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compat.demo.market import GENESIS, Market
from detectors.errors import UsageError

SYMBOLS = ("BTC-USDT", "ETH-USDT")
INTERVALS = ("1m", "5m", "1h")

seeds = st.integers()
symbols = st.sampled_from(SYMBOLS)
intervals = st.sampled_from(INTERVALS)
numbers = st.integers(min_value=0, max_value=2_000)


def market(seed: int) -> Market:
    return Market(seed, SYMBOLS, INTERVALS)


@given(seeds, symbols, intervals, st.lists(numbers, max_size=5), numbers)
def test_a_candle_does_not_depend_on_what_was_asked_before(
    seed: int, symbol: str, interval: str, before: list[int], n: int
) -> None:
    asked = market(seed)
    for earlier in before:
        asked.candle(symbol, interval, earlier)
    assert asked.candle(symbol, interval, n) == market(seed).candle(symbol, interval, n)


@given(seeds, symbols, intervals, numbers)
def test_low_and_high_enclose_open_and_close(seed: int, symbol: str, interval: str, n: int) -> None:
    candle = market(seed).candle(symbol, interval, n)
    low, high, opened, closed = map(Decimal, (candle.low, candle.high, candle.open, candle.close))
    assert 0 < low <= min(opened, closed) <= max(opened, closed) <= high
    assert Decimal(candle.volume) > 0


@given(seeds, symbols, intervals, numbers)
def test_a_candle_opens_where_the_one_before_closed(seed: int, symbol: str, interval: str, n: int) -> None:
    walked = market(seed)
    before, after = walked.candle(symbol, interval, n), walked.candle(symbol, interval, n + 1)
    assert after.open == before.close


@given(seeds, symbols, numbers)
def test_open_times_are_an_interval_apart(seed: int, symbol: str, n: int) -> None:
    walked = market(seed)
    times = [walked.candle(symbol, interval, n).t - GENESIS for interval in INTERVALS]
    assert times == [n * 60, n * 300, n * 3_600]


@given(seeds, symbols, intervals, numbers)
def test_numbers_have_a_fixed_precision(seed: int, symbol: str, interval: str, n: int) -> None:
    candle = market(seed).candle(symbol, interval, n)
    for price in (candle.open, candle.high, candle.low, candle.close):
        assert re.fullmatch(r"[1-9][0-9]*\.[0-9]{2}", price)
    assert re.fullmatch(r"[0-9]+\.[0-9]{4}", candle.volume)


def test_seeds_symbols_and_intervals_make_different_walks() -> None:
    closes = {
        tuple(market(seed).candle(symbol, interval, n).close for n in range(10))
        for seed in range(3)
        for symbol in SYMBOLS
        for interval in INTERVALS
    }
    assert len(closes) == 3 * len(SYMBOLS) * len(INTERVALS)


@pytest.mark.ours
@pytest.mark.parametrize("candles", [50_000, pytest.param(1_000_000, marks=pytest.mark.nightly)])
def test_the_walk_is_still_near_its_first_price_after_very_many_candles(candles: int) -> None:
    walked = market(7)
    first = Decimal(walked.candle("BTC-USDT", "1m", 0).open)
    prices = [Decimal(walked.candle("BTC-USDT", "1m", n).close) for n in range(0, candles + 1, candles // 100)]
    assert first / 4 < min(prices) < first < max(prices) < first * 4
    assert len(set(prices)) > 95


def test_the_candles_of_a_seed_never_change() -> None:
    candle = market(0).candle("BTC-USDT", "1m", 3)
    assert (candle.open, candle.high, candle.low, candle.close, candle.volume) == (
        "7149.40",
        "7152.89",
        "7142.12",
        "7146.83",
        "22.8776",
    )


def test_pairs_are_every_symbol_in_every_interval() -> None:
    assert Market(0, ("A-B", "C-D"), ("1s", "2d")).pairs == (
        ("A-B", "1s"),
        ("A-B", "2d"),
        ("C-D", "1s"),
        ("C-D", "2d"),
    )


@pytest.mark.parametrize("symbol", ["BTC", "btc-usdt", 'BTC-"', "", "A-B-C"])
def test_a_symbol_that_is_not_base_and_quote_is_refused(symbol: str) -> None:
    with pytest.raises(UsageError, match="not a market symbol"):
        Market(0, (symbol,), ("1m",))


@pytest.mark.parametrize("interval", ["", "m", "0m", "1x", "1.5h", "1m "])
def test_an_interval_that_is_not_one_is_refused(interval: str) -> None:
    with pytest.raises(UsageError, match="not a candle interval"):
        Market(0, ("BTC-USDT",), (interval,))


@pytest.mark.parametrize(("symbol", "interval", "n"), [("X-Y", "1m", 0), ("BTC-USDT", "9m", 0), ("BTC-USDT", "1m", -1)])
def test_a_candle_that_does_not_exist_is_refused(symbol: str, interval: str, n: int) -> None:
    with pytest.raises(UsageError, match="no candle"):
        market(0).candle(symbol, interval, n)
