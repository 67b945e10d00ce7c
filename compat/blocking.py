"""The same verbs for scripts without asyncio: every method blocks until it is done.

    with compat.blocking.open_plugin("woox.wasm") as plugin:
        with plugin.stream("ohlcv:woox:PERP_BTC_USDT?timeframe=1m") as stream:
            for item in stream:
                print(item.json())

What the asynchronous classes promise holds here too: order, bounds, errors, events, and an end within two seconds.
Each open plugin, or manager, has an event loop on a thread of its own. Every object may be used from several threads,
but one only may iterate over a stream or subscription. Ctrl-C interrupts a call that waits.

Items cross from the loop's thread in batches: up to ``BATCH`` of them may be waiting here, on top of a stream's own
buffer; ``stats`` counts them as buffered.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

import attrs
from anyio.from_thread import BlockingPortal, start_blocking_portal

from adapters.contract import PluginInfo, StreamData, StreamEvent, StreamKey, StreamState, StreamStats
from adapters.contract import Stream as AsyncStream
from adapters.errors import StreamUsageError
from adapters.settings import AdapterSettings
from compat import manager as _manager
from compat import plugin as _plugin
from compat import subscription as _subscription
from compat.plugin import Source
from compat.status import ManagerStatus, PluginStatus, SubscriptionStats
from detectors.report import ModuleReport
from detectors.rules import PluginKind

__all__ = ["BATCH", "Plugin", "Stream", "StreamManager", "Subscription", "open_plugin"]

BATCH = 64
"""Items that are fetched at once, if so many wait."""

T = TypeVar("T")
Stats = TypeVar("Stats", StreamStats, SubscriptionStats)


class _Loop:
    """An event loop on a thread of its own.

    Args:
        what: Whose it is, for errors.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._context: AbstractContextManager[BlockingPortal] | None = None
        self._portal: BlockingPortal | None = None

    def start(self) -> None:
        if self._context is not None:
            msg = f"{self._what} has been entered before"
            raise StreamUsageError(msg, remedy="Make another one")
        self._context = start_blocking_portal()
        self._portal = self._context.__enter__()

    def stop(self) -> None:
        portal, self._portal = self._portal, None
        if portal is not None and self._context is not None:
            self._context.__exit__(None, None, None)

    @property
    def runs(self) -> bool:
        return self._portal is not None

    @property
    def closed(self) -> bool:
        return self._portal is None and self._context is not None

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine there and wait for it; interrupting the wait cancels it."""
        if self._portal is None:
            msg = f"{self._what} is {'closed' if self.closed else 'not open'}"
            raise StreamUsageError(msg, remedy="Use it inside its with block")
        future = self._portal.start_task_soon(work)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


class _Items:
    """Fetches the items of a stream or subscription in batches.

    Args:
        loop: Where it runs.
        source: What is iterated over.
        waiting: How many items can be had without waiting.
    """

    def __init__(self, loop: _Loop, source: AsyncIterator[StreamData], waiting: Callable[[], int]) -> None:
        self._loop = loop
        self._source = source
        self._waiting = waiting
        self._fetched: deque[StreamData] = deque()
        self._fetched_at = 0.0
        self._closed = False

    def next(self, timeout: float | None) -> StreamData | None:
        """The next item, ``None`` at the end. Raises ``TimeoutError``, or what broke the source."""
        if not self._fetched:
            if self._closed or self._loop.closed or not self._loop.run(functools.partial(self._fetch, timeout)):
                return None
            self._fetched_at = time.monotonic()
        try:
            return self._fetched.popleft()
        except IndexError:  # closed by another thread meanwhile
            return None

    async def _fetch(self, timeout: float | None) -> bool:
        """Fetch what is there, one item at least. Returns whether there was one."""
        try:
            async with asyncio.timeout(timeout):
                # Each is kept as soon as it is taken: whoever is interrupted or out of time has lost none.
                self._fetched.append(await anext(self._source))
        except StopAsyncIteration:
            return False
        with contextlib.suppress(Exception):  # it is raised again, when what came before it has been handed out
            while self._waiting() and len(self._fetched) < BATCH:
                self._fetched.append(await anext(self._source))
        return True

    def close(self) -> None:
        """Nothing more is handed out."""
        self._closed = True
        self._fetched.clear()

    def counted(self, stats: Stats) -> Stats:
        """Counters of the source, with the items that have been fetched and not yet handed out as buffered."""
        held = len(self._fetched)
        lag = time.monotonic() - self._fetched_at if held else 0.0
        return attrs.evolve(
            stats, delivered=stats.delivered - held, buffered=stats.buffered + held, lag=max(stats.lag, lag)
        )


async def _collect(events: AsyncIterator[StreamEvent]) -> list[StreamEvent]:
    return [event async for event in events]


class _Iterated:
    """What a stream and a subscription have in common: their items, one by one."""

    _items: _Items

    def get(self, timeout: float | None = None) -> StreamData | None:
        """The next item, waiting so many seconds at most; ``None`` at the end.

        Raises:
            TimeoutError: There was none in time; nothing is lost, and more may come.
            CompatError: The stream broke.
        """
        return self._items.next(timeout)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamData:
        item = self._items.next(None)
        if item is None:
            raise StopIteration
        return item


class Stream(_Iterated):
    """A stream, as a context manager and iterator; see ``compat.Stream``. Made by ``Plugin.stream``."""

    def __init__(self, loop: _Loop, stream: AsyncStream) -> None:
        self._loop = loop
        self._stream = stream
        self._items = _Items(loop, stream, lambda: stream.stats.buffered)

    @property
    def key(self) -> StreamKey:
        """The key that the stream was opened with."""
        return self._stream.key

    @property
    def state(self) -> StreamState:
        """Where the stream is in its life."""
        return self._stream.state

    @property
    def stats(self) -> StreamStats:
        """A snapshot of the counters."""
        return self._items.counted(self._stream.stats)

    def events(self) -> Iterator[StreamEvent]:
        """All events from the first on (the latest 1,000 at most), then live ones until the stream has ended."""
        events = self._stream.events()
        if self._loop.closed:  # then so is the stream, and its events can all be had without waiting
            with start_blocking_portal() as portal:
                yield from portal.call(_collect, events)
            return
        while True:
            try:
                event = self._loop.run(functools.partial(anext, events))
            except StopAsyncIteration:
                return
            yield event

    def close(self) -> None:
        """Stop the stream. Safe to call twice."""
        self._items.close()
        if self._loop.runs:
            self._loop.run(self._stream.aclose)

    def __enter__(self) -> Self:
        self._loop.run(self._stream.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Plugin:
    """An open plugin, as a context manager; see ``compat.Plugin``. Made by ``open_plugin``."""

    def __init__(self, plugin: _plugin.Plugin, loop: _Loop, *, shares_loop: bool) -> None:
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

    def stream(self, key: StreamKey | str) -> Stream:
        """A stream, not yet started: ``with plugin.stream(key) as stream: for item in stream: ...``.

        Raises:
            KeyFormatError: ``key`` is a text and not the form of a key.
            StreamUsageError: The plugin has been closed.
        """
        return Stream(self._loop, self._plugin.stream(key))

    def call(self, export: str, data: bytes | str = b"", *, timeout: float = 30.0) -> bytes:
        """Call an export: the raw way in. See ``compat.Plugin.call``."""
        return self._loop.run(functools.partial(self._plugin.call, export, data, timeout=timeout))

    def close(self) -> None:
        """Stop every stream and guest. Safe to call twice."""
        if self._loop.runs:
            try:
                self._loop.run(self._plugin.aclose)
            finally:
                if not self._shares_loop:
                    self._loop.stop()

    def __enter__(self) -> Self:
        if not self._shares_loop:
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
    )
    return Plugin(plugin, _Loop(f"plugin {plugin.name!r}"), shares_loop=False)


class Subscription(_Iterated):
    """A subscription, as a context manager and iterator; see ``compat.Subscription``."""

    def __init__(self, loop: _Loop, subscription: _subscription.Subscription) -> None:
        self._loop = loop
        self._subscription = subscription
        self._items = _Items(loop, subscription, lambda: subscription.stats.buffered)

    @property
    def key(self) -> StreamKey:
        """What is subscribed to."""
        return self._subscription.key

    @property
    def stream(self) -> Stream:
        """The stream that serves this subscription: its state, counters and events; it is not to be iterated over.

        Raises:
            StreamUsageError: The subscription has not been entered.
        """
        return Stream(self._loop, self._subscription.stream)

    @property
    def stats(self) -> SubscriptionStats:
        """A snapshot of the counters."""
        return self._items.counted(self._subscription.stats)

    def unsubscribe(self) -> None:
        """End the subscription; the stream too, if nobody else is subscribed. Safe to call twice."""
        self._items.close()
        if self._loop.runs:
            self._loop.run(self._subscription.unsubscribe)

    def __enter__(self) -> Self:
        self._loop.run(self._subscription.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unsubscribe()


class StreamManager:
    """Runs plugins of any kind and routes subscriptions to them by their key's source; see ``compat.StreamManager``.

    A context manager: leaving it ends all subscriptions and closes all plugins.
    """

    def __init__(self) -> None:
        self._manager = _manager.StreamManager()
        self._loop = _Loop("the stream manager")

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

    def subscribe(self, key: StreamKey | str, *, buffer: int = 1_024) -> Subscription:
        """A subscription, not yet begun: ``with manager.subscribe(key) as subscription: for item in ...``.

        See ``compat.StreamManager.subscribe``.
        """
        return Subscription(self._loop, self._manager.subscribe(key, buffer=buffer))

    def status(self) -> ManagerStatus:
        """What it runs at this moment. What has been fetched in batches counts as delivered here."""

        async def status() -> ManagerStatus:
            return self._manager.status()

        return self._loop.run(status)

    def close(self) -> None:
        """End all subscriptions and close all plugins. Safe to call twice."""
        if self._loop.runs:
            try:
                self._loop.run(self._manager.aclose)
            finally:
                self._loop.stop()

    def __enter__(self) -> Self:
        self._loop.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
