"""The contract between an adapter and whoever streams through it.

Only values and protocols live here: nothing opens a socket, starts a thread or touches a plugin. Every value is an
immutable attrs class of plain JSON types, so ``msgspec.json`` (and ``pickle``) can carry a whole conversation to
another process and back.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable
from urllib.parse import quote, unquote

import attrs
import msgspec

from adapters.errors import KeyFormatError

if TYPE_CHECKING:
    from types import TracebackType

    from detectors.report import ModuleReport

__all__ = [
    "EventKind",
    "PluginInfo",
    "Stream",
    "StreamAdapter",
    "StreamData",
    "StreamEvent",
    "StreamKey",
    "StreamState",
    "StreamStats",
]

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

        Raises:
            KeyFormatError: The value is no such object.
        """
        try:
            wire = msgspec.convert(value, _WireKey)
        except msgspec.ValidationError as error:
            msg = f"not a stream key: {error}"
            raise KeyFormatError(msg) from error
        return cls(wire.type, wire.source, wire.identifier, wire.parameters or {}, wire.connectionId)


class _WireKey(msgspec.Struct):
    type: str
    source: str
    identifier: str
    parameters: dict[str, str] | None = None
    connectionId: int | None = None  # noqa: N815 - the field's name on the wire


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


@attrs.frozen
class StreamData:
    """One item of a stream.

    Attributes:
        key: The key that the plugin published under; it may differ from the stream's, but not in its source.
        timestamp: Integer nanoseconds since 1970 UTC: the plugin's own, or the host's receive time for legacy plugins
            and where the plugin gave none.
        data_type: The payload's type, for example ``ohlcv``.
        data: The payload, raw JSON as the plugin wrote it.
        sequence: The item's number within its stream, from 0, without holes.
    """

    key: StreamKey
    timestamp: int
    data_type: str
    data: bytes
    sequence: int

    def json(self) -> Any:
        """Decode the payload. Raises ``msgspec.DecodeError`` if the plugin wrote no JSON."""
        return msgspec.json.decode(self.data)


@attrs.frozen
class PluginInfo:
    """What a plugin says of itself, merged from ``plugin_info`` and ``meta``; either may be missing.

    Attributes:
        name: The plugin's name; its file's name if it gives none.
        version: Its version; empty if it gives none.
        author: Who made it; empty if not given.
        description: One line; empty if not given.
        stream_types: The stream types it offers, for example ``("ohlcv",)``.
        network_targets: The URL patterns it declares; it reaches nothing else.
        problems: Why a part is missing, for example ``("meta: trapped: unreachable",)``.
    """

    name: str
    version: str = ""
    author: str = ""
    description: str = ""
    stream_types: tuple[str, ...] = ()
    network_targets: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class StreamState(enum.StrEnum):
    """Where a stream is in its life. ``stream.TRANSITIONS`` says what may follow what."""

    NEW = "new"
    STARTING = "starting"
    STREAMING = "streaming"
    RECOVERING = "recovering"
    STOPPED = "stopped"
    FAILED = "failed"


class EventKind(enum.StrEnum):
    """What an event tells."""

    STATE = "state"  # the stream's state changed
    GAP = "gap"  # items are, or may be, missing before item `sequence`
    RECONNECT = "reconnect"  # a connection was lost and is opened anew
    RESTART = "restart"  # the guest was replaced by a fresh one
    PLUGIN_ERROR = "plugin-error"  # the plugin failed on one message and the stream goes on
    MEMORY = "memory"  # the guest's memory is managed differently from now on
    LINGERING = "lingering"  # a guest could not be stopped and lives on until it wakes
    LOG = "log"  # the plugin wrote a log record


@attrs.frozen
class StreamEvent:
    """Something that happened to a stream and is not data.

    Attributes:
        kind: What it tells.
        timestamp: Integer nanoseconds since 1970 UTC, the host's clock.
        sequence: The number that the next item will carry: the event's place among the items.
        message: One line for people.
        state: The new state, for ``STATE``.
        lost: How many items are missing, for ``GAP``; ``None`` if that cannot be known.
    """

    kind: EventKind
    timestamp: int
    sequence: int
    message: str
    state: StreamState | None = None
    lost: int | None = None


@attrs.frozen
class StreamStats:
    """Counters of a stream since it was opened.

    Attributes:
        received: Items taken from the plugin.
        delivered: Items handed to the consumer.
        buffered: Items that wait for the consumer now.
        payload_bytes: Bytes of all payloads received.
        gaps: Gap events told.
        reconnects: Connections lost and opened anew.
        restarts: Guests replaced.
        plugin_errors: Messages on which the plugin failed.
    """

    received: int = 0
    delivered: int = 0
    buffered: int = 0
    payload_bytes: int = 0
    gaps: int = 0
    reconnects: int = 0
    restarts: int = 0
    plugin_errors: int = 0


@runtime_checkable
class Stream(Protocol):
    """One running stream: an asynchronous context manager and iterator.

    Leaving the context (or ``aclose``) is *closed by you*: the plugin is told where it can be, its socket is closed
    and its guest ended within two seconds, and the iteration ends. *Ended by the plugin* (it returned success and
    holds no connection): the iteration stops after the last item. *Broken* (everything else): the iteration delivers
    what is there and then raises a ``CompatError`` that says why.

    Only one consumer may iterate. A slow consumer makes the plugin and its socket wait; nothing is dropped.
    """

    @property
    def key(self) -> StreamKey:
        """The key that the stream was opened with."""
        ...

    @property
    def state(self) -> StreamState:
        """Where the stream is in its life."""
        ...

    @property
    def stats(self) -> StreamStats:
        """A snapshot of the counters."""
        ...

    def events(self) -> AsyncIterator[StreamEvent]:
        """All events from the first on (the latest 1,000 at most), then live ones until the stream has ended."""
        ...

    async def aclose(self) -> None:
        """Stop the stream. Safe to call twice."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> StreamData: ...


@runtime_checkable
class StreamAdapter(Protocol):
    """One plugin of one kind behind the interface that all kinds share."""

    @property
    def report(self) -> ModuleReport:
        """What the detector says of the module."""
        ...

    async def info(self) -> PluginInfo:
        """What the plugin says of itself; read once, without giving it any network."""
        ...

    async def call(self, export: str, data: bytes = b"", *, timeout: float = 30.0) -> bytes:
        """Call an export on the control guest: the raw way in.

        Args:
            export: The export's name.
            data: The input, usually JSON.
            timeout: Seconds until the call is cancelled and its guest discarded.

        Returns:
            The output bytes.

        Raises:
            UnknownExportError: The module has no such export.
            PluginCallError: The plugin returned a non-zero code; its reason is in the error.
            PluginTrapError: The guest trapped.
            PluginTimeoutError: The deadline passed.
        """
        ...

    def stream(self, key: StreamKey) -> Stream:
        """A stream of this plugin, not yet started: enter it to start it."""
        ...

    async def aclose(self) -> None:
        """Stop every stream and guest. Safe to call twice."""
        ...
