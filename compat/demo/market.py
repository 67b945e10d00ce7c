"""The prices of the simulated exchange: a random walk that is a pure function of its seed.

This room knows numbers and nothing else: no clock, no socket, no JSON. The same ``(seed, symbol, interval, n)`` gives
the same candle in every process and in whatever order candles are asked for.

Prices are walked in integers, so that ``open(n) == close(n - 1)`` to the last digit: in fractions of a tick, lest
rounding pull the walk down. Each candle draws its move, its wicks and its volume from 64 bits that depend on ``n``
alone; only the closes are remembered (8 bytes each), because a walk cannot be entered in the middle.
"""

from __future__ import annotations

import hashlib
import re
from array import array

import attrs

from detectors.errors import UsageError

__all__ = ["GENESIS", "Candle", "Market", "interval_seconds"]

GENESIS = 1_735_689_600
"""Open time of candle 0, unix seconds: 2025-01-01T00:00:00Z."""

PRICE_TICKS = 100
"""Ticks in one unit of the quote currency: prices have two decimals."""

VOLUME_TICKS = 10_000
"""Ticks in one unit of the base currency: volumes have four decimals."""

_SYMBOL = re.compile(r"[A-Z0-9]+-[A-Z0-9]+")
_INTERVAL = re.compile(r"([1-9][0-9]*)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_MASK = (1 << 64) - 1

# One candle moves by at most 2**-8 of the price (0.4 %) and is pulled back by 2**-14 of its distance from the first
# price: a million candles later the price is still one that a reader would believe, and never near zero.
_MOVE_SHIFT = 22
_WICK_SHIFT = 18
_PULL_SHIFT = 14

_FINE_SHIFT = 20
"""A walk counts in 2**-20 of a tick."""


@attrs.frozen
class Candle:
    """One candle: prices and volume as decimal strings, as exchanges send them, open time ``t`` in unix seconds."""

    symbol: str
    interval: str
    n: int
    t: int
    open: str
    high: str
    low: str
    close: str
    volume: str


@attrs.frozen
class _Walk:
    """The closes of one market so far, fine: ``closes[n]`` is the *open* of candle n, ``closes[0]`` the first price."""

    key: int
    seconds: int
    closes: array[int]


class Market:
    """All candles of some symbols in some intervals.

    Args:
        seed: Decides every price.
        symbols: ``BASE-QUOTE``, upper case.
        intervals: A number and one of ``s``, ``m``, ``h``, ``d``: ``1m``, ``5m``, ``1h``.

    Raises:
        UsageError: A symbol or an interval is not of that form.
    """

    def __init__(self, seed: int, symbols: tuple[str, ...], intervals: tuple[str, ...]) -> None:
        self.symbols = symbols
        self.intervals = intervals
        self._walks: dict[tuple[str, str], _Walk] = {}
        for symbol in symbols:
            if not _SYMBOL.fullmatch(symbol):
                raise UsageError(f"{symbol!r} is not a market symbol", remedy="Write it as BASE-QUOTE: BTC-USDT.")
            for interval in intervals:
                key = _digest(f"{seed}/{symbol}/{interval}")
                first = array("q", [_first_price(_digest(f"{seed}/{symbol}")) << _FINE_SHIFT])
                self._walks[symbol, interval] = _Walk(key, interval_seconds(interval), first)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every ``(symbol, interval)`` that has candles, in the order given."""
        return tuple(self._walks)

    def candle(self, symbol: str, interval: str, n: int) -> Candle:
        """The candle number ``n``, counted from 0.

        Asked in sequence it costs the same each time; a first look far ahead walks there once (about 1 s a million).

        Raises:
            UsageError: There is no such market, or ``n`` is negative.
        """
        walk = self._walks.get((symbol, interval))
        if walk is None or n < 0:
            raise UsageError(f"no candle {n} of {symbol} {interval}", remedy=f"Markets: {self.pairs}.")
        closes = walk.closes
        while len(closes) <= n + 1:
            closes.append(_next_close(closes[-1], closes[0], _mix(walk.key + len(closes) - 1)))
        opened, closed = closes[n] >> _FINE_SHIFT, closes[n + 1] >> _FINE_SHIFT
        bits = _mix(walk.key + n)
        high = max(opened, closed) + (opened * (bits >> 24 & 0xFF) >> _WICK_SHIFT)
        low = min(opened, closed) - (opened * (bits >> 32 & 0xFF) >> _WICK_SHIFT)
        volume = 1 + (bits >> 40) % (50 * VOLUME_TICKS)
        return Candle(
            symbol,
            interval,
            n,
            GENESIS + n * walk.seconds,
            _price(opened),
            _price(high),
            _price(low),
            _price(closed),
            f"{volume // VOLUME_TICKS}.{volume % VOLUME_TICKS:04d}",
        )


def interval_seconds(interval: str) -> int:
    """The length of an interval in seconds. Raises ``UsageError`` if it is none."""
    match = _INTERVAL.fullmatch(interval)
    if match is None:
        raise UsageError(f"{interval!r} is not a candle interval", remedy="Write a number and s, m, h or d: 5m.")
    return int(match[1]) * _SECONDS[match[2]]


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())


def _first_price(bits: int) -> int:
    """Between 100 and 100,000, each order of magnitude as likely as the next; in ticks."""
    magnitude: int = PRICE_TICKS * (100, 1_000, 10_000)[bits % 3]
    return magnitude + (bits >> 8) % (9 * magnitude)


def _mix(counter: int) -> int:
    """64 well-mixed bits for a counter: the output function of SplitMix64."""
    z = (counter * 0x9E3779B97F4A7C15) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _next_close(opened: int, anchor: int, bits: int) -> int:
    # Two draws added make small moves likelier than large ones.
    move = (bits & 0x3FFF) + (bits >> 14 & 0x3FF) * 16 - 0x3FF8
    return opened + (opened * move >> _MOVE_SHIFT) + ((anchor - opened) >> _PULL_SHIFT)


def _price(ticks: int) -> str:
    return f"{ticks // PRICE_TICKS}.{ticks % PRICE_TICKS:02d}"
