"""The dialects of the legacy interface, as data: what each calls its exports and how it spells its requests.

The callback dialect (until September 2025) prepares a stream through ``prepare_stream``; the command dialect (since)
through ``handle_command`` and a StreamMarker. Everything after that is the same but for the names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from adapters.contract import StreamKey
from adapters.heartbeat import Heartbeat, read_heartbeat
from adapters.plugin_info import MessageEncoding

__all__ = ["DIALECTS", "PARAMETERS", "Dialect", "Parameter", "StreamSetup", "same_parameters"]


@attrs.frozen
class StreamSetup:
    """What the host needs to open a stream's connection.

    Attributes:
        stream_id: What the plugin calls the stream.
        url: The WebSocket address.
        headers: Sent with the handshake; they may hold secrets.
        subprotocol: Offered in the handshake, or ``None``.
        initial_messages: Sent after connecting, in this order.
        context: Given back to the plugin with every message; ``None`` if it gave none.
        heartbeat: What keeps the connection alive.
    """

    stream_id: str
    url: str
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    subprotocol: str | None = None
    initial_messages: tuple[str, ...] = attrs.field(default=(), repr=False)
    context: Any = None
    heartbeat: Heartbeat = attrs.field(factory=Heartbeat)


@attrs.frozen
class Dialect:
    """How one dialect is spoken.

    Attributes:
        name: The dialect's name, as the detector reports it.
        configure: The export that takes the configuration.
        configure_always: Whether it is called without a configuration too.
        texts_only: Whether configuration values must be texts.
        encoding: How messages are given to the plugin; ``None``: that depends on its SDK, see ``encoding.py``.
        prepare: The export that prepares a stream.
        connection_event: The export that is told of connection events.
        shutdown: The export called before a guest is given up, or ``None``.
        request: Makes the request that prepares a stream, from its key and the id that the host proposes.
        setup: Reads the answer; raises ``ValueError`` if something is missing. Takes the proposed id as well.
    """

    name: str
    configure: str
    configure_always: bool
    texts_only: bool
    encoding: MessageEncoding | None
    prepare: str
    connection_event: str
    shutdown: str | None
    request: Callable[[StreamKey, str], dict[str, Any]]
    setup: Callable[[Mapping[str, Any], str], StreamSetup]


def _setup(answer: Mapping[str, Any], stream_id: str) -> StreamSetup:
    url = answer.get("websocketUrl")
    if not isinstance(url, str) or not url:
        msg = "it has no websocketUrl"
        raise ValueError(msg)
    headers = answer.get("headers") or {}
    messages = answer.get("initialMessages") or []
    if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
        msg = "its headers are no object of texts"
        raise ValueError(msg)
    subprotocol = answer.get("subprotocol") or None
    if not isinstance(subprotocol, str | None):
        msg = "its subprotocol is no text"
        raise ValueError(msg)  # noqa: TRY004 - what is wrong is the plugin's value, not a caller's type
    if not isinstance(messages, list) or not all(isinstance(message, str) for message in messages):
        msg = "its initialMessages are no list of texts"
        raise ValueError(msg)
    return StreamSetup(stream_id, url, headers, subprotocol, tuple(messages), answer.get("streamContext"))


def _as_it_is(value: str) -> object:
    return value


def _flag(value: str) -> object:
    """True or false; anything else stays a text, for the plugin to complain of."""
    return {"true": True, "false": False}.get(value.lower(), value)


@attrs.frozen
class Parameter:
    """Where a parameter of a stream's key stands in a request.

    Attributes:
        callback: Its place in the callback dialect, from the outermost name to the innermost.
        command: Its place in the command dialect.
        read: Makes what stands there of the parameter's text.
    """

    callback: tuple[str, ...]
    command: tuple[str, ...]
    read: Callable[[str], object] = _as_it_is


#: The parameters of keys that dialects have a place or a word of their own for; every other keeps its name.
PARAMETERS: dict[str, Parameter] = {
    "timeframe": Parameter(callback=("interval",), command=("timeframe",)),
    "interval": Parameter(callback=("interval",), command=("timeframe",)),
    "symbol": Parameter(callback=("symbol",), command=("market", "symbol")),  # unless given, the key's identifier
    "market": Parameter(callback=("market",), command=("market", "market")),
    "assetType": Parameter(callback=("assetType",), command=("market", "assetType")),
    "private": Parameter(callback=("private",), command=("private",), read=_flag),
}


def _place(name: str, dialect: str) -> tuple[str, ...]:
    row = PARAMETERS.get(name)
    return (name,) if row is None else {"callback": row.callback, "command": row.command}[dialect]


def _parameters(key: StreamKey, dialect: str, request: dict[str, Any]) -> dict[str, Any]:
    """Put a key's parameters into a request, over what stands there. None is lost: each has a place to itself."""
    for name, value in key.parameters.items():
        *outer, word = _place(name, dialect)
        if word != name and word in key.parameters:  # the dialect's own word is given, too, and means itself
            word = name
        holder = request
        for part in outer:
            holder = holder.setdefault(part, {})
        holder[word] = PARAMETERS[name].read(value) if name in PARAMETERS else value
    return request


