"""The stream manager: many plugins under source names, many subscribers to the streams of one key.

Each key that is subscribed to has one stream of its plugin, shared by all its subscriptions. A subscription has a
bounded buffer of its own. One that overflows disturbs nobody else, unless it has asked that all wait for it.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import attrs

from adapters.closing import Closing
from adapters.contract import Stream, StreamKey
from adapters.errors import StreamUsageError
from adapters.runtime.watch import lingering_guests
from adapters.settings import AdapterSettings
from compat.errors import SourceTakenError, UnknownSourceError
from compat.overflow import Overflow
from compat.plugin import KEY, Plugin, Source, open_plugin
from compat.status import ManagerStatus, StreamStatus
from compat.subscription import Subscription
from detectors.rules import PluginKind

__all__ = ["StreamManager"]

_AT_ONCE = 64  # items handed to subscribers before they have a turn to take them


class _Channel:
    """One stream and those who subscribe to it."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.subscriptions: set[Subscription] = set()
        self.task: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Let the task come to its end, also where it waits for a subscriber."""
        if self.task is not None:
            self.task.cancel()


class StreamManager:
    """Runs plugins of any kind and routes subscriptions to them by their key's source.

    An asynchronous context manager: leaving it ends all subscriptions and closes all plugins.
    """

    def __init__(self) -> None:
        self._plugins: dict[str, Plugin] = {}
        self._opening: set[str] = set()  # sources whose plugins are being opened
        self._channels: dict[StreamKey, _Channel] = {}  # those that can be joined: none that is ending
        self._pumps: set[asyncio.Task[None]] = set()
        self._closed = False
        self._closing = Closing(self._close, "close of the stream manager")

    @property
    def sources(self) -> tuple[str, ...]:
        """The registered source names."""
        return tuple(self._plugins)

    async def register(
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
        """Open a plugin and route keys with this source to it. The arguments are those of ``open_plugin``.

        Raises:
            SourceTakenError: Another plugin is registered under this name, or is being opened for it.
            StreamUsageError: The manager has been closed, before or meanwhile.
            OSError, DetectionError, UnsupportedPluginError, UsageError: As ``open_plugin``.
        """
        self._require_open()
        if source in self._plugins or source in self._opening:
            raise SourceTakenError(source)
        self._opening.add(source)
        try:
            opened = await open_plugin(
                plugin,
                config=config,
                kind=kind,
                name=source,
                rewrite=rewrite,
                allow_private=allow_private,
                settings=settings,
            )
        finally:
            self._opening.discard(source)
        self._require_open()
        self._plugins[source] = opened
        return opened

    async def unregister(self, source: str) -> None:
        """End all streams of a source and close its plugin.

        Raises:
            UnknownSourceError: Nothing is registered under this name.
        """
        plugin = self._find(source)
        del self._plugins[source]
        for key in [key for key in self._channels if key.source == source]:
            self._channels.pop(key).stop()
        await plugin.aclose()

    def subscribe(
        self, key: StreamKey | str, *, buffer: int = 1_024, overflow: Overflow | str = Overflow.ERROR
    ) -> Subscription:
        """A subscription, not yet begun: ``async with manager.subscribe(key) as subscription: async for item in ...``.

        A stream of ``Plugin.stream`` makes the plugin wait for a slow consumer. Here others share the stream, so what
        follows when a subscriber falls behind by more than its buffer is its own choice:

        - ``error``: it is ended, after what fitted, with ``SubscriberTooSlowError``.
        - ``block``: the stream waits until there is room, and with it the plugin, its socket and **all others who
          subscribe to this key**. One who stops taking items stops them all, until it takes one or leaves.
        - ``drop-oldest``: the item that has waited longest makes room.
        - ``conflate``: an item replaces the one of its key (that it was published under) and data type that still
          waits, and stands at the end; with more keys than fit, the one that has waited longest makes room.

        What is dropped or replaced is counted in ``Subscription.stats``, and told by ``Subscription.events``.

        Args:
            key: What to subscribe to; its source says which plugin serves it.
            buffer: Items that may wait for this subscriber.
            overflow: What follows when one more comes.

        Raises:
            KeyFormatError: ``key`` is a text and not the form of a key.
            StreamUsageError: The buffer is no whole number from 1 on, there is no such policy, or the manager has been
                closed.
            UsageError: ``key`` is no key at all.
            UnknownSourceError: No plugin is registered under the key's source.
        """
        self._require_open()
        KEY.check(key, "subscribe", "key")
        key = StreamKey.parse(key) if isinstance(key, str) else key
        self._find(key.source)
        return Subscription(key, buffer, overflow, self._join, self._leave)

    def status(self) -> ManagerStatus:
        """What it runs at this moment: plugins, their streams, who subscribes to them, and how each fares."""
        subscriptions = {channel.stream: channel.subscriptions for channel in self._channels.values()}
        plugins = []
        for plugin in self._plugins.values():
            streams = [
                StreamStatus(
                    stream.key,
                    stream.state,
                    stream.stats,
                    tuple(subscription.stats for subscription in subscriptions.get(stream, ())),
                )
                for stream in plugin.streams
            ]
            plugins.append(attrs.evolve(plugin.status(), streams=tuple(streams)))
        return ManagerStatus(tuple(plugins), lingering_guests())

    def _find(self, source: str) -> Plugin:
        plugin = self._plugins.get(source)
        if plugin is None:
            raise UnknownSourceError(source, self.sources)
        return plugin

    def _require_open(self) -> None:
        if self._closed:
            msg = "the stream manager has been closed"
            raise StreamUsageError(msg)

    async def _join(self, subscription: Subscription) -> Stream:
        self._require_open()
        key = subscription.key
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = _Channel(self._find(key.source).stream(key))
            channel.task = asyncio.create_task(self._pump(key, channel), name=f"pump of {key}")
            self._pumps.add(channel.task)
            channel.task.add_done_callback(functools.partial(self._pumped, key, channel))
        channel.subscriptions.add(subscription)
        return channel.stream

    async def _pump(self, key: StreamKey, channel: _Channel) -> None:
        async with channel.stream as stream:
            try:
                await self._distribute(stream, channel.subscriptions)
            finally:
                # Closing takes a while, and whoever subscribes meanwhile needs another stream.
                self._forget(key, channel)

    def _pumped(self, key: StreamKey, channel: _Channel, task: asyncio.Task[None]) -> None:
        """A pump has ended, perhaps before its first step: end all subscriptions as it did."""
        self._pumps.discard(task)
        self._forget(key, channel)
        error = None if task.cancelled() else task.exception()
        for subscription in channel.subscriptions:
            subscription.end(error)

    @staticmethod
    async def _distribute(stream: Stream, subscriptions: set[Subscription]) -> None:
        """Hand every item to every subscription, until the stream ends or no subscription is left.

        No more are taken out of the stream at once than those have room for who make it wait. So it waits, and with
        it all others, where it would if the items came one by one.
        """
        while subscriptions:
            batch = await anext(stream.batches(min(_AT_ONCE, *(each.room for each in subscriptions))), None)
            if batch is None:
                return
            fitted = [(subscription, subscription.put_all(batch)) for subscription in subscriptions]
            for subscription, count in fitted:
                if count < len(batch) and not await subscription.put_in_turn(batch[count:]):
                    subscriptions.discard(subscription)

    def _forget(self, key: StreamKey, channel: _Channel) -> None:
        if self._channels.get(key) is channel:
            del self._channels[key]

    async def _leave(self, subscription: Subscription) -> None:
        channel = self._channels.get(subscription.key)
        if channel is None or subscription not in channel.subscriptions:
            return
        channel.subscriptions.discard(subscription)
        if not channel.subscriptions and channel.task is not None:
            del self._channels[subscription.key]
            channel.stop()
            await asyncio.wait([channel.task])
            await channel.stream.aclose()  # which a task that was cancelled before its first step has not done

    async def aclose(self) -> None:
        """End all subscriptions and close all plugins. Safe to call twice, and to be cancelled: closing goes on."""
        self._closed = True
        await self._closing()

    async def _close(self) -> None:
        plugins, self._plugins = list(self._plugins.values()), {}
        for channel in self._channels.values():
            channel.stop()
        await asyncio.gather(*(plugin.aclose() for plugin in plugins))
        if self._pumps:
            await asyncio.wait(self._pumps)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
