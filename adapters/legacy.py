"""The adapter for legacy plugins: the host owns the WebSocket and pushes every message into the plugin.

The streams of a plugin share a few guests, which are told the ``streamId`` with every message. Dialects differ in
names and spelling only and are data (``dialects.py``). What the plugin answers to a message or a connection event is
obeyed in ``legacy_stream.py``.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from adapters.adapter import PluginAdapter
from adapters.dialects import DIALECTS
from adapters.encoding import Encoder, declared
from adapters.errors import ConfigurationError, UnsupportedPluginError
from adapters.fields import as_text
from adapters.host import PluginHost
from adapters.legacy_stream import LegacyDriver
from adapters.pool import Pool
from detectors.rules import PluginKind

if TYPE_CHECKING:
    from adapters.channel import Channel
    from adapters.runtime.guest import Guest
    from adapters.settings import AdapterSettings
    from detectors.report import ModuleReport

__all__ = ["ADAPTER", "legacy_adapter"]


def legacy_adapter(name: str, wasm: bytes, report: ModuleReport, settings: AdapterSettings) -> PluginAdapter:
    """The adapter for one legacy plugin.

    Args:
        name: What to call the plugin.
        wasm: The module's bytes.
        report: What the detector says of them.
        settings: What the user chose.

    Raises:
        UnsupportedPluginError: The module speaks no known dialect.
    """
    spoken = next((offer.dialect for offer in report.offers if offer.kind == PluginKind.LEGACY), None)
    if spoken not in DIALECTS:
        raise UnsupportedPluginError(name, "legacy", "it exports neither prepare_stream nor handle_command")
    dialect = DIALECTS[spoken]
    stream_numbers, pool = itertools.count(1), Pool(settings.guests)

    async def configure(guest: Guest) -> None:
        config, given = host.config, settings.config
        if dialect.texts_only and (wrong := [name for name, value in given.items() if not isinstance(value, str)]):
            problem = f"{dialect.configure} takes texts only, and {', '.join(wrong)} is none"
            raise ConfigurationError(host.name, problem, remedy="Give the value as a text")
        if dialect.texts_only:
            config = {name: as_text(value) for name, value in config.items()}
        if config or (dialect.configure_always and report.has_export(dialect.configure)):
            await host.configure(guest, dialect.configure, config)

    def drive(channel: Channel) -> LegacyDriver:
        stream_id = f"{channel.key.type}-{next(stream_numbers)}"
        return LegacyDriver(host, dialect, channel, stream_id, encoder=encoder, pool=pool)

    host = PluginHost(name, wasm, report, settings, configure)
    decided = dialect.encoding or settings.message_encoding or declared(report)
    encoder = Encoder(report.sha256, decided, settings.shared.encodings)
    told = encoder.known if dialect.encoding is None else lambda: None
    return PluginAdapter(host, drive, farewell=dialect.shutdown, message_encoding=told)


ADAPTER = legacy_adapter
