"""The host functions that plugins import: JSON request in, JSON reply out.

Which functions exist, and under which signatures, is the detector's table; here is what they do. A failure that the
plugin can act on (a refused connection, a malformed request) is an answer with ``error``; only what is the host's own
fault, or leaves the guest's memory in doubt, is raised and ends the call.

Everything here runs on the guest's thread and may block, as long as it looks at the guest's stop flag.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import attrs
import msgspec

from adapters.companion.border import Handler
from adapters.times import rfc3339
from detectors.errors import CompatError

__all__ = ["HttpReply", "Network", "Publication", "handlers_for", "local_handlers", "stubs"]


@attrs.frozen
class HttpReply:
    """An HTTP response: status, headers (each with all its values) and body."""

    status: int
    headers: Mapping[str, list[str]]
    body: bytes


class Network(Protocol):
    """What a guest can do on the network. Blocking; failures are ``CompatError``."""

    def connect(self, url: str, headers: Mapping[str, str], subprotocol: str | None) -> str:
        """Open a WebSocket. Returns its connection id."""
        ...

    def send(self, connection_id: str, message: str) -> None:
        """Send a text message."""
        ...

    def receive(self, connection_id: str, timeout_ms: int) -> str | None:
        """The next message. 0 waits for ever, a negative timeout does not wait. ``None``: none came in time."""
        ...

    def close(self, connection_id: str) -> None:
        """Close a WebSocket."""
        ...

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Make an HTTP request."""
        ...


@attrs.frozen
class Publication:
    """What a guest handed to ``publish_stream_data``.

    Attributes:
        key: The stream key, raw JSON.
        data: The payload, raw JSON.
        timestamp: RFC 3339; empty if the plugin gave none.
    """

    key: bytes
    data: bytes
    timestamp: str


class _ConnectRequest(msgspec.Struct):
    url: str
    headers: dict[str, str] | None = None
    subprotocol: str | None = None


class _SendRequest(msgspec.Struct, rename="camel"):
    connection_id: str | int
    message: str


class _ReceiveRequest(msgspec.Struct, rename="camel"):
    connection_id: str | int
    timeout_ms: int | None = None


class _CloseRequest(msgspec.Struct, rename="camel"):
    connection_id: str | int


class _PublishRequest(msgspec.Struct):
    key: msgspec.Raw
    data: msgspec.Raw
    timestamp: str | None = None


class _HttpRequest(msgspec.Struct):
    url: str
    method: str = "GET"
    headers: dict[str, str] | None = None
    body: str | None = None


class _LogRecord(msgspec.Struct, rename="camel"):
    event_type: str = "info"
    message: str = ""
    data: Any = None


_encode = msgspec.json.Encoder().encode
_SUCCESS = _encode({"success": True})
_TIMEOUT = _encode({"success": True, "timeout": True})


def _failed(message: str) -> bytes:
    return _encode({"success": False, "error": message})


def _http_failed(message: str) -> bytes:
    return _encode({"status": 0, "headers": {}, "body": "", "error": message})


def _ignore(_: str) -> None:
    return None


def _guarded(
    answer: Callable[[Any], bytes],
    request_type: type[Any],
    failed: Callable[[str], bytes],
    malformed: Callable[[str], None] = _ignore,
) -> Handler:
    """A handler that decodes its request and turns failures into the function's own form of error reply."""
    decoder = msgspec.json.Decoder(request_type)

    def handle(request: bytes) -> bytes:
        try:
            return answer(decoder.decode(request))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            malformed(f"malformed request: {error}")
            return failed(f"malformed request: {error}")
        except CompatError as error:
            return failed(str(error))

    return handle


def handlers_for(
    network: Network,
    publish: Callable[[Publication], str | None],
    log: Callable[[str, str, Any], None],
    lost: Callable[[str], None] = _ignore,
    clock: Callable[[], int] = time.time_ns,
) -> dict[str, Handler]:
    """The handlers of one guest, by host function.

    Args:
        network: The guest's way to the network.
        publish: Takes what the guest publishes; returns why it is refused, or ``None``.
        log: Takes a log record's event type, message and data.
        lost: Told why, when something published could not be read.
        clock: Nanoseconds since 1970 UTC.
    """

    def ws_connect(request: _ConnectRequest) -> bytes:
        connection = network.connect(request.url, request.headers or {}, request.subprotocol or None)
        return _encode({"success": True, "connectionId": connection})

    def ws_send(request: _SendRequest) -> bytes:
        network.send(str(request.connection_id), request.message)
        return _SUCCESS

    def ws_receive(request: _ReceiveRequest) -> bytes:
        message = network.receive(str(request.connection_id), request.timeout_ms or 0)
        return _TIMEOUT if message is None else _encode({"success": True, "message": message})

    def ws_close(request: _CloseRequest) -> bytes:
        network.close(str(request.connection_id))
        return _SUCCESS

    def publish_stream_data(request: _PublishRequest) -> bytes:
        refused = publish(Publication(bytes(request.key), bytes(request.data), request.timestamp or ""))
        return _SUCCESS if refused is None else _failed(refused)

    def http_request(request: _HttpRequest) -> bytes:
        try:
            body = base64.b64decode(request.body or "", validate=True)
        except ValueError as error:  # binascii.Error, or a plain one for what is not ASCII
            return _http_failed(f"malformed request: the body is not base64: {error}")
        reply = network.request(request.method, request.url, request.headers or {}, body)
        encoded = base64.b64encode(reply.body).decode()
        return _encode({"status": reply.status, "headers": dict(reply.headers), "body": encoded})

    return {
        "ws_connect": _guarded(ws_connect, _ConnectRequest, _failed),
        "ws_send": _guarded(ws_send, _SendRequest, _failed),
        "ws_receive": _guarded(ws_receive, _ReceiveRequest, _failed),
        "ws_close": _guarded(ws_close, _CloseRequest, _failed),
        "publish_stream_data": _guarded(publish_stream_data, _PublishRequest, _failed, lost),
        "http_request": _guarded(http_request, _HttpRequest, _http_failed),
        **local_handlers(log, clock),
    }


def local_handlers(log: Callable[[str, str, Any], None], clock: Callable[[], int]) -> dict[str, Handler]:
    """The handlers of what leaves this machine alone, by host function. See ``handlers_for``."""

    def log_record(record: _LogRecord) -> bytes:
        log(record.event_type, record.message, record.data)
        return b""  # guests do not read what it returns

    def time_now(_: bytes) -> bytes:
        return _encode(rfc3339(clock()))

    return {"log_record": _guarded(log_record, _LogRecord, lambda _: b""), "time_now": time_now}


def stubs(names: Iterable[str], called: Callable[[str], object] = _ignore) -> dict[str, Handler]:
    """Handlers that refuse politely, for guests that are only asked for metadata.

    Args:
        names: Which are wanted.
        called: Told the name of each that is called.
    """
    refusal = "not available while metadata is read"

    def stub(name: str) -> Handler:
        refused = (_http_failed if name == "http_request" else _failed)(refusal)

        def refuse(_: bytes) -> bytes:
            called(name)
            return refused

        return refuse

    return {name: stub(name) for name in names}
