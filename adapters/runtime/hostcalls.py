"""The host functions that plugins import: JSON request in, JSON reply out.

Which functions exist, and under which signatures, is the detector's table; here is what they do. A failure that the
plugin can act on (a refused connection, a malformed request) is an answer with ``error``; only what is the host's own
fault, or leaves the guest's memory in doubt, is raised and ends the call. So does a guest that makes one malformed
request after the other (``malformed.py``). What counts as well-formed is for ``lenient.py`` to say.

Everything here runs on the guest's thread and may block, as long as it looks at the guest's stop flag.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import attrs
import msgspec

from adapters.companion.batching import Replies
from adapters.companion.border import Handler
from adapters.lenient import Lenient, decode_json, valid_utf8
from adapters.runtime.errors import MalformedRequestsError
from adapters.runtime.malformed import Malformed
from adapters.times import rfc3339
from detectors.errors import CompatError

__all__ = ["HttpReply", "Network", "Publication", "handlers_for", "local_handlers", "receiving", "stubs"]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


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

    def receive(self, connection_id: str, timeout_ms: int, most: int) -> list[str]:
        """The next messages, 1 to ``most``, 256 KiB of characters together at most, but one in any case.

        0 waits for ever, a negative timeout does not wait. Empty: none came in time.
        """
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
        timestamp: Decoded JSON, see ``times.moment``; empty, 0 or ``None`` if the plugin gave none.
    """

    key: bytes
    data: bytes
    timestamp: object = None


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
    timestamp: Any = None


class _HttpRequest(msgspec.Struct):
    url: str
    method: str = "GET"
    headers: dict[str, str] | None = None
    body: bytes | None = None  # base64


class _LogRecord(msgspec.Struct, rename="camel"):
    message: Any
    event_type: Any = None
    level: Any = None  # what other loggers call it
    data: Any = None


_encode = msgspec.json.Encoder().encode
_SUCCESS = _encode({"success": True})
_TIMEOUT = _encode({"success": True, "timeout": True})


def _failed(message: str) -> bytes:
    return _encode({"success": False, "error": message})


def _http_failed(message: str) -> bytes:
    return _encode({**_status(0), "headers": {}, "body": "", "error": message})


def _status(status: int) -> dict[str, int]:
    return {"status": status, "statusCode": status}  # the second is what SDKs 1.0 to 1.2 read


def _ignore(_: str) -> None:
    return None


def _guarded(
    strict: Callable[[bytes], T],
    lenient: Callable[[bytes], T],
    answer: Callable[Concatenate[T, P], R],
    failed: Callable[[str], R],
    *,
    requests: Malformed,
    on_malformed: Callable[[str], object],
) -> Callable[Concatenate[bytes, P], R]:
    """A handler that decodes its request and turns failures into the function's own form of error reply.

    Args:
        strict: Reads nearly every request, and raises ``ValueError`` for the others.
        lenient: Reads those; what it raises says that one is malformed.
        answer: Does what is asked for.
        failed: Makes the error reply.
        requests: Where the malformed ones are counted.
        on_malformed: Told why one is.
    """

    def handle(request: bytes, /, *more: P.args, **named: P.kwargs) -> R:
        try:
            try:
                decoded = strict(request)
            except ValueError:  # msgspec's errors are
                decoded = lenient(request)
        except (ValueError, RecursionError) as error:
            on_malformed(str(error))
            return failed(f"malformed request: {error}")
        requests.in_a_row = 0
        try:
            return answer(decoded, *more, **named)
        except MalformedRequestsError:
            raise
        except (CompatError, RecursionError) as error:
            return failed(str(error))

    return handle


