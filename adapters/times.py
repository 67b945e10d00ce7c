"""RFC 3339 times to integer nanoseconds and back. Pure functions; the standard library stops at microseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime

__all__ = ["EARLIEST", "LATEST", "nanoseconds", "rfc3339"]

# Unix seconds: the years 1 to 9999, as far as RFC 3339 and the standard library reach.
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799

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
        msg = f"{text!r} is not an RFC 3339 time"
        raise ValueError(msg)
    date, clock, fraction, zone = match.groups()
    offset = "+00:00" if zone in "Zz" else zone
    seconds = int((datetime.fromisoformat(f"{date}T{clock}{offset}") - _EPOCH).total_seconds())
    if not EARLIEST <= seconds <= LATEST:  # by its offset
        msg = f"{text!r} is not within the years 1 to 9999 in UTC"
        raise ValueError(msg)
    return seconds * 10**9 + int((fraction or "").ljust(9, "0"))


def rfc3339(value: int) -> str:
    """RFC 3339 in UTC with nine digits of fraction, from nanoseconds since 1970 UTC."""
    seconds, fraction = divmod(value, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()}.{fraction:09d}Z"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
