"""A manager with real plugins of both kinds against a real exchange, and what its subscribers take."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import attrs

from compat import (
    AdapterSettings,
    Backoff,
    StreamData,
    StreamKey,
    StreamManager,
    Subscription,
    WebSocketConnector,
)
from compat.demo.exchange import Exchange
from tests.support.plugins import PluginFixture
from tests.support.simex import QUICK
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compat import Connector, Plugin, Socket

__all__ = ["Gate", "GatedSocket", "by_hand", "key", "register", "rest", "several", "take"]


async def register(
    manager: StreamManager,
    exchange: Exchange,
    fixture: PluginFixture,
    source: str = "simex",
    *,
    backoff: Backoff = QUICK,
    buffer: int = 4_096,
    connector: Connector | None = None,
    **options: Any,
) -> Plugin:
    return await manager.register(
        source,
        fixture.path,
        rewrite=exchange.rewrites,
        allow_private=True,
        settings=AdapterSettings(backoff=backoff, buffer=buffer, connector=connector or WebSocketConnector()),
        **options,
    )


def several(count: int) -> Exchange:
    """An exchange that sends so many candles over each connection, at once, and is silent then."""
    return Exchange(mode="replay", rate=math.inf, limit=count)


def by_hand() -> Exchange:
    """An exchange that sends one candle over each connection, and others when it is flooded."""
    return Exchange(mode="replay", rate=1e-6)


@attrs.define
class Gate:
    """A connector whose sockets are closed no sooner than they may be."""

    opens: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        return GatedSocket(self, await WebSocketConnector().connect(url, headers=headers, subprotocol=subprotocol))


class GatedSocket:
    def __init__(self, gate: Gate, socket: Socket) -> None:
        self.gate, self.socket = gate, socket
        self.receive, self.send = socket.receive, socket.send

    async def close(self) -> None:
        await self.gate.opens.wait()
        await self.socket.close()


def key(source: str = "simex", symbol: str = "BTC-USDT") -> StreamKey:
    return StreamKey("ohlcv", source, symbol, {"timeframe": "1m"})


async def take(subscription: Subscription, count: int) -> list[StreamData]:
    items: list[StreamData] = []
    async with asyncio.timeout(HANG):
        while len(items) < count:
            items.append(await anext(subscription))
    return items


async def rest(subscription: Subscription) -> list[StreamData]:
    """Everything until the subscription ends normally."""
    async with asyncio.timeout(HANG):
        return [item async for item in subscription]
