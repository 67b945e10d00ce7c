"""The demo's plot: the same market through a legacy and a generic plugin, candle by candle."""

from __future__ import annotations

import asyncio
import importlib.resources
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import attrs
import msgspec

from adapters.contract import StreamData, StreamKey
from adapters.times import nanoseconds, rfc3339
from compat.demo.exchange import Exchange
from compat.manager import StreamManager

__all__ = ["Ohlcv", "compare", "plugin_bytes", "read_candle"]

_RATE = 5.0  # candles per second
_PATIENCE = 12.0  # seconds until the demo gives up
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_FIELDS = ("open", "high", "low", "close", "volume")


@attrs.frozen
class Ohlcv:
    """A candle as both plugins must deliver it: open time in nanoseconds since 1970 UTC, exact prices and volume."""

    opened: int
    prices: tuple[Decimal, ...]


def plugin_bytes(kind: str) -> bytes:
    """The demo plugin of a kind, ``legacy`` or ``generic``."""
    return (importlib.resources.files("compat.demo") / "plugins" / f"{kind}.wasm").read_bytes()


def read_candle(item: StreamData) -> Ohlcv:
    """Read a candle from either plugin's payload: they differ in field names, number forms and time forms."""
    payload: dict[str, Any] = _decode(item.data)
    opened = payload.get("timestamp", payload.get("openTime"))
    at = nanoseconds(opened) if isinstance(opened, str) else int(opened or 0) * 10**9
    return Ohlcv(at, tuple(Decimal(payload[name]) for name in _FIELDS))


async def compare(candles: int, seed: int, echo: Callable[[str], None]) -> bool:
    """Stream through both plugins until they have ``candles`` candles in common.

    Returns:
        Whether they agree on all of them.
    """
    began = time.monotonic()
    seen: dict[str, dict[int, Ohlcv]] = {"legacy": {}, "generic": {}}
    async with Exchange(seed=seed, rate=_RATE, ping_interval=1.0) as exchange, StreamManager() as manager:
        echo(f"exchange   simulated on {exchange.ws_url}, {_RATE:g} candles a second")
        for source in seen:
            plugin = await manager.register(
                source,
                plugin_bytes(source),
                rewrite={
                    "wss://stream.simex.example": exchange.ws_url,
                    "https://api.simex.example": exchange.http_url,
                },
                allow_private=True,
            )
            kind = f"{plugin.report.kind} plugin" + (
                f", {plugin.report.dialect} dialect" if plugin.report.dialect else ""
            )
            echo(f"{source:<10} {kind}: it {plugin.report.reason}")

        async def follow(source: str) -> None:
            key = StreamKey("ohlcv", source, "BTC-USDT", {"timeframe": "1m"})
            async with manager.subscribe(key) as subscription:
                async for item in subscription:
                    candle = read_candle(item)
                    seen[source][candle.opened] = candle
                    echo(f"{source:<10} {_line(candle)}")
                    if len(_common(seen)) >= candles:
                        return

        followers = [asyncio.create_task(follow(source)) for source in seen]
        await asyncio.wait(followers, timeout=_PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        for task in followers:
            task.cancel()
        for outcome in await asyncio.gather(*followers, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
    return _conclude(seen, candles, time.monotonic() - began, echo)


def _common(seen: dict[str, dict[int, Ohlcv]]) -> list[int]:
    return sorted(set.intersection(*(set(candles) for candles in seen.values())))


def _line(candle: Ohlcv) -> str:
    opened, high, low, close, volume = candle.prices
    return f"{rfc3339(candle.opened)[:16]}  open {opened}  high {high}  low {low}  close {close}  volume {volume}"


def _conclude(seen: dict[str, dict[int, Ohlcv]], wanted: int, seconds: float, echo: Callable[[str], None]) -> bool:
    common = _common(seen)
    different = [at for at in common if len({candles[at] for candles in seen.values()}) > 1]
    for at in different:
        for source, candles in seen.items():
            echo(f"different  {source}: {_line(candles[at])}")
    agreed = len(common) >= wanted and not different
    verdict = "the same from both plugins" if agreed else f"in common of {wanted} wanted, {len(different)} different"
    echo(f"result     {len(common)} candles {verdict}, in {seconds:.1f} s")
    return agreed
