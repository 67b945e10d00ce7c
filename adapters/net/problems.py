"""What goes wrong while a connection is opened, in words; how an open one ended is in ``endings.py``.

Exceptions of the ``websockets`` library, of ``ssl`` and of the operating system are translated here, once, in tables,
and never get further up. Nothing that may hold a secret is repeated: no address, header value or proxy.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from socket import gaierror
from typing import Any
from urllib.parse import urlsplit

import attrs
from websockets.exceptions import (
    InvalidHandshake,
    InvalidHeader,
    InvalidMessage,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)

from adapters.net.policy import is_private
from adapters.net.proxies import NEEDED, host_of

__all__ = [
    "BAD_PROXY",
    "NO_SOCKS",
    "PROXY_REMEDY",
    "UNKNOWN_HOST",
    "Problem",
    "Words",
    "both",
    "read_retry_after",
    "unresolved",
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


def what_failed(error: BaseException, url: str, proxy: str | None = None) -> Problem | None:
    """What went wrong while connecting; ``None`` for an exception that is not the network's.

    Args:
        error: What was raised.
        url: Where the connection was to lead.
        proxy: The proxy by whose way, if any.
    """
    if proxy:
        return _before_the_proxy(error, proxy) or _beyond_the_proxy(error, url, proxy)
    return _at_the_server(error, url)


def _at_the_server(error: BaseException, url: str) -> Problem | None:
    if isinstance(error, InvalidStatus):
        return _refusal(error, url)
    for cause in _causes(error):  # what befell the connection in the middle of a handshake is deeper down
        if isinstance(cause, ssl.SSLError):
            return Problem(*_tls_words(cause, url if cause is error else ""))
        if isinstance(error, InvalidMessage) and isinstance(cause, ConnectionError | EOFError):
            found = _in_the_table(cause)
            return found and attrs.evolve(found, remedy=both(found.remedy, _BROKEN_OFF_BY.get(_scheme(url), "")))
    if isinstance(error, gaierror | UnicodeError):
        return Problem(unresolved(urlsplit(url).hostname or "its host", error), UNKNOWN_HOST)
    found = _in_the_table(error)
    if found and isinstance(error, ConnectionResetError):  # and nothing of TLS has been seen
        return attrs.evolve(found, remedy=_without_tls(url) or found.remedy)
    speaks_tls = isinstance(error, InvalidMessage) and _scheme(url) == "ws"  # as its alert would be no HTTP
    return attrs.evolve(found, remedy=both(found.remedy, _SPEAKS_TLS)) if found and speaks_tls else found


def _in_the_table(error: BaseException) -> Problem | None:
    error = _of_the_system(error)
    return next((Problem(words(error), remedy) for kind, words, remedy in _PROBLEMS if isinstance(error, kind)), None)


def _of_the_system(error: BaseException) -> BaseException:
    """A subclass that a library has made of one of the system's errors comes out as the system's own."""
    if isinstance(error, OSError) and (error.errno or 0) > 0:
        return OSError(error.errno, error.strerror)
    return error


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it was raised from; not what was being handled meanwhile, which may be another failure."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def both(*remedies: str) -> str:
    """Remedies one after the other, those that are empty left out."""
    return ". ".join(filter(None, remedies))


def unresolved(host: str, error: OSError | ValueError) -> str:
    """What to say of a host whose name leads to no address."""
    return f"{host} cannot be resolved: {error.strerror if isinstance(error, OSError) else 'it is not a host name'}"


def _scheme(url: str) -> str:
    return url.partition("://")[0]


# Opening

_UNREACHABLE = "Check that it can be reached from here, or redirect the plugin to another address by a rewrite"
_AGAIN = "If it goes on, the exchange may bar this address, or is overloaded"
UNKNOWN_HOST = (
    "Check the host's name, and that this machine is online; --rewrite, or rewrite=, leads to another address"
)
PROXY_REMEDY = "Correct https_proxy (or all_proxy, socks_proxy) in the environment, or exempt the host: no_proxy"
BAD_PROXY = ("the proxy in this process's environment is not usable", PROXY_REMEDY)
NO_SOCKS = ("the proxy in this process's environment speaks SOCKS", NEEDED)
_NO_WEBSOCKET = "Check that the address is that of a WebSocket"
_SPEAKS_TLS = "If the server speaks TLS, lead there with wss://"
_WANTS_CERTIFICATE = (
    "A server that wants a client certificate may do this: Tls(certificate=..., key=...), --client-cert and "
    "--client-key"
)
_BROKEN_OFF_BY = {"ws": _SPEAKS_TLS, "wss": _WANTS_CERTIFICATE}  # who hangs up once the request has been sent


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
    (TimeoutError, lambda _: "no answer in time", _UNREACHABLE),
    (ConnectionRefusedError, lambda _: "connection refused", _UNREACHABLE),
    (ConnectionResetError, lambda _: "connection reset", _AGAIN),
    (OSError, lambda error: error.strerror or str(error) or type(error).__name__, _UNREACHABLE),
    (ValueError, lambda _: "its address or subprotocol is unusable", ""),
    (EOFError, lambda _: "the server closed the connection during the handshake", _AGAIN),
)

_BAD_REQUEST = 400
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


def _refusal(error: InvalidStatus, url: str) -> Problem:
    status = error.response.status_code
    asked = error.response.headers.get_all("Retry-After")
    retry_after = read_retry_after(asked[0]) if len(asked) == 1 else None
    later = "" if not retry_after else f", and asks for {retry_after:g} s of patience"
    words = f"the server answered with HTTP status {status}{later}"
    remedy = _REMEDIES.get(status, _REFUSED)
    if status == _BAD_REQUEST and _scheme(url) == "ws":  # some servers say so on the port of TLS
        remedy = both(remedy, _SPEAKS_TLS)
    return Problem(words, remedy, status, retry_after)


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

# By way of a proxy


def _before_the_proxy(error: BaseException, proxy: str) -> Problem | None:
    """What failed on the way to the proxy itself; ``None`` if that was met, or may have been."""
    host = host_of(proxy)
    if host is None:
        return Problem(*BAD_PROXY)
    for cause in _causes(error):
        if isinstance(cause, gaierror) or (cause is error and isinstance(cause, UnicodeError)):
            return Problem(unresolved(f"the proxy's host {host}", cause), PROXY_REMEDY)
    error = _of_the_system(error)
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError | TimeoutError | ConnectionResetError):
        found = _in_the_table(error)  # nobody but the proxy is connected to from here
        return found and attrs.evolve(found, remedy=PROXY_REMEDY)
    return None


def _beyond_the_proxy(error: BaseException, url: str, proxy: str) -> Problem | None:
    """What failed where it cannot always be told whether the proxy is to blame, or what lies behind it."""
    hops_by_tls = isinstance(error, ssl.SSLError) and _scheme(proxy) == "https"
    found = _at_the_server(error, "" if hops_by_tls else url)
    if found is not None and (hops_by_tls or isinstance(error, TimeoutError | ConnectionResetError)):
        own = "Check that the proxy can reach the host" if isinstance(error, TimeoutError) else found.remedy
        return attrs.evolve(found, remedy=both(own, PROXY_REMEDY))
    return found


# TLS

_TRUST = "Trust its authority: Tls(ca=...), --ca-file, or SSL_CERT_FILE in the environment"
_CLOCK = "Check this machine's clock; if it is right, the certificate has to be replaced by its owner"
_OTHER_HOST = "Lead the plugin to the host that the certificate is made for, by a rewrite"
_CERTIFICATE = "Give one that it accepts: Tls(certificate=..., key=...), --client-cert and --client-key"

_UNTRUSTED: dict[int, str] = {9: _CLOCK, 10: _CLOCK, 62: _OTHER_HOST, 64: _OTHER_HOST}  # by OpenSSL's verify codes

_NO_TLS = ("TLS failed: the other end does not speak TLS", "")  # see _without_tls
_TOO_OLD = (
    "TLS failed: the other end offers no version of TLS that is safe",
    "It has to be brought up to date by its operator",
)
_NO_CERTIFICATE = ("TLS failed: the other end asks for a client certificate, or does not accept ours", _CERTIFICATE)
_NO_AGREEMENT = (
    "TLS failed: the other end asks for a client certificate, or does not accept ours, or shares no cipher",
    _CERTIFICATE,
)
_BROKEN_OFF = ("TLS failed: the other end broke off the handshake", _UNREACHABLE)
_TLS: dict[str, Words] = {  # by OpenSSL's reasons, of which there is a new set now and then
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _TOO_OLD,
    "TLSV1_ALERT_PROTOCOL_VERSION": _TOO_OLD,
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NO_AGREEMENT,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _NO_CERTIFICATE,
    "SSLV3_ALERT_BAD_CERTIFICATE": _NO_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": _NO_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _NO_CERTIFICATE,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": _NO_CERTIFICATE,
    "UNEXPECTED_EOF_WHILE_READING": _BROKEN_OFF,
}


def _tls_words(error: ssl.SSLError, url: str) -> Words:
    if isinstance(error, ssl.SSLCertVerificationError):
        problem = f"its certificate is not trusted: {error.verify_message.rstrip('.')}"
        return problem, _UNTRUSTED.get(error.verify_code) or both(_TRUST, *_unreadable())
    reason = getattr(error, "reason", None) or str(error)  # which some have not
    words, remedy = _TLS.get(reason, (f"TLS failed: {reason}", ""))
    if (words, remedy) in (_NO_TLS, _BROKEN_OFF):  # whoever sends an alert speaks TLS
        remedy = _without_tls(url) or remedy
    return words, remedy


def _without_tls(url: str) -> str:
    """What helps where nobody speaks TLS: a simulator on this machine or network seldom does."""
    parts = urlsplit(url)
    if parts.scheme != "wss" or not is_private(parts.hostname or ""):
        return ""
    return f"If the server does not speak TLS, lead there with ws:// instead of wss://: ws://{parts.netloc}"


def _unreadable() -> Iterator[str]:
    """What the environment says of whom to trust, and OpenSSL passes over in silence."""
    file = os.environ.get("SSL_CERT_FILE")
    if file and not (Path(file).is_file() and os.access(file, os.R_OK)):
        yield f"SSL_CERT_FILE names '{file}', which cannot be read"
    for folder in filter(None, os.environ.get("SSL_CERT_DIR", "").split(os.pathsep)):
        if not (Path(folder).is_dir() and os.access(folder, os.R_OK | os.X_OK)):
            yield f"SSL_CERT_DIR names '{folder}', which cannot be read"
