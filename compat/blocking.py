"""The same verbs for scripts without asyncio: every method blocks until it is done.

    with compat.blocking.open_plugin("woox.wasm") as plugin:
        with plugin.stream("ohlcv:woox:PERP_BTC_USDT?timeframe=1m") as stream:
            for item in stream:
                print(item.json())

What the asynchronous classes promise holds here too: order, bounds, errors, events, and an end within two seconds.
Each open plugin, or manager, has an event loop on a thread of its own; items come to the caller's thread straight from
their mailbox. Every object may be used from several threads, but one only may iterate over a stream or subscription.
Ctrl-C interrupts a call that waits, and loses nothing; what is still open when the process ends is closed then.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from adapters.contract import Reply, StreamKey
from adapters.contract import Stream as AsyncStream
from adapters.plugin_info import PluginInfo
from adapters.settings import AdapterSettings
from compat import manager as _manager
from compat import plugin as _plugin
from compat.background import BackgroundLoop
from compat.blocking_streams import Stream, Subscription
from compat.overflow import Overflow
from compat.plugin import Source
from compat.status import ManagerStatus, PluginStatus
from detectors.report import ModuleReport
from detectors.rules import PluginKind

__all__ = ["Plugin", "Stream", "StreamManager", "Subscription", "open_plugin"]


class _Closable(Protocol):
    def close(self) -> None: ...


_open: set[_Closable] = set()  # with loops of their own; the process does not end well before they are closed


def _close_all() -> None:
    for each in tuple(_open):
        with contextlib.suppress(Exception):  # nobody is left to be told
            each.close()


atexit.register(_close_all)


class Plugin:
    """An open plugin, as a context manager; see ``compat.Plugin``. Made by ``open_plugin``."""

    def __init__(self, plugin: _plugin.Plugin, loop: BackgroundLoop, *, shares_loop: bool) -> None:
        self._plugin = plugin
        self._loop = loop
        self._shares_loop = shares_loop

    @property
    def name(self) -> str:
        """What it is called in errors and logs."""
        return self._plugin.name

    @property
    def kind(self) -> PluginKind:
        """The kind as which it runs, where it offers several."""
        return self._plugin.kind

    @property
    def report(self) -> ModuleReport:
        """What the detector says of the module."""
        return self._plugin.report

    def status(self) -> PluginStatus:
        """What it runs at this moment."""
        return self._plugin.status()

    def info(self) -> PluginInfo:
        """What the plugin says of itself; see ``compat.Plugin.info``."""
        return self._loop.run(self._plugin.info)

    def stream(self, key: StreamKey | str, *, idle_limit: float | None = None) -> Stream:
        """A stream, not yet started: ``with plugin.stream(key) as stream: for item in stream: ...``.

        The arguments, and what it raises, are those of ``compat.Plugin.stream``.
        """

        async def make() -> AsyncStream:
            return self._plugin.stream(key, idle_limit=idle_limit)

        return Stream(self._loop, self._loop.run(make))

    def request(
        self, name: str, params: Mapping[str, Any] | None = None, *, timeout: float = 30.0, fresh: bool = False
    ) -> Reply:
        """Ask for something that is no stream: ``plugin.request("getMarkets")``. See ``compat.Plugin.request``."""
        return self._loop.run(functools.partial(self._plugin.request, name, params, timeout=timeout, fresh=fresh))

    def call(self, export: str, data: bytes | str = b"", *, timeout: float = 30.0) -> bytes:
        """Call an export: the raw way in. See ``compat.Plugin.call``."""
        return self._loop.run(functools.partial(self._plugin.call, export, data, timeout=timeout))

    def close(self) -> None:
        """Stop every stream and guest. Safe to call twice."""
        (self._loop.finish if self._shares_loop else self._loop.stop)(self._plugin.aclose)
        _open.discard(self)

    def __enter__(self) -> Self:
        if not self._shares_loop:
            _open.add(self)
            self._loop.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_plugin(
    source: Source,
    *,
    config: Mapping[str, Any] | None = None,
    kind: PluginKind | str | None = None,
    name: str | None = None,
    rewrite: Mapping[str, str] | None = None,
    allow_private: bool = False,
    settings: AdapterSettings | None = None,
) -> Plugin:
    """Detect what a module is and put the adapter of its kind around it. See ``compat.open_plugin``."""
    plugin = _plugin.open_plugin(
        source,
        config=config,
        kind=kind,
        name=name,
        rewrite=rewrite,
        allow_private=allow_private,
        settings=settings,
    ).wait()
    return Plugin(plugin, BackgroundLoop(f"plugin {plugin.name!r}"), shares_loop=False)


class StreamManager:
    """Runs plugins of any kind and routes subscriptions to them by their key's source; see ``compat.StreamManager``.

    A context manager: leaving it ends all subscriptions and closes all plugins.
    """

    def __init__(self) -> None:
        self._manager = _manager.StreamManager()
        self._loop = BackgroundLoop("the stream manager")

    @property
    def sources(self) -> tuple[str, ...]:
        """The registered source names."""
        return self._manager.sources

    def register(
        self,
        source: str,
        plugin: Source,
        *,
        config: Mapping[str, Any] | None = None,
        kind: PluginKind | str | None = None,
        rewrite: Mapping[str, str] | None = None,
        allow_private: bool = False,
        settings: AdapterSettings | None = None,
    ) -> Plugin:
        """Open a plugin and route keys with this source to it. See ``compat.StreamManager.register``."""
        register = functools.partial(
            self._manager.register,
            source,
            plugin,
            config=config,
            kind=kind,
            rewrite=rewrite,
            allow_private=allow_private,
            settings=settings,
        )
        return Plugin(self._loop.run(register), self._loop, shares_loop=True)

    def unregister(self, source: str) -> None:
        """End all streams of a source and close its plugin. See ``compat.StreamManager.unregister``."""
        self._loop.run(functools.partial(self._manager.unregister, source))

    def subscribe(
        self, key: StreamKey | str, *, buffer: int = 1_024, overflow: Overflow | str = Overflow.ERROR
    ) -> Subscription:
        """A subscription, not yet begun: ``with manager.subscribe(key) as subscription: for item in ...``.

        See ``compat.StreamManager.subscribe``.
        """
        return Subscription(self._loop, self._manager.subscribe(key, buffer=buffer, overflow=overflow))

    def status(self) -> ManagerStatus:
        """What it runs at this moment."""

        async def status() -> ManagerStatus:
            return self._manager.status()

        return self._loop.run(status)

    def close(self) -> None:
        """End all subscriptions and close all plugins. Safe to call twice."""
        self._loop.stop(self._manager.aclose)
        _open.discard(self)

    def __enter__(self) -> Self:
        _open.add(self)
        self._loop.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
