"""The configuration that a plugin declares, and what is missing from the one it is given. Pure functions.

Plugins declare their fields through ``get_credential_fields`` (callback dialect, generic plugins: ``[{"name", "label"?,
"type"?, "required"?, "encrypt"?, "mask"?}]``) or ``get_configuration_fields`` (command dialect: the same with
``"description"``, ``"default"`` and more). Other spellings are understood too; what is not is told.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import msgspec

from adapters.errors import ConfigurationError
from detectors.wording import listed, shown

__all__ = ["ConfigurationField", "as_text", "completed", "misspelt", "read_fields"]

_MOST_FIELDS = 256
_NAMES = ("name", "key", "id")
_SECRET = ("encrypt", "mask", "secret", "sensitive")


@attrs.frozen
class ConfigurationField:
    """One value that a plugin wants to be configured with, as it declares it.

    Attributes:
        name: The name to give the value under.
        label: Its title for people; empty if not given.
        type: What to type it as, in the plugin's own words, for example ``text`` or ``password``; empty if not given.
        required: Whether the plugin does not run without it. One that does not say so is not required.
        secret: Whether the plugin asks for it to be kept hidden.
        description: What it is for; empty if not given.
        default: What it is if it is not given, any JSON value; ``None`` if there is no default.
    """

    name: str
    label: str = ""
    type: str = ""
    required: bool = False
    secret: bool = False
    description: str = ""
    default: Any = attrs.field(default=None, hash=False)


def read_fields(export: str, declared: Sequence[object]) -> tuple[tuple[ConfigurationField, ...], tuple[str, ...]]:
    """Read what a plugin declares.

    Args:
        export: The export that declared it, for what is told.
        declared: Its answer, decoded: objects with a ``name`` (or ``key``, ``id``), or texts.

    Returns:
        The fields, each name once, and what was not understood, a clause each.
    """
    fields: dict[str, ConfigurationField] = {}
    told: list[str] = []
    for item in declared[:_MOST_FIELDS]:
        field = _read_field(item)
        if field is None:
            told.append(f"{export}: a field without a name was left out")
        elif field.name in fields:
            told.append(f"{export}: {shown(field.name)} is declared twice; the first is used")
        else:
            fields[field.name] = field
            if isinstance(item, dict) and not isinstance(item.get("required"), bool | None):
                told.append(f"{export}: required of {shown(field.name)} is neither true nor false, and taken as false")
    if len(declared) > _MOST_FIELDS:
        told.append(f"{export}: of {len(declared)} fields the first {_MOST_FIELDS} are used")
    return tuple(fields.values()), tuple(dict.fromkeys(told))


def _read_field(item: object) -> ConfigurationField | None:
    if isinstance(item, str) and item:
        return ConfigurationField(item)
    if not isinstance(item, dict):
        return None
    name = next((item[key] for key in _NAMES if isinstance(item.get(key), str) and item[key]), None)
    if name is None:
        return None
    kind = _text(item.get("type"))
    secret = any(item.get(mark) is True for mark in _SECRET) or kind.lower() == "password"
    default = item.get("default")
    return ConfigurationField(
        name,
        label=_text(item.get("label")),
        type=kind,
        required=item.get("required") is True,
        secret=secret,
        description=_text(item.get("description")),
        default=None if default == "" else default,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def completed(plugin: str, fields: Iterable[ConfigurationField], config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the declared defaults of what it does not give.

    Args:
        plugin: The plugin's name, for the error.
        fields: What it declares.
        config: What it is given. A value that is ``None`` or an empty text is not given.

    Raises:
        ConfigurationError: A required field is missing.
    """
    fields = tuple(fields)
    missing = tuple(field for field in fields if field.required and field.default is None and not _gives(config, field))
    if missing:
        raise _missing(plugin, fields, missing, config)
    defaults = {field.name: field.default for field in fields if field.default is not None}
    return {**defaults, **{name: value for name, value in config.items() if name not in defaults or _is(value)}}


def _gives(config: Mapping[str, Any], field: ConfigurationField) -> bool:
    return _is(config.get(field.name))


def _is(value: object) -> bool:
    return value is not None and value != ""


def _missing(
    plugin: str,
    fields: tuple[ConfigurationField, ...],
    missing: tuple[ConfigurationField, ...],
    config: Mapping[str, Any],
) -> ConfigurationError:
    names = tuple(field.name for field in missing)
    meant = [
        f"Is {shown(given)}, which it does not declare, meant to be {shown(name)}?"
        for given, name in misspelt(fields, config)
        if name in names
    ]
    entries = ", ".join(f'"{shown(name)}": ...' for name in names)
    ways = f"Give config={{{entries}}}; on the command line --config-file, or --config {shown(names[0])}=..."
    return ConfigurationError(
        plugin,
        f"it requires {listed([_described(field) for field in missing])}, which {_are(len(names))} not given",
        remedy=" ".join([*meant, ways]),
        missing=names,
    )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _described(field: ConfigurationField) -> str:
    return f"{shown(field.name)} ({shown(field.label)})" if field.label else shown(field.name)


def misspelt(fields: Iterable[ConfigurationField], config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names that are given and not declared, each with the declared one that is not given and is most likely meant."""
    fields = tuple(fields)
    declared = {field.name for field in fields}
    open_ = {_plain(field.name): field.name for field in fields if not _gives(config, field)}
    for given in config:
        if given not in declared:
            close = difflib.get_close_matches(_plain(given), open_, n=1, cutoff=0.75)
            if close:
                yield given, open_[close[0]]


def _plain(name: str) -> str:
    """``apiKey``, ``api_key`` and ``API-Key`` are spellings of one name."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def as_text(value: Any) -> str:
    """A configuration value as the text that some plugins take: texts as they are, all else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
