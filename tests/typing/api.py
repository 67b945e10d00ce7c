"""The public interface as its users write it: checked by mypy, never run."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type

import compat


def inspecting(path: Path, data: bytes) -> None:
    report = compat.inspect(path)
    assert_type(report, compat.ModuleReport)
    compat.inspect(data)
    compat.inspect("woox.wasm")
    assert_type(report.kind, compat.PluginKind)
    assert_type(report.dialect, str | None)
    assert_type(report.diagnostics, tuple[compat.Diagnostic, ...])
    for diagnostic in report.diagnostics:
        assert_type(diagnostic.severity, compat.Severity)
        assert_type(diagnostic.remedy, str)
    if report.kind == compat.PluginKind.LEGACY and report.runnable:
        report.raise_for_errors()


def keys() -> None:
    key = compat.StreamKey.parse("ohlcv:woox:PERP_BTC_USDT?timeframe=1m")
    assert_type(key, compat.StreamKey)
    assert_type(key.connection_id, int | None)
    compat.StreamKey("ohlcv", "woox", "PERP_BTC_USDT", {"timeframe": "1m"}, connection_id=7)


async def one_plugin(path: Path, key: compat.StreamKey) -> None:
    async with compat.open_plugin(path, config={"api_key": "...", "depth": 5}) as plugin:
        assert_type(plugin, compat.Plugin)
        info = await plugin.info()
        assert_type(info, compat.PluginInfo)
        assert_type(info.stream_types, tuple[str, ...])
        assert_type(await plugin.call("get_timeframes", b"", timeout=5), bytes)
        await plugin.call("get_timeframes", "{}")
        assert_type(info.fields, tuple[compat.ConfigurationField, ...])
        assert_type(info.rate_limits, tuple[compat.RateLimit, ...])
        reply = await plugin.request("getOHLCV", {"symbol": "BTC-USDT", "limit": 5}, timeout=5, fresh=True)
        assert_type(reply, compat.Reply)
        assert_type(reply.data, bytes)
        assert_type(reply.cached, bool)
        assert_type(reply.json(), Any)
        async with plugin.stream(key) as stream:
            assert_type(stream.state, compat.StreamState)
            assert_type(stream.stats, compat.StreamStats)
            async for item in stream:
                assert_type(item, compat.StreamData)
                assert_type(item.key, compat.StreamKey)
                assert_type(item.timestamp, int)
                assert_type(item.data, bytes)
                assert_type(item.json(), Any)
                candle = item.candle()
                assert_type(candle, compat.Candle | None)
                if candle is not None:
                    assert_type(candle.opened, int)
                    assert_type(candle.close, Decimal)
            async for items in stream.batches(limit=100):
                assert_type(items, list[compat.StreamData])
            async for event in stream.events():
                assert_type(event, compat.StreamEvent)
                assert_type(event.kind, compat.EventKind)
                assert_type(event.lost, int | None)
                assert_type(event.count, int)
                assert_type(event.until, int | None)
                assert_type(event.places, range)


async def many_plugins(data: bytes) -> None:
    async with compat.StreamManager() as manager:
        assert_type(await manager.register("woox", data, kind="legacy"), compat.Plugin)
        await manager.register(
            "other",
            "other.wasm",
            kind=compat.PluginKind.GENERIC,
            rewrite={"wss://other.example": "ws://127.0.0.1:8080"},
            allow_private=True,
        )
        assert_type(manager.sources, tuple[str, ...])
        subscription = manager.subscribe("ohlcv:woox:PERP_BTC_USDT", buffer=16)
        assert_type(subscription, compat.Subscription)
        async with subscription as entered:
            assert_type(entered, compat.Subscription)
            async for item in entered:
                assert_type(item, compat.StreamData)
            async for items in entered.batches():
                assert_type(items, list[compat.StreamData])
            async for event in entered.events():
                assert_type(event, compat.StreamEvent)
            assert_type(entered.stats.overflow, compat.Overflow)
            assert_type((entered.stats.dropped, entered.stats.conflated), tuple[int, int])
        manager.subscribe("ohlcv:woox:PERP_BTC_USDT", overflow="drop-oldest")
        manager.subscribe("ohlcv:woox:PERP_BTC_USDT", overflow=compat.Overflow.BLOCK)
        await manager.unregister("woox")


async def status(manager: compat.StreamManager, plugin: compat.Plugin) -> None:
    found = manager.status()
    assert_type(found, compat.ManagerStatus)
    for one in (*found.plugins, plugin.status()):
        assert_type(one, compat.PluginStatus)
        for stream in one.streams:
            assert_type(stream, compat.StreamStatus)
            assert_type(stream.stats.rate, float)
            assert_type(stream.stats.idle, float | None)
            assert_type(stream.subscriptions, tuple[compat.SubscriptionStats, ...])
    assert_type(plugin.streams, tuple[compat.Stream, ...])


def without_asyncio(path: Path) -> None:
    with compat.blocking.open_plugin(path, config=compat.read_config("woox.toml")) as plugin:
        assert_type(plugin, compat.blocking.Plugin)
        assert_type(plugin.info(), compat.PluginInfo)
        assert_type(plugin.call("get_timeframes"), bytes)
        assert_type(plugin.request("getMarkets"), compat.Reply)
        with plugin.stream("ohlcv:woox:PERP_BTC_USDT") as stream:
            assert_type(stream, compat.blocking.Stream)
            assert_type(stream.get(timeout=1.5), compat.StreamData | None)
            assert_type(stream.get_batch(100, timeout=1.5), list[compat.StreamData])
            for item in stream:
                assert_type(item, compat.StreamData)
            for items in stream.batches():
                assert_type(items, list[compat.StreamData])
            for event in stream.events():
                assert_type(event, compat.StreamEvent)
    with compat.blocking.StreamManager() as manager:
        assert_type(manager.register("woox", path), compat.blocking.Plugin)
        with manager.subscribe("ohlcv:woox:PERP_BTC_USDT", buffer=16) as subscription:
            assert_type(subscription, compat.blocking.Subscription)
            assert_type(next(subscription), compat.StreamData)
            assert_type(next(subscription.batches(limit=100)), list[compat.StreamData])
            assert_type(next(subscription.events()), compat.StreamEvent)
        manager.subscribe("ohlcv:woox:PERP_BTC_USDT", overflow=compat.Overflow.CONFLATE)
        assert_type(manager.status(), compat.ManagerStatus)


class Wire:
    """A connector and its socket need no base class."""

    async def connect(self, url: str, *, headers: Any = None, subprotocol: str | None = None) -> compat.Socket:
        return await compat.WebSocketConnector().connect(url, headers=headers or {}, subprotocol=subprotocol)


def watch(crossing: compat.Crossing) -> None:
    assert_type(crossing.direction, compat.Direction)
    assert_type(crossing.data, bytes)


def settings() -> compat.AdapterSettings:
    connector: compat.Connector = Wire()
    observer: compat.Observer = watch
    return compat.AdapterSettings(
        policy=compat.NetworkPolicy(only=("wss://*.woox.io/*",), also=("https://api.woox.io/*",)),
        tls=compat.Tls(ca="ca.pem", certificate=Path("cert.pem"), key="key.pem", key_password="..."),
        connector=connector,
        observer=observer,
        clock=lambda: 0,
        logger=logging.getLogger("plugins"),
        backoff=compat.Backoff(first=0.1, attempts=3),
    )


async def errors(stream: compat.Stream, adapter: compat.StreamAdapter) -> AsyncIterator[bytes]:
    assert_type(adapter.report, compat.ModuleReport)
    try:
        async for item in stream:
            yield item.data
    except compat.StreamRejectedError as error:
        assert_type(error.reason, str)
    except compat.RestartsExhaustedError as error:
        assert_type(error.reasons, tuple[str, ...])
    except compat.ConnectFailedError as error:
        assert_type(error.status, int | None)
        assert_type(error.retry_after, float | None)
    except compat.UnknownSourceError as error:
        assert_type(error.known, tuple[str, ...])
    except compat.DetectionError as error:
        assert_type(error.report, compat.ModuleReport)
    except (compat.PluginError, compat.NetworkError, compat.UsageError) as error:
        assert_type(error.remedy, str)
    assert_type(compat.lingering_guests(), int)
