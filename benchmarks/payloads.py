"""What plugins publish of the benchmarks' candles, read cheaply: which message it was, and when it was sent.

The message's number stands in the time of the candle, and the time of sending, where there is one, in its volume:
nanoseconds of ``CLOCK_MONOTONIC``, which all processes of a machine share.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Sequence

import msgspec

from compat.demo.market import GENESIS

__all__ = ["number_and_time", "numbers_of_requests", "problems_of"]


class _Payload(msgspec.Struct):
    """A candle as any plugin of the benchmarks publishes it, or as the exchange sends it."""

    volume: int | float | str = msgspec.field(default=0)
    v: int | float | str = msgspec.field(default=0)
    timestamp: int | str = msgspec.field(default=0)
    opened: int | str = msgspec.field(default=0, name="openTime")
    t: int = msgspec.field(default=0)


class _Request(msgspec.Struct):
    """What a guest publishes."""

    data: msgspec.Raw


_read = msgspec.json.Decoder(_Payload).decode


def number_and_time(payload: bytes) -> tuple[int, int]:
    """The number of a candle's message, and when it was sent, in nanoseconds."""
    found = _read(payload)
    opened = found.timestamp or found.opened or found.t
    seconds = opened if isinstance(opened, int) else int(dt.datetime.fromisoformat(opened).timestamp())
    volume = found.volume or found.v
    return (seconds - GENESIS) // 60, int(volume.partition(".")[0] if isinstance(volume, str) else volume)


def numbers_of_requests(requests: Iterable[bytes]) -> list[int]:
    """The numbers of the messages in requests of ``publish_stream_data``."""
    decoder = msgspec.json.Decoder(_Request)
    return [number_and_time(decoder.decode(request).data)[0] for request in requests]


def problems_of(numbers: Sequence[int], sent: int, who: str = "") -> list[str]:
    """What is wrong where each of ``sent`` messages should have come once, in order."""
    if numbers == range(sent) or list(numbers) == list(range(sent)):
        return []
    missing = sorted(set(range(sent)) - set(numbers))
    found = [f"{who}{len(missing):,} of {sent:,} messages are missing, the first is {missing[0]}"] if missing else []
    turns = sum(later <= earlier for earlier, later in itertools.pairwise(numbers))
    if turns:
        found.append(f"{who}{turns:,} messages came twice or out of order")
    return found or [f"{who}{len(numbers) - sent:,} messages more came than were sent"]
