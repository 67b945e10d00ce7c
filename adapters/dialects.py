"""The dialects of the legacy interface, as data: what each calls its exports and how it spells its requests.

The callback dialect (until September 2025) prepares a stream through ``prepare_stream``; the command dialect (since)
through ``handle_command`` and a StreamMarker. Everything after that is the same but for the names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from adapters.contract import MessageEncoding, StreamKey
from adapters.heartbeat import Heartbeat, read_heartbeat

__all__ = ["DIALECTS", "Dialect", "StreamSetup"]


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


def _prepare_stream(key: StreamKey, stream_id: str) -> dict[str, Any]:
    """``{"streamId", "streamType", "parameters": {"symbol", "interval", ...}}``."""
    parameters: dict[str, Any] = dict(key.parameters)
    timeframe = parameters.pop("timeframe", None)
    if timeframe is not None:
        parameters.setdefault("interval", timeframe)
    parameters["symbol"] = key.identifier
    parameters["private"] = parameters.get("private") == "true"
    return {"streamId": stream_id, "streamType": key.type, "parameters": parameters}


def _stream_command(key: StreamKey, _: str) -> dict[str, Any]:
    """``{"name": "<type>Stream", "params": {"market": {"symbol", "assetType"?}, "timeframe"?, ...}}``."""
    parameters: dict[str, Any] = dict(key.parameters)
    market = {"symbol": key.identifier}
    asset_type = parameters.pop("assetType", None)
    if asset_type is not None:
        market["assetType"] = asset_type
    interval = parameters.pop("interval", None)
    if interval is not None:
        parameters.setdefault("timeframe", interval)
    return {"name": f"{key.type}Stream", "params": {"market": market, **parameters}}


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