def same_parameters(text: str) -> str:
    """What to know of the parameters that a plugin speaks of, where a key has more than one word for them.

    Args:
        text: What the plugin says.

    Returns:
        A sentence; empty if there is nothing to know.
    """
    spoken = set(re.findall(r"[a-z]+", text.lower()))
    for words in _SYNONYMS:
        if not spoken.isdisjoint(words):
            return f"{' and '.join(words)} are the same parameter of a key: {words[0]}=... is enough"
    return ""


_SYNONYMS = tuple(
    words
    for place in dict.fromkeys(row.callback for row in PARAMETERS.values())
    if len(words := tuple(name for name, row in PARAMETERS.items() if row.callback == place)) > 1
)


def _prepare_stream(key: StreamKey, stream_id: str) -> dict[str, Any]:
    """``{"streamId", "streamType", "parameters": {"symbol", "interval", ...}}``."""
    parameters = _parameters(key, "callback", {"symbol": key.identifier, "private": False})
    return {"streamId": stream_id, "streamType": key.type, "parameters": parameters}


def _stream_command(key: StreamKey, _: str) -> dict[str, Any]:
    """``{"name": "<type>Stream", "params": {"market": {"symbol", "assetType"?}, "timeframe"?, ...}}``."""
    params = _parameters(key, "command", {"market": {"symbol": key.identifier}})
    return {"name": f"{key.type}Stream", "params": params}


def _marker(answer: Mapping[str, Any], _: str) -> StreamSetup:
    """Read ``{"result": true, "data": StreamMarker}``; ``responseType`` is missing in older plugins."""
    marker = answer.get("data")
    if not isinstance(marker, dict) or marker.get("_stream") is not True:
        msg = "its data is no StreamMarker"
        raise ValueError(msg)
    stream_id = marker.get("streamID")
    if not isinstance(stream_id, str) or not stream_id:
        msg = "its StreamMarker has no streamID"
        raise ValueError(msg)
    return attrs.evolve(_setup(marker, stream_id), heartbeat=read_heartbeat(marker.get("heartbeat")))


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="callback",
            configure="set_credentials",
            configure_always=False,
            texts_only=True,
            encoding=MessageEncoding.TEXT,
            prepare="prepare_stream",
            connection_event="stream_connection_event",
            shutdown=None,
            request=_prepare_stream,
            setup=_setup,
        ),
        Dialect(
            name="command",
            configure="init",
            configure_always=True,
            texts_only=False,
            encoding=None,
            prepare="handle_command",
            connection_event="handle_connection_event",
            shutdown="shutdown",
            request=_stream_command,
            setup=_marker,
        ),
    )
}
