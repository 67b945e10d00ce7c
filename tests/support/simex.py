"""Running plugins against the simulated exchange, and reading what comes out as its candles."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import attrs

from compat import AdapterSettings, Backoff, Opening, StreamData
from compat.demo.exchange import Exchange
from tests.support.flavours import ASYNCIO, Flavour
from tests.support.plugins import PluginFixture

__all__ = ["QUICK", "Candle", "candle_of", "candles", "open_against"]

QUICK = Backoff(first=0.05, highest=0.2)


@attrs.frozen
class Candle:
    """A candle, however a plugin spells it: open time in unix seconds, every digit of the prices as it was sent."""

    t: int
    open: str
    high: str
    low: str
    close: str
    volume: str


def open_against(
    fixture: PluginFixture,
    exchange: Exchange,
    *,
    config: Mapping[str, Any] | None = None,
    settings: AdapterSettings | None = None,
    flavour: Flavour = ASYNCIO,
) -> Opening:
    """Open a plugin that reaches ``exchange`` and recovers quickly."""
    return flavour.open_plugin(
        fixture.path,
        name=fixture.id,
        config=config,
        rewrite=exchange.rewrites,
        allow_private=True,
        settings=settings or AdapterSettings(backoff=QUICK),
    )


def candle_of(item: StreamData) -> Candle:
    """Read an item; numbers keep their digits."""
    data = json.loads(item.data, parse_float=str, parse_int=str)
    time = data.get("openTime") or data["timestamp"]
    t = int(time) if time.isdecimal() else int(datetime.fromisoformat(time).timestamp())
    return Candle(t, *(data[name] for name in ("open", "high", "low", "close", "volume")))


def candles(exchange: Exchange, numbers: Iterable[int], symbol: str = "BTC-USDT", interval: str = "1m") -> list[Candle]:
    """What the exchange's candles of these numbers should come out as."""
    found = (exchange.market.candle(symbol, interval, n) for n in numbers)
    return [Candle(c.t, c.open, c.high, c.low, c.close, c.volume) for c in found]
