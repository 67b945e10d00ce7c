"""Candles in the payloads of plugins, which differ in field names, number forms and time forms. Pure functions.

A payload is passed through as the plugin wrote it; this is an optional view of it that loses no digit.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Context, Decimal, InvalidOperation
from typing import Any

import attrs

from adapters.lenient import Lenient
from adapters.times import EARLIEST, LATEST, NUMBER, nanoseconds

__all__ = ["FIELDS", "Candle", "read_candle"]

#: Where each field of a candle is found in a payload; of several names the first that is there counts.
FIELDS: dict[str, tuple[str, ...]] = {
    "opened": ("timestamp", "openTime"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume",),
}

_TO_NANOSECONDS = Context(prec=64, rounding=ROUND_FLOOR)


@attrs.frozen
class Candle:
    """One candle, every digit as the plugin wrote it.

    Attributes:
        opened: When it opened, integer nanoseconds since 1970 UTC.
        open: The first price.
        high: The highest price.
        low: The lowest price.
        close: The last price, of a candle that is still open the present one.
        volume: What was traded.
    """

    opened: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


def read_candle(data: bytes) -> Candle | None:
    """Read a payload as a candle; ``None`` if it is none.

    Args:
        data: JSON: ``{"timestamp" | "openTime", "open", "high", "low", "close", "volume"}``, whatever else it holds.
            Prices and volume are finite numbers or texts of such; the time is in unix seconds or an RFC 3339 text.
    """
    try:
        payload = _decode(data)
        opened = _nanoseconds(_find(payload, "opened"))
        prices = {field.name: _number(_find(payload, field.name)) for field in attrs.fields(Candle)[1:]}
        return Candle(opened, **prices)
    except (ValueError, InvalidOperation, RecursionError):  # also msgspec's
        return None


_decode = Lenient(dict[str, Any], float_hook=Decimal).decode


def _find(payload: dict[str, Any], field: str) -> Any:
    return next((payload[name] for name in FIELDS[field] if payload.get(name) is not None), None)


def _number(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and NUMBER.fullmatch(value):
        return Decimal(value)
    msg = "not a number"
    raise ValueError(msg)


def _nanoseconds(value: Any) -> int:
    if isinstance(value, str) and not NUMBER.fullmatch(value):
        return nanoseconds(value)
    seconds = _number(value)
    if not EARLIEST <= seconds < LATEST + 1:  # before it is multiplied: an exponent may be enormous
        msg = "not unix seconds"
        raise ValueError(msg)
    return int(_TO_NANOSECONDS.scaleb(seconds, 9).to_integral_value(ROUND_FLOOR))
