"""What goes wrong with a connection, in words.

Exceptions of the ``websockets`` library, of ``ssl`` and of the operating system are translated here, once, in tables,
and never get further up. Nothing that may hold a secret is repeated: no address, header value or proxy.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import attrs
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidHeader,
    InvalidMessage,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)
from websockets.frames import Close, CloseCode

from adapters.net.proxies import NEEDED

__all__ = [
    "BAD_PROXY",
    "NO_ANSWER",
    "NO_SOCKS",
    "PROXY_REMEDY",
    "Problem",
    "Words",
    "how_it_ended",
    "read_retry_after",
    "what_failed",
]

Words = tuple[str, str]  # what went wrong, and what helps


@attrs.frozen
class Problem:
    """Why a connection could not be opened.

    Attributes:
        words: What went wrong.
        remedy: What helps; empty if nothing is known to.
        status: The HTTP status that the server answered with instead of a WebSocket.
        retry_after: Seconds for which it asks not to be tried again.
    """

    words: str
    remedy: str = ""
    status: int | None = None
    retry_after: float | None = None


def what_failed(error: BaseException) -> Problem | None:
    """What went wrong while connecting; ``None`` for an exception that is not the network's."""
    if isinstance(error, InvalidStatus):
        return _refusal(error)
    for cause in _causes(error):  # what befell the connection in the middle of a handshake is deeper down
        if isinstance(cause, ssl.SSLError):
            return Problem(*_tls_words(cause))
        if isinstance(error, InvalidMessage) and isinstance(cause, ConnectionError | EOFError):
            return what_failed(cause)
    if isinstance(error, OSError) and (error.errno or 0) > 0:  # a subclass of theirs comes out as the system's own
        error = OSError(error.errno, error.strerror)
    for kind, words, remedy in _PROBLEMS:
        if isinstance(error, kind):
            return Problem(words(error), remedy)
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it was raised from; not what was being handled meanwhile, which may be another failure."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


# Opening

_UNREACHABLE = "Check that it can be reached from here, or redirect the plugin to another address by a rewrite"
PROXY_REMEDY = "Correct the proxy in the environment, or exempt the host: no_proxy"
NO_ANSWER = ("no answer in time", _UNREACHABLE)
BAD_PROXY = ("the proxy in this process's environment is not usable", PROXY_REMEDY)
NO_SOCKS = ("the proxy in this process's environment speaks SOCKS", NEEDED)
_NO_WEBSOCKET = "Check that the address is that of a WebSocket"


def _proxy_words(error: ProxyError) -> str:
    said = f": {error.__cause__}" if error.__cause__ else ""
    return f"the proxy did not connect{said}"


_PROBLEMS: tuple[tuple[type[Exception], Callable[[Any], str], str], ...] = (
    (InvalidURI, lambda _: "the address is not a WebSocket URL", ""),
    (
        InvalidProxyStatus,
        lambda error: f"the proxy answered with HTTP status {error.response.status_code}",
        PROXY_REMEDY,
    ),
    (ProxyError, _proxy_words, PROXY_REMEDY),
    (InvalidProxy, lambda _: BAD_PROXY[0], BAD_PROXY[1]),
    (ImportError, lambda _: NO_SOCKS[0], NO_SOCKS[1]),
    # Its value may be a secret.
    (InvalidHeader, lambda error: f"the header {error.name} is missing or unusable", ""),
    (InvalidHandshake, lambda error: f"the handshake failed: {error}", _NO_WEBSOCKET),
    (TimeoutError, lambda _: NO_ANSWER[0], NO_ANSWER[1]),
    (ConnectionRefusedError, lambda _: "connection refused", _UNREACHABLE),
    (ConnectionResetError, lambda _: "connection reset", ""),
    (OSError, lambda error: error.strerror or str(error) or type(error).__name__, _UNREACHABLE),
    (UnicodeError, lambda _: "the host is not a host name", ""),
    (ValueError, lambda _: "its address or subprotocol is unusable", ""),
    (EOFError, lambda _: "the server closed the connection during the handshake", _UNREACHABLE),
)

_REFUSED = "Check the credentials in the plugin's configuration, and whether the exchange is in service"
_REMEDIES: dict[int, str] = {
    200: _NO_WEBSOCKET,
    401: "Check the credentials in the plugin's configuration",
    403: "Check the credentials in the plugin's configuration, and whether the exchange serves this place",
    404: _NO_WEBSOCKET,
    429: "The exchange asks to be called less often: open fewer streams, or come back later",
    **dict.fromkeys(range(300, 400), "Redirects are not followed: lead the plugin to the new address by a rewrite"),
    **dict.fromkeys(range(500, 600), "Check whether the exchange is in service, or come back later"),
}


