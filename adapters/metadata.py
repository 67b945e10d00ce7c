"""What a plugin says of itself, from ``plugin_info``, ``meta`` or both, as one ``PluginInfo``. Pure functions.

The two overlap. ``plugin_info`` speaks of the stream interface and wins where both have a word; network targets are
taken from both. Values of the wrong type are treated as missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.contract import PluginInfo

__all__ = ["merge_info"]


def merge_info(
    name: str, plugin_info: Mapping[str, Any], meta: Mapping[str, Any], problems: Sequence[str] = ()
) -> PluginInfo:
    """Merge the two answers.

    Args:
        name: The name to fall back on.
        plugin_info: ``{"name", "version", "author"?, "description"?, "streamTypes"?, "networkTargets"?}``, or empty.
        meta: ``{"name", "version", "author"?, "description"?, "resources"?: {"allowedNetworkTargets"?:
            [{"pattern"}]}}``, or empty.
        problems: Why one of them is missing.
    """

    def first(field: str) -> str:
        values = (source.get(field) for source in (plugin_info, meta))
        return next((value for value in values if isinstance(value, str) and value), "")

    resources = meta.get("resources")
    allowed = resources.get("allowedNetworkTargets") if isinstance(resources, dict) else None
    targets = [*_texts(plugin_info.get("networkTargets")), *_texts(allowed)]
    return PluginInfo(
        name=first("name") or name,
        version=first("version"),
        author=first("author"),
        description=first("description"),
        stream_types=tuple(_texts(plugin_info.get("streamTypes"))),
        network_targets=tuple(dict.fromkeys(targets)),
        problems=tuple(problems),
    )


def _texts(value: object) -> list[str]:
    """The texts of a list of texts, or of ``{"pattern": text}`` objects."""
    if not isinstance(value, list):
        return []
    items = (item.get("pattern") if isinstance(item, dict) else item for item in value)
    return [item for item in items if isinstance(item, str)]
