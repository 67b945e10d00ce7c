"""What somebody who owns a stream manager has besides it. Nothing here changes when the manager is replaced."""

from __future__ import annotations

import random
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

__all__ = [
    "LONGEST_WAIT",
    "Clock",
    "CompanyConnector",
    "Connector",
    "Manager",
    "Market",
    "Sink",
    "Tick",
    "Wait",
    "patient",
]

LONGEST_WAIT = 30.0  # seconds


class Market(NamedTuple):
    """Whose plugin, which symbol, which interval."""

    source: str
    symbol: str
    interval: str

    def __str__(self) -> str:
        return " ".join(self)


@dataclass(frozen=True)
class Tick:
    """One candle, as the rest of the company knows it."""

    market: Market
    opened: int  # unix seconds
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    received: int  # nanoseconds since 1970 UTC


Sink = Callable[[Tick], None]
Clock = Callable[[], int]  # nanoseconds since 1970 UTC
Connector = Callable[[str, Mapping[str, str], str | None], Awaitable[ClientConnection]]
Wait = Callable[[int], float]  # how many failures in a row there were, from 1 on, to seconds until the next attempt


def patient(failures: int) -> float:
    """Wait at random: up to half a second after the first failure, up to twice as long after each other one."""
    return random.uniform(0, min(LONGEST_WAIT, 0.5 * 2 ** min(failures - 1, 10)))  # noqa: S311 - jitter


class Manager(Protocol):
    """What the rest of the company calls: the face that both managers have."""

    async def load(self, source: str, wasm: bytes, credentials: Mapping[str, str] | None = None) -> None:
        """Make a plugin known under a name."""
        ...

    def start(self, market: Market) -> None:
        """Begin to give a market's ticks to the sink."""
        ...

    async def stop(self, market: Market) -> None:
        """End that."""
        ...

    async def aclose(self) -> None:
        """End everything."""
        ...


@dataclass
class CompanyConnector:
    """Opens every WebSocket of the company: with its name, by its trust, counted, and to a test system if so told."""

    ssl: ssl.SSLContext | None = None
    routes: Mapping[str, str] = field(default_factory=dict)  # URL prefixes, and what replaces them
    opened: int = 0

    async def __call__(self, url: str, headers: Mapping[str, str], subprotocol: str | None) -> ClientConnection:
        """Open one."""
        for prefix, target in self.routes.items():
            if url.startswith(prefix):
                url = target + url.removeprefix(prefix)
        connection = await connect(
            url,
            additional_headers={**headers, "X-Company": "Example Ltd"},
            subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
            ssl=(self.ssl or True) if url.startswith("wss:") else None,
            close_timeout=1.0,
        )
        self.opened += 1
        return connection
