"""Times as plugins write them, to integer nanoseconds and back. Pure functions.

RFC 3339 is read here because the standard library stops at microseconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

from detectors.wording import shown

__all__ = ["EARLIEST", "LATEST", "NUMBER", "UNITS", "moment", "nanoseconds", "rfc3339"]

# Unix seconds: the years 1 to 9999, as far as RFC 3339 and the standard library reach.
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799

#: A number, as JSON writes it.
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", re.ASCII)

#: How a number is read as a time since 1970: it is in the first unit (by the nanoseconds of one) whose border it is
#: below. So seconds reach to the year 5138, and the others begin in 1973.
UNITS: tuple[tuple[int, int], ...] = (
    (10**9, 10**11),  # seconds
    (10**6, 10**14),  # milliseconds
    (10**3, 10**17),  # microseconds
    (1, (LATEST + 1) * 10**9),  # nanoseconds
)

_FORM = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def nanoseconds(text: str) -> int:
    """Nanoseconds since 1970 UTC.

    Args:
        text: RFC 3339 with up to nine digits of fraction (more are cut off).

    Raises:
        ValueError: The text is no such time.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        msg = f"{shown(text)!r} is not an RFC 3339 time"
        raise ValueError(msg)
    date, clock, fraction, zone = match.groups()
    offset = "+00:00" if zone in "Zz" else zone
    seconds = int((datetime.fromisoformat(f"{date}T{clock}{offset}") - _EPOCH).total_seconds())
    if not EARLIEST <= seconds <= LATEST:  # by its offset
        msg = f"{text!r} is not within the years 1 to 9999 in UTC"
        raise ValueError(msg)
    return seconds * 10**9 + int((fraction or "").ljust(9, "0"))


def moment(value: object) -> int:
    """Nanoseconds since 1970 UTC, from decoded JSON.

    Args:
        value: RFC 3339, or unix time as a number or as a text of one: whole or not, 0 or more, in seconds,
            milliseconds, microseconds or nanoseconds, see ``UNITS``. A fraction counts to the nanosecond.

    Raises:
        ValueError: It is no such time.
    """
    text = value if isinstance(value, str) else str(value) if type(value) in (int, float) else ""
    if not NUMBER.fullmatch(text):
        if isinstance(value, str):
            return nanoseconds(value)
        msg = f"a JSON {type(value).__name__} is not a time"
        raise ValueError(msg)
    try:
        number = Decimal(text)
        for unit, border in UNITS:
            if 0 <= number < border:
                return int(number * unit)
    except InvalidOperation:  # its exponent is beyond what a Decimal can have
        pass
    msg = f"{shown(text)!r} is not a unix time from 1970 to 9999"
    raise ValueError(msg)


def rfc3339(value: int) -> str:
    """RFC 3339 in UTC with nine digits of fraction, from nanoseconds since 1970 UTC."""
    seconds, fraction = divmod(value, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()}.{fraction:09d}Z"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