def _refusal(error: InvalidStatus) -> Problem:
    status = error.response.status_code
    asked = error.response.headers.get_all("Retry-After")
    retry_after = read_retry_after(asked[0]) if len(asked) == 1 else None
    later = "" if not retry_after else f", and asks for {retry_after:g} s of patience"
    words = f"the server answered with HTTP status {status}{later}"
    return Problem(words, _REMEDIES.get(status, _REFUSED), status, retry_after)


def read_retry_after(text: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Read the value of ``Retry-After``: seconds, or an HTTP date.

    Args:
        text: The header's value.
        now: Tells the time; a date is relative to it.

    Returns:
        Seconds from now, 0 for a time that has passed; ``None`` if it is neither.
    """
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text) if len(text) <= _MOST_DIGITS else None
    try:
        when = parsedate_to_datetime(text)
        return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now().timestamp())
    except (ValueError, OverflowError):
        return None


_MOST_DIGITS = 15  # more seconds than the universe has lasted are no answer

# TLS

_TRUST = "Trust its authority: Tls(ca=...), --ca-file, or SSL_CERT_FILE in the environment"
_CLOCK = "Check this machine's clock; if it is right, the certificate has to be replaced by its owner"
_OTHER_HOST = "Lead the plugin to the host that the certificate is made for, by a rewrite"
_CERTIFICATE = "Give one that it accepts: Tls(certificate=..., key=...), --client-cert and --client-key"

_UNTRUSTED: dict[int, str] = {9: _CLOCK, 10: _CLOCK, 62: _OTHER_HOST, 64: _OTHER_HOST}  # by OpenSSL's verify codes

_NO_TLS = ("TLS failed: the other end does not speak TLS", "")  # the gateway knows how to get there without
_TOO_OLD = (
    "TLS failed: the other end offers no version of TLS that is safe",
    "It has to be brought up to date by its operator",
)
_NO_CERTIFICATE = ("TLS failed: the other end asks for a client certificate, or does not accept ours", _CERTIFICATE)
_BROKEN_OFF = ("TLS failed: the other end broke off the handshake", _UNREACHABLE)
_TLS: dict[str, Words] = {  # by OpenSSL's reasons, of which there is a new set now and then
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _TOO_OLD,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _NO_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": _NO_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": _NO_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _NO_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _NO_CERTIFICATE,
    "UNEXPECTED_EOF_WHILE_READING": _BROKEN_OFF,
}


def _tls_words(error: ssl.SSLError) -> Words:
    if isinstance(error, ssl.SSLCertVerificationError):
        problem = f"its certificate is not trusted: {error.verify_message.rstrip('.')}"
        return problem, _UNTRUSTED.get(error.verify_code, _TRUST)
    reason = getattr(error, "reason", None) or str(error)  # which some have not
    return _TLS.get(reason, (f"TLS failed: {reason}", ""))


# Ending

_SILENT = "no answer to a ping: the connection is half-open"


def how_it_ended(error: ConnectionClosed, limit: int | None, cause: BaseException | None = None) -> Words:
    """How an open connection ended, and what helps.

    Args:
        error: What the library says of it.
        limit: Bytes that a message may have; ``None`` if that is not known.
        cause: What ended the connection below, if that is known.
    """
    sent, received = error.sent, error.rcvd
    if sent is not None and not (received is not None and error.rcvd_then_sent):
        return _ended_by_us(sent, limit)
    if received is not None:
        reason = f" {received.reason!r}" if received.reason else ""
        return f"the other end closed it with code {received.code}{reason}", ""
    why = ": connection reset" if isinstance(cause, ConnectionResetError) else ""
    return f"it broke off without a closing handshake{why}", ""


def _ended_by_us(sent: Close, limit: int | None) -> Words:
    if sent.code == CloseCode.MESSAGE_TOO_BIG and "fragments" not in sent.reason:
        length = "its connection allows" if limit is None else f"{limit} bytes"
        return f"a message is longer than {length}", "If that is a message as it should be, raise max_message"
    if sent.code == CloseCode.INTERNAL_ERROR and sent.reason.startswith("keepalive"):  # of a function of one's own
        return _SILENT, ""
    words = _OURS.get(sent.code)
    return (words.format(sent.reason) if words else f"closed by us ({sent})"), ""


_OURS: dict[int, str] = {
    CloseCode.PROTOCOL_ERROR: "what came breaks the WebSocket protocol: {}",
    CloseCode.INVALID_DATA: "a text message that came is not UTF-8: {}",
    CloseCode.MESSAGE_TOO_BIG: "a message that came has {}",
}