def handlers_for(
    network: Network,
    publish: Callable[[Publication], str | None],
    log: Callable[[str, str, Any], None],
    malformed: Callable[[str], Malformed],
    *,
    receive: Callable[[bytes, int], Replies] | None = None,
    lost: Callable[[str], None] = _ignore,
    clock: Callable[[], int] = time.time_ns,
) -> dict[str, Handler]:
    """The handlers of one guest, by host function.

    Args:
        network: The guest's way to the network.
        publish: Takes what the guest publishes; returns why it is refused, or ``None``.
        log: Takes a log record's event type, message and data.
        malformed: Makes what counts the malformed requests to a host function, from its name.
        receive: What answers ``ws_receive``, if it is made already; see ``receiving``.
        lost: Told why, when something published could not be read.
        clock: Nanoseconds since 1970 UTC.
    """
    receive = receive or receiving(network, malformed)

    def ws_connect(request: _ConnectRequest) -> bytes:
        connection = network.connect(request.url, request.headers or {}, request.subprotocol or None)
        return _encode({"success": True, "connectionId": connection})

    def ws_send(request: _SendRequest) -> bytes:
        network.send(str(request.connection_id), request.message)
        return _SUCCESS

    def ws_close(request: _CloseRequest) -> bytes:
        network.close(str(request.connection_id))
        return _SUCCESS

    def publish_stream_data(request: _PublishRequest) -> bytes:
        data = bytes(request.data)
        if not data.isascii():
            data = valid_utf8(data)
        refused = publish(Publication(bytes(request.key), data, request.timestamp))
        return _SUCCESS if refused is None else _failed(refused)

    def http_request(request: _HttpRequest) -> bytes:
        reply = network.request(request.method, request.url, request.headers or {}, request.body or b"")
        encoded = base64.b64encode(reply.body).decode()
        return _encode({**_status(reply.status), "headers": dict(reply.headers), "body": encoded})

    def guarded(
        request_type: type[T],
        answer: Callable[[T], bytes],
        failed: Callable[[str], bytes] = _failed,
        also_told: Callable[[str], None] = _ignore,
    ) -> Handler:
        requests, decoder = malformed(answer.__name__), Lenient(request_type)

        def on_malformed(problem: str) -> None:
            also_told(f"malformed request: {problem}")
            requests.answer(problem)

        return _guarded(decoder.strict, decoder.decode, answer, failed, requests=requests, on_malformed=on_malformed)

    return {
        "ws_connect": guarded(_ConnectRequest, ws_connect),
        "ws_send": guarded(_SendRequest, ws_send),
        "ws_receive": lambda request: receive(request, 1)[0][0],
        "ws_close": guarded(_CloseRequest, ws_close),
        "publish_stream_data": guarded(_PublishRequest, publish_stream_data, also_told=lost),
        "http_request": guarded(_HttpRequest, http_request, _http_failed),
        **local_handlers(log, malformed, clock),
    }


def receiving(network: Network, malformed: Callable[[str], Malformed]) -> Callable[[bytes, int], Replies]:
    """What answers ``ws_receive``: a request, with its own reply and with those to the next ones of the same bytes.

    Args:
        network: The guest's way to the network.
        malformed: Makes what counts the malformed requests to a host function, from its name.

    Returns:
        A function of a request and of how many replies there may be, at least one; and how many bring a message.
    """
    requests, decoder = malformed("ws_receive"), Lenient(_ReceiveRequest)

    def ws_receive(request: _ReceiveRequest, most: int) -> Replies:
        messages = network.receive(str(request.connection_id), request.timeout_ms or 0, most)
        replies = [_encode({"success": True, "message": message}) for message in messages]
        return replies or [_TIMEOUT], len(replies)

    def failed(message: str) -> Replies:
        return [_failed(message)], 0

    answer, strict, lenient = ws_receive, decoder.strict, decoder.decode
    return _guarded(strict, lenient, answer, failed, requests=requests, on_malformed=requests.answer)


def local_handlers(
    log: Callable[[str, str, Any], None], malformed: Callable[[str], Malformed], clock: Callable[[], int]
) -> dict[str, Handler]:
    """The handlers of what leaves this machine alone, by host function. See ``handlers_for``."""
    records = malformed("log_record")

    def log_record(record: _LogRecord) -> bytes:
        kind, message = record.event_type or record.level or "info", record.message
        if type(kind) is not str or type(message) is not str:
            kind, message = _as_text(kind), _as_text(message)
        log(kind, message, record.data)
        return b""  # guests do not read what it returns

    def time_now(_: bytes) -> bytes:
        return _encode(rfc3339(clock()))

    # A guest cannot spin on what answers nothing, so that malformed records are counted and told, and that is all.
    strict, note = _records.strict, records.note
    guarded = _guarded(strict, _read_record, log_record, lambda _: b"", requests=records, on_malformed=note)
    return {"log_record": guarded, "time_now": time_now}


_records = Lenient(_LogRecord)


def _read_record(request: bytes) -> _LogRecord:
    """Read whatever is JSON as a log record: what is no object, or has no message, is the message itself."""
    try:
        return _records.decode(request)
    except msgspec.ValidationError:
        said = decode_json(request)
        fields = said if isinstance(said, dict) else {}
        return _LogRecord(said, fields.get("eventType"), fields.get("level"))


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else _encode(value).decode()


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
