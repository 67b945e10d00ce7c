"""Opening WebSockets. Everything above sees two small protocols, so a connector can be injected.

Exceptions of the ``websockets`` library, of ``ssl`` and of the operating system are translated here, once, in one
table, and never get past this room.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import attrs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidHeader,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
)
from websockets.typing import Subprotocol

from adapters.errors import ConnectFailedError, ConnectionLostError

__all__ = ["Connector", "PingingSocket", "Socket", "WebSocketConnector"]

_CLOSE_TIMEOUT = 1.0  # seconds for the closing handshake; after that the transport is aborted
_MAX_MESSAGE = 16 * 2**20  # bytes


class Socket(Protocol):
    """An open WebSocket."""

    async def receive(self) -> str | bytes:
        """The next message. Raises ``ConnectionLostError`` when there is none to come."""
        ...

    async def send(self, message: str) -> None:
        """Send a text message. Raises ``ConnectionLostError``."""
        ...

    async def close(self) -> None:
        """Close it, within about a second whatever the other end does. Never raises."""
        ...


@runtime_checkable
class PingingSocket(Socket, Protocol):
    """A socket that can send ping frames: what a connector may return, and need not."""

    async def ping(self) -> None:
        """Send a ping frame; return when its pong has come. Raises ``ConnectionLostError``. May be cancelled."""
        ...


class Connector(Protocol):
    """Opens WebSockets.

    A connector that opens them by the ``websockets`` library in a way of its own is
    ``WebSocketConnector(opens=...)``. Any other implements this protocol; what it or its sockets raise that is not
    one of the errors named here counts as such, and recovery is the same.
    """

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        """Open one. Raises ``ConnectFailedError``."""
        ...


@attrs.frozen
class WebSocketConnector:
    """Real WebSockets by the ``websockets`` library.

    Attributes:
        ssl: The TLS context for ``wss``; ``None`` for the system's trust.
        open_timeout: Seconds for connecting, TLS and handshake together.
        max_message: Bytes; a longer message ends the connection.
        opens: A function of your own that opens connections of the ``websockets`` library, as
            ``await opens(url, headers, subprotocol)``; the three above are its business then. What it raises is
            translated, and what it opens is closed for you.
    """

    ssl: ssl.SSLContext | None = None
    open_timeout: float = 10.0
    max_message: int = _MAX_MESSAGE
    opens: Callable[[str, Mapping[str, str], str | None], Awaitable[ClientConnection]] | None = None

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        """Open one. Raises ``ConnectFailedError``."""
        try:
            connection = await (self.opens or self._open)(url, headers, subprotocol)
        except Exception as error:
            found = _problem(error)
            if found is None:
                raise
            problem, remedy = found
            # What the library says of addresses, headers and proxies shows them, and they carry secrets.
            raise ConnectFailedError(url, problem, remedy=remedy) from None
        return _WebSocket(url, connection)

    async def _open(self, url: str, headers: Mapping[str, str], subprotocol: str | None) -> ClientConnection:
        return await _Connect(
            url,
            additional_headers=dict(headers),
            subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
            ssl=(self.ssl or True) if url.startswith("wss:") else None,  # True: the system's trust
            open_timeout=self.open_timeout,
            close_timeout=_CLOSE_TIMEOUT,
            max_size=self.max_message,
        )


class _Connect(connect):
    """Follows no redirect: it would lead past the network policy."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _WebSocket:
    def __init__(self, url: str, connection: ClientConnection) -> None:
        self._url = url
        self._connection = connection

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise ConnectionLostError(self._url, _closed(error)) from None

    async def send(self, message: str) -> None:
        try:
            await self._connection.send(message)
        except ConnectionClosed as error:
            raise ConnectionLostError(self._url, _closed(error)) from None

    async def ping(self) -> None:
        try:
            await (await self._connection.ping())
        except ConnectionClosed as error:
            raise ConnectionLostError(self._url, _closed(error)) from None

    async def close(self) -> None:
        try:
            # The library's own timeout does not cover a full receive queue.
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._connection.close()
        except TimeoutError:
            self._connection.transport.abort()


def _closed(error: ConnectionClosed) -> str:
    if error.rcvd is None:
        return "it broke off without a closing handshake" if error.sent is None else f"closed by us ({error.sent})"
    reason = f" {error.rcvd.reason!r}" if error.rcvd.reason else ""
    return f"the other end closed it with code {error.rcvd.code}{reason}"


def _problem(error: Exception) -> tuple[str, str] | None:
    """What went wrong while connecting and what helps; ``None`` for an exception that is not the network's."""
    for kind, words, remedy in _PROBLEMS:
        if isinstance(error, kind):
            return words(error), remedy
    return None


_UNREACHABLE = "Check that it can be reached from here, or redirect the plugin to another address by a rewrite"
_REFUSED = "Check the credentials in the plugin's configuration, and whether the exchange is in service"
_TLS = "Trust its authority: WebSocketConnector(ssl=...), or SSL_CERT_FILE in the environment"
_PROXY = "Correct the proxy in the environment, or exempt the host: no_proxy"

_PROBLEMS: tuple[tuple[type[Exception], Callable[[Any], str], str], ...] = (
    (InvalidStatus, lambda error: f"the server answered with HTTP status {error.response.status_code}", _REFUSED),
    (InvalidURI, lambda _: "the address is not a WebSocket URL", ""),
    # Its value may be a secret.
    (InvalidHeader, lambda error: f"the header {error.name} is missing or unusable", ""),
    (InvalidHandshake, lambda error: f"the handshake failed: {error}", ""),
    (InvalidProxy, lambda _: "the proxy in this process's environment is not usable", _PROXY),
    (ImportError, lambda _: "the proxy in this process's environment needs the package python-socks", _PROXY),
    (ssl.SSLCertVerificationError, lambda error: f"its certificate is not trusted: {error.verify_message}", _TLS),
    (ssl.SSLError, lambda error: f"TLS failed: {error.reason or error}", ""),
    (TimeoutError, lambda _: "no answer in time", _UNREACHABLE),
    (ConnectionRefusedError, lambda _: "connection refused", _UNREACHABLE),
    (ConnectionResetError, lambda _: "connection reset", ""),
    (OSError, lambda error: error.strerror or str(error) or type(error).__name__, _UNREACHABLE),
    (UnicodeError, lambda _: "the host is not a host name", ""),
    (ValueError, lambda _: "its address or subprotocol is unusable", ""),
    (EOFError, lambda _: "the server closed the connection during the handshake", ""),
)
