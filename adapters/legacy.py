"""The adapter for legacy plugins: the host owns the WebSocket and pushes every message into the plugin.

All streams of a plugin share one guest, which is told the ``streamId`` with every message. Dialects differ in names and
spelling only and are data (``dialects.py``). What the plugin answers to a message or a connection event is obeyed
in ``legacy_stream.py``.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

from adapters.contract import PluginInfo, StreamKey
from adapters.dialects import DIALECTS
from adapters.errors import ConfigurationError, UnsupportedPluginError
from adapters.host import PluginHost
from adapters.legacy_stream import FAREWELL_TIMEOUT, LegacyDriver
from adapters.stream import AdapterStream

if TYPE_CHECKING:
    from adapters.runtime.guest import Guest
    from adapters.settings import AdapterSettings
    from detectors.report import ModuleReport

__all__ = ["ADAPTER", "LegacyAdapter"]


class LegacyAdapter:
    """Runs one legacy plugin. Implements ``contract.StreamAdapter``.

    Args:
        name: What to call the plugin.
        wasm: The module's bytes.
        report: What the detector says of them.
        settings: What the user chose.

    Raises:
        UnsupportedPluginError: The module speaks no known dialect.
    """

    def __init__(self, name: str, wasm: bytes, report: ModuleReport, settings: AdapterSettings) -> None:
        dialect = next((offer.dialect for offer in report.offers if offer.kind.value == "legacy"), None)
        if dialect not in DIALECTS:
            raise UnsupportedPluginError(name, "legacy", "it exports neither prepare_stream nor handle_command")
        self._dialect = DIALECTS[dialect]
        self._host = PluginHost(name, wasm, report, settings, self._configure)
        self._streams: set[AdapterStream] = set()
        self._stream_ids = itertools.count(1)

    @property
    def report(self) -> ModuleReport:
        """What the detector says of the module."""
        return self._host.report

    async def info(self) -> PluginInfo:
        """What the plugin says of itself; see ``contract.StreamAdapter``."""
        return await self._host.info()

    async def call(self, export: str, data: bytes = b"", *, timeout: float = 30.0) -> bytes:
        """Call an export on the control guest; see ``contract.StreamAdapter``."""
        return await self._host.call(export, data, timeout)

    def stream(self, key: StreamKey) -> AdapterStream:
        """A stream of this plugin, not yet started."""
        settings = self._host.settings
        stream_id = f"{key.type}-{next(self._stream_ids)}"
        stream = AdapterStream(
            key,
            lambda stream: LegacyDriver(self._host, self._dialect, stream, stream_id),
            capacity=settings.buffer,
            clock=settings.clock,
            ended=self._streams.discard,
        )
        self._streams.add(stream)
        return stream

    async def aclose(self) -> None:
        """Stop every stream, tell the plugin, and stop the guest."""
        await asyncio.gather(*(stream.aclose() for stream in tuple(self._streams)))
        await self._host.aclose(self._dialect.shutdown, FAREWELL_TIMEOUT)

    async def _configure(self, guest: Guest) -> None:
        config, dialect = self._host.settings.config, self._dialect
        if dialect.texts_only and (wrong := [name for name, value in config.items() if not isinstance(value, str)]):
            problem = f"{dialect.configure} takes texts only, and {', '.join(wrong)} is none"
            raise ConfigurationError(self._host.name, problem, remedy="Give the value as a text")
        if config or (dialect.configure_always and self.report.has_export(dialect.configure)):
            await self._host.configure(guest, dialect.configure, config)


ADAPTER = LegacyAdapter
