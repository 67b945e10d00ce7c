"""What a plugin says of itself: a value of plain JSON types, and nothing that asks for it."""

from __future__ import annotations

import enum

import attrs

from adapters.fields import ConfigurationField
from adapters.rate_limits import RateLimit

__all__ = ["MessageEncoding", "PluginInfo"]


class MessageEncoding(enum.StrEnum):
    """How a legacy plugin of the command dialect wants the messages of its socket."""

    TEXT = "text"
    BASE64 = "base64"  # their bytes, in base64: since 26 December 2025


@attrs.frozen
class PluginInfo:
    """What a plugin says of itself, merged from ``plugin_info`` and ``meta``; either may be missing.

    What it declares of its configuration and its rate limits stands beside that.

    Attributes:
        name: The plugin's name; its file's name if it gives none.
        version: Its version; empty if it gives none.
        author: Who made it; empty if not given.
        description: One line; empty if not given.
        stream_types: The stream types it offers, for example ``("ohlcv",)``.
        network_targets: The URL patterns it declares; it reaches nothing else.
        problems: Why a part is missing, for example ``("meta: trapped: unreachable",)``.
        discrepancies: Where it contradicts itself or what the module shows, a clause each.
        message_encoding: How it wants the messages of its socket, as far as is known now: often only since it has been
            given one. ``None`` while unknown, and for all but legacy plugins of the command dialect.
        plugin_id: By what it calls itself the same plugin in all its versions; empty if not given.
        fields: What it wants to be configured with, from ``get_credential_fields`` or ``get_configuration_fields``.
        rate_limits: How often which commands may be given, from ``get_rate_limits``.
    """

    name: str
    version: str = ""
    author: str = ""
    description: str = ""
    stream_types: tuple[str, ...] = ()
    network_targets: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    discrepancies: tuple[str, ...] = ()
    message_encoding: MessageEncoding | None = None
    plugin_id: str = ""
    fields: tuple[ConfigurationField, ...] = ()
    rate_limits: tuple[RateLimit, ...] = ()
