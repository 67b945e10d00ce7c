"""What a plugin says of itself, from ``plugin_info``, ``meta`` or both, as one ``PluginInfo``. Pure functions.

The two overlap. ``plugin_info`` speaks of the stream interface and wins where both have a word; network targets are
taken from both. Values of the wrong type are treated as missing, and told. Then what was said is held against what the
module shows: a plugin that declares what it cannot do, or does what it does not declare, is told before it runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from adapters.fields import ConfigurationField, read_fields
from adapters.net.policy import pattern_fault
from adapters.plugin_info import PluginInfo
from adapters.rate_limits import read_rate_limits
from adapters.recent import Recent
from adapters.runtime.replies import decode_list, decode_object
from detectors.report import ModuleReport
from detectors.rules import INTERFACES
from detectors.wording import listed, neither, shown

__all__ = ["METADATA_EXPORTS", "Answers", "AnswersCache", "merge_info"]

_FIELDS = ("get_configuration_fields", "get_credential_fields")
_RATE_LIMITS = "get_rate_limits"
_CONFIGURED_BY = ("plugin_configure", "init", "set_credentials")


def _decode_fields(output: bytes) -> list[Any]:
    return decode_list(output, ("fields", "data"))


#: The exports that are asked, each with what decodes its output or raises ``ValueError``. Of two that say the same the
#: first wins.
METADATA_EXPORTS: dict[str, Callable[[bytes], Any]] = {
    "plugin_info": decode_object,
    "meta": decode_object,
    **dict.fromkeys(_FIELDS, _decode_fields),
    _RATE_LIMITS: decode_list,
}

_TEXTS = ("name", "version", "author", "description")
_NETWORK = ("ws_connect", "http_request")
_MOST_TOLD = 20
_LARGEST_KEPT = 64 * 2**10  # bytes of JSON


@attrs.frozen
class Answers:
    """What the metadata exports answered.

    Attributes:
        plugin_info: ``{"name", "version", "author"?, "type"?, "description"?, "streamTypes"?, "networkTargets"?}``,
            or empty.
        meta: ``{"name", "version", "author"?, "description"?, "resources"?: {"allowedNetworkTargets"?:
            [{"pattern"}]}}``, or empty.
        problems: Why one of them is missing.
        called: By export, the host functions that it called, which are stubs while metadata is read.
        lists: By export, what the others answered: configuration fields and rate limits.
    """

    plugin_info: Mapping[str, Any] = attrs.field(factory=dict)
    meta: Mapping[str, Any] = attrs.field(factory=dict)
    problems: tuple[str, ...] = ()
    called: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    lists: Mapping[str, list[Any]] = attrs.field(factory=dict)


class AnswersCache(Recent[Answers]):
    """Answers by the digest of the module that gave them.

    Only answers without problems are kept, and no huge ones: a plugin that hung once may answer the next time.
    """

    def put(self, key: Hashable, value: Answers) -> None:
        """Keep what the module answered, if nothing went wrong."""
        if not value.problems and key and len(msgspec.json.encode(value)) <= _LARGEST_KEPT:
            super().put(key, value)


def merge_info(name: str, answers: Answers, report: ModuleReport) -> PluginInfo:
    """Merge the answers, and hold them against the module.

    Args:
        name: The name to fall back on.
        answers: What the plugin said.
        report: What the detector says.
    """
    plugin_info, meta = answers.plugin_info, answers.meta

    def first(field: str) -> str:
        values = (source.get(field) for source in (plugin_info, meta))
        return next((value for value in values if isinstance(value, str) and value), "")

    declared = [_targets(plugin_info.get("networkTargets")), _targets(_allowed(meta))]
    targets = tuple(dict.fromkeys(target for each in declared for target in each))
    fields, misread = _fields(answers, report)
    limits, unlimited = read_rate_limits(answers.lists.get(_RATE_LIMITS, ()))
    said_id = meta.get("pluginId")
    return PluginInfo(
        name=first("name") or name,
        version=first("version"),
        author=first("author"),
        description=first("description"),
        stream_types=tuple(_texts(plugin_info.get("streamTypes"))),
        network_targets=targets,
        problems=answers.problems,
        discrepancies=_the_first(
            itertools.chain(
                _called_stubs(answers),
                _of_wrong_type(plugin_info, meta),
                _disagreements(plugin_info, meta),
                _against_the_module(plugin_info, targets, report),
                _unusable(targets),
                misread,
                unlimited,
            )
        ),
        plugin_id=said_id if isinstance(said_id, str) else "",
        fields=fields,
        rate_limits=limits,
    )


def _fields(answers: Answers, report: ModuleReport) -> tuple[tuple[ConfigurationField, ...], list[str]]:
    """The declared fields, each name once, and what is wrong with the declarations."""
    found: dict[str, ConfigurationField] = {}
    told: list[str] = []
    for export in _FIELDS:
        fields, misread = read_fields(export, answers.lists.get(export, ()))
        told += misread
        for field in fields:
            found.setdefault(field.name, field)
    required = [field.name for field in found.values() if field.required]
    if required and not any(report.has_export(name) for name in _CONFIGURED_BY):
        # Nobody could give it what it asks for.
        told.append(f"it requires {shown(listed(required))} and exports nothing that takes a configuration")
        found = {name: attrs.evolve(field, required=False) for name, field in found.items()}
    return tuple(found.values()), told


def _the_first(told: Iterator[str]) -> tuple[str, ...]:
    """As many as somebody reads."""
    first = tuple(itertools.islice(told, _MOST_TOLD))
    return (*first, "and more") if next(told, None) is not None else first


def _called_stubs(answers: Answers) -> Iterator[str]:
    for export, names in answers.called.items():
        yield f"{export} calls {listed(names)}, a stub while metadata is read: what it says may depend on that"


def _of_wrong_type(plugin_info: Mapping[str, Any], meta: Mapping[str, Any]) -> Iterator[str]:
    for export, answer in (("plugin_info", plugin_info), ("meta", meta)):
        for field in _TEXTS:
            if not isinstance(answer.get(field), str | None):
                yield f"{export}: {field} is no text and was left out"
    for where, value, form in (
        ("plugin_info: streamTypes", plugin_info.get("streamTypes"), "texts"),
        ("plugin_info: networkTargets", plugin_info.get("networkTargets"), "URL patterns"),
        ("meta: resources.allowedNetworkTargets", _allowed(meta), 'objects {"pattern": text}'),
    ):
        if value is not None and (not isinstance(value, list) or len(_targets(value)) < len(value)):
            yield f"{where} is no list of {form}; what is none was left out"


def _disagreements(plugin_info: Mapping[str, Any], meta: Mapping[str, Any]) -> Iterator[str]:
    one, other = plugin_info.get("version"), meta.get("version")  # names may differ: one is a title
    if isinstance(one, str) and isinstance(other, str) and one and other and one != other:
        yield f"plugin_info says version {shown(one)!r} and meta {shown(other)!r}; the first is used"


def _unusable(targets: Sequence[str]) -> Iterator[str]:
    for target in targets:
        fault = pattern_fault(target)
        if fault:
            yield f"the network target {shown(target)!r} {fault}, so nothing is reached by it"


def _against_the_module(plugin_info: Mapping[str, Any], targets: Sequence[str], report: ModuleReport) -> Iterator[str]:
    imported = {item.name for item in report.host_imports}
    reaches = [name for name in _NETWORK if name in imported]
    drives_itself = "publish_stream_data" in imported
    if reaches and not targets:
        yield f"it imports {listed(reaches)} and declares no network targets: it will reach nothing"
    if targets and drives_itself and not reaches:
        yield f"it declares network targets and imports {neither(_NETWORK)}: it cannot reach them"
    if plugin_info.get("streamTypes") and not report.offers:
        yield "it declares stream types and has no stream interface"
    said = plugin_info.get("type")
    kinds = {row.kind.value for row in INTERFACES}
    if isinstance(said, str) and said.lower() in kinds and said.lower() not in {o.kind.value for o in report.offers}:
        yield f"it says that it is a {shown(said)} plugin, and the module is {report.kind}"


def _allowed(meta: Mapping[str, Any]) -> object:
    resources = meta.get("resources")
    return resources.get("allowedNetworkTargets") if isinstance(resources, dict) else None


def _texts(value: object) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _targets(value: object) -> list[str]:
    """The texts of a list of texts, or of ``{"pattern": text}`` objects."""
    if not isinstance(value, list):
        return []
    items = (item.get("pattern") if isinstance(item, dict) else item for item in value)
    return [item for item in items if isinstance(item, str)]
