"""Running plugins against the simulated exchange, and reading what comes out as its candles."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import attrs

from compat import AdapterSettings, Backoff, Bounds, Opening, PingingSocket, Progress, StreamData, WebSocketConnector
from compat.demo.exchange import Exchange
from tests.support.flavours import ASYNCIO, Flavour
from tests.support.plugins import PluginFixture
from tests.support.waiting import HANG

__all__ = ["QUICK", "Brisk", "Candle", "candle_of", "candles", "open_against", "unhurried"]

QUICK = Backoff(first=0.05, highest=0.2)

_BOUNDS = Bounds(
    metadata_timeout=HANG,
    configure_timeout=HANG,
    prepare_timeout=HANG,
    message_timeout=HANG,
)

# A parked guest that asks for a dead connection again and again is replaced soon. One that helps itself asks once.
_PROGRESS = Progress(asking_after=0.1, start_timeout=HANG)


def unhurried(**chosen: Any) -> AdapterSettings:
    """What recovers quickly and gives up late, but for what is chosen: a busy machine is no failure of a plugin."""
    connector = WebSocketConnector(open_timeout=HANG)
    return AdapterSettings(
        **{"backoff": QUICK, "bounds": _BOUNDS, "progress": _PROGRESS, "connector": connector, **chosen}
    )


@attrs.define(eq=False)
class Brisk:
    """Real WebSockets, but a close that the peer does not answer is given up soon: tests close many of those.

    Attributes:
        first: Opens connections until one has come about. A busy machine may take its time for that one, which is to
            come about, however impatient the test is later.
        later: Opens those that follow.
        patience: Seconds to wait for the peer's answer to a close.
    """

    first: WebSocketConnector = attrs.field(factory=lambda: WebSocketConnector(open_timeout=HANG))
    later: WebSocketConnector = attrs.field(default=attrs.Factory(lambda self: self.first, takes_self=True))
    patience: float = 0.1
    _opened: bool = attrs.field(default=False, init=False)

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> PingingSocket:
        """Open one. See ``Connector``."""
        connector = self.later if self._opened else self.first
        socket = await connector.connect(url, headers=headers, subprotocol=subprotocol)
        self._opened = True
        assert isinstance(socket, PingingSocket)
        return _BriskSocket(socket, self.patience)


class _BriskSocket:
    def __init__(self, socket: PingingSocket, patience: float) -> None:
        self._socket = socket
        self._patience = patience
        self.receive, self.send, self.ping = socket.receive, socket.send, socket.ping

    async def close(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._patience):  # whose end cuts the connection
                await self._socket.close()


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
        settings=settings or unhurried(),
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
