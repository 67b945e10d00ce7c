"""The adapter that every kind makes: a plugin's host, and the kind's own way to drive a stream.

What differs between kinds is the driver and how a guest is configured; a kind's module puts the two together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from adapters.channel import Channel
from adapters.closing import Closing
from adapters.requests import Requests
from adapters.stream import AdapterStream, Driver

if TYPE_CHECKING:
    from adapters.contract import Reply
    from adapters.host import PluginHost
    from adapters.keys import StreamKey
    from adapters.plugin_info import MessageEncoding, PluginInfo
    from detectors.report import ModuleReport

__all__ = ["PluginAdapter"]


class PluginAdapter:
    """Runs one plugin. Implements ``contract.StreamAdapter``.

    Args:
        host: The plugin and its guests.
        drive: Makes the driver of a stream, in the manner of the plugin's kind.
        farewell: An export to call before a shared guest is given up.
        message_encoding: What is known by now of how the plugin wants messages, where that is a question.
    """

    def __init__(
        self,
        host: PluginHost,
        drive: Callable[[Channel], Driver],
        *,
        farewell: str | None = None,
        message_encoding: Callable[[], MessageEncoding | None] = lambda: None,
    ) -> None:
        self._host = host
        self._drive = drive
        self._farewell = farewell
        self._message_encoding = message_encoding
        self._requests = Requests(host)
        self._streams: set[AdapterStream] = set()
        self._closing = Closing(self._close, f"close of plugin {host.name}")

    @property
    def report(self) -> ModuleReport:
        """What the detector says of the module."""
        return self._host.report

    async def info(self) -> PluginInfo:
        """What the plugin says of itself; see ``contract.StreamAdapter``."""
        info, encoding = await self._host.info(), self._message_encoding()
        return info if encoding is None else attrs.evolve(info, message_encoding=encoding)

    async def call(self, export: str, data: bytes = b"", *, timeout: float = 30.0) -> bytes:
        """Call an export on the control guest; see ``contract.StreamAdapter``."""
        return await self._host.call(export, data, timeout)

    async def request(
        self, name: str, params: Mapping[str, Any] | None = None, *, timeout: float = 30.0, fresh: bool = False
    ) -> Reply:
        """Ask for something that is no stream; see ``contract.StreamAdapter``."""
        return await self._requests.request(name, params, timeout=timeout, fresh=fresh)

    def stream(self, key: StreamKey, *, idle_limit: float | None = None) -> AdapterStream:
        """A stream of this plugin, not yet started; see ``contract.StreamAdapter``."""
        settings = self._host.settings
        if idle_limit is not None:
            settings = attrs.evolve(settings, idle_limit=idle_limit)
        channel = Channel(
            key,
            capacity=settings.buffer,
            capacity_bytes=settings.bounds.max_buffered,
            idle_limit=settings.idle_limit,
            clock=settings.clock,
            monotonic=settings.monotonic,
            logger=self._host.logger,
            redact=self._host.redact,
        )
        stream = AdapterStream(channel, self._drive, ended=self._streams.discard)
        self._streams.add(stream)
        return stream

    async def aclose(self) -> None:
        """Stop every stream and guest; see ``contract.StreamAdapter``."""
        await self._closing()

    async def _close(self) -> None:
        await asyncio.gather(*(stream.aclose() for stream in tuple(self._streams)))
        await self._host.aclose(self._farewell)
