"""The texts of the exchange's protocol: what a client may say, and how the exchange says things.

Client to server, JSON: ``{"op": "subscribe" | "unsubscribe", "channel": "kline", "symbol", "interval", "id"?}``,
``{"op": "ping" | "pong", "ts"?}``. Everything the server says has an ``"event"``. Pings and pongs a client may say in
the server's words, too: ``{"event": "ping" | "pong", "ts"?}``, so that a ping is answered by the same object.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Literal

import attrs
import msgspec

if TYPE_CHECKING:
    from compat.demo.market import Candle

__all__ = ["Command", "encode", "kline", "parse"]


@attrs.frozen(kw_only=True)
class Command:
    """What a client said. Only ``op`` is sure to be there; which of the others are needed depends on it."""

    op: str
    channel: str | None = None
    symbol: str | None = None
    interval: str | None = None
    id: int | str | None = None
    ts: int | float | str | None = None


@attrs.frozen(kw_only=True)
class _Heartbeat:
    """A command in the server's words."""

    event: Literal["ping", "pong"]
    ts: int | float | str | None = None


def parse(text: str | bytes) -> Command | None:
    """The command in a text, or ``None`` if there is none."""
    with contextlib.suppress(msgspec.DecodeError, UnicodeError):
        return msgspec.json.decode(text, type=Command)
    with contextlib.suppress(msgspec.DecodeError, UnicodeError):
        heartbeat = msgspec.json.decode(text, type=_Heartbeat)
        return Command(op=heartbeat.event, ts=heartbeat.ts)
    return None


def encode(**fields: object) -> str:
    """A JSON object of these fields, without those that are ``None``."""
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None}).decode()


def kline(candle: Candle, pad: int = 0) -> str:
    """A candle as the exchange sends it, with a filler of so many bytes.

    Written out by hand because it is the flood's inner loop; nothing in a candle ever needs escaping in JSON.
    """
    filler = f',"pad":"{"x" * pad}"' if pad else ""
    return (
        f'{{"event":"kline","channel":"kline","symbol":"{candle.symbol}","interval":"{candle.interval}",'
        f'"t":{candle.t},"o":"{candle.open}","h":"{candle.high}","l":"{candle.low}","c":"{candle.close}",'
        f'"v":"{candle.volume}"{filler}}}'
    )
