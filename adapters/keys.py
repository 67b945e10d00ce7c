"""Stream keys: what a stream carries and where it comes from, as a value, a text and a plugin's JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import attrs
import msgspec

from adapters.errors import KeyFormatError
from adapters.lenient import convert

__all__ = ["FrozenDict", "StreamKey"]

_UINT64_MAX = 2**64 - 1
# What may stand unescaped in the text form: nothing that separates (``: ? & = # %``) and no white space.
_SAFE = "/@$!*'(),;"


class FrozenDict(dict[str, str]):
    """A ``dict`` of texts that refuses to change, so that a key can be hashed and shared between threads."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> Any:
        msg = "the parameters of a StreamKey cannot be changed; make a new key with attrs.evolve"
        raise TypeError(msg)

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, str]]]:
        return (FrozenDict, (dict(self),))


def _in_order(parameters: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(parameters.items()))


@attrs.frozen
class StreamKey:
    """What a stream carries and where it comes from.

    ``str(key)`` is the text form ``type:source:identifier?name=value&name=value#connectionId``: every part is
    percent-encoded, parameters stand in the order of their names. ``parse`` is its inverse for every key. Two keys are
    equal whatever order their parameters were given in.

    Attributes:
        type: The stream type, for example ``ohlcv``. Not empty.
        source: The plugin's registered source name, for example ``woox``. Not empty.
        identifier: The instrument, in the exchange's own spelling. Not empty.
        parameters: Texts by name, for example ``{"timeframe": "1m"}``.
        connection_id: An unsigned 64-bit number that tells equal streams apart, or ``None``.

    Raises:
        KeyFormatError: A part is empty, is no text that UTF-8 can carry, or is out of range.
    """

    type: str
    source: str
    identifier: str
    parameters: Mapping[str, str] = attrs.field(factory=FrozenDict, eq=_in_order)
    connection_id: int | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("type", "source", "identifier"):
            _require_text(name, getattr(self, name), empty=False)
        for name, value in self.parameters.items():
            _require_text("parameter name", name, empty=False)
            _require_text(f"parameter {name!r}", value, empty=True)
        if self.connection_id is not None and not 0 <= self.connection_id <= _UINT64_MAX:
            msg = f"connection id {self.connection_id} is not an unsigned 64-bit number"
            raise KeyFormatError(msg)
        object.__setattr__(self, "parameters", FrozenDict(_in_order(self.parameters)))

    @classmethod
    def parse(cls, text: str) -> StreamKey:
        """Read the text form.

        Raises:
            KeyFormatError: The text is not of the form ``type:source:identifier?name=value#connectionId``.
        """
        rest, hash_mark, connection = text.partition("#")
        rest, _, query = rest.partition("?")
        parts = rest.split(":", 2)
        if len(parts) != 3:
            msg = f"{text!r} is not a stream key: it needs three parts separated by colons"
            raise KeyFormatError(msg)
        parameters: dict[str, str] = {}
        for pair in filter(None, query.split("&")):
            name, equals, value = pair.partition("=")
            if not equals:
                msg = f"parameter {pair!r} in stream key {text!r} has no value"
                raise KeyFormatError(msg)
            if _decode(name) in parameters:
                msg = f"parameter {_decode(name)!r} stands twice in stream key {text!r}"
                raise KeyFormatError(msg)
            parameters[_decode(name)] = _decode(value)
        if hash_mark and not (connection.isascii() and connection.isdigit() and len(connection) <= 20):
            msg = f"connection id {connection!r} in stream key {text!r} is not an unsigned number"
            raise KeyFormatError(msg)
        type_, source, identifier = map(_decode, parts)
        return cls(type_, source, identifier, parameters, int(connection) if hash_mark else None)

    def __str__(self) -> str:
        text = ":".join(quote(part, safe=_SAFE) for part in (self.type, self.source, self.identifier))
        if self.parameters:
            pairs = (f"{quote(name, safe=_SAFE)}={quote(value, safe=_SAFE)}" for name, value in self.parameters.items())
            text += "?" + "&".join(pairs)
        if self.connection_id is not None:
            text += f"#{self.connection_id}"
        return text

    def to_wire(self) -> dict[str, Any]:
        """The JSON object that plugins exchange: ``{"type", "source", "identifier", "parameters", "connectionId"}``."""
        return {
            "type": self.type,
            "source": self.source,
            "identifier": self.identifier,
            "parameters": dict(self.parameters),
            "connectionId": self.connection_id,
        }

    @classmethod
    def from_wire(cls, value: object) -> StreamKey:
        """Read the JSON object that plugins exchange; ``parameters`` and ``connectionId`` may be missing or null.

        Parameters that are numbers or booleans are taken as their JSON text, and those that are null as not given.

        Raises:
            KeyFormatError: The value is no such object.
        """
        try:
            wire = convert(value, _WireKey)
        except msgspec.ValidationError as error:
            msg = f"not a stream key: {error}"
            raise KeyFormatError(msg) from error
        parameters = {name: _as_text(value) for name, value in (wire.parameters or {}).items() if value is not None}
        return cls(wire.type, wire.source, wire.identifier, parameters, wire.connectionId)


class _WireKey(msgspec.Struct):
    type: str
    source: str
    identifier: str
    parameters: dict[str, str | int | float | bool | None] | None = None
    connectionId: int | None = None  # noqa: N815 - the field's name on the wire


def _as_text(value: str | float) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _decode(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        msg = f"{text!r} is not percent-encoded UTF-8"
        raise KeyFormatError(msg) from error


def _require_text(name: str, value: object, *, empty: bool) -> None:
    if not isinstance(value, str):
        msg = f"the {name} of a stream key must be a text, not {type(value).__name__}"
        raise KeyFormatError(msg)
    if not value and not empty:
        msg = f"the {name} of a stream key is empty"
        raise KeyFormatError(msg)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        msg = f"the {name} of a stream key holds a character that UTF-8 cannot carry"
        raise KeyFormatError(msg) from error
