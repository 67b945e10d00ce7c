"""Opening WebSockets. Everything above sees two small protocols, so a connector can be injected.

What the ``websockets`` library raises is translated by ``problems`` and never gets past this room.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, runtime_checkable

import attrs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from adapters.arguments import FUNCTION, more_than_0, one_of_type, whole
from adapters.net.connection import KeptConnection
from adapters.net.endings import how_it_ended
from adapters.net.errors import ConnectFailedError, ConnectionLostError, without_query
from adapters.net.problems import what_failed
from adapters.net.proxies import by_way_of, proxy_for
from detectors.machine import machine_error

__all__ = ["BatchSocket", "Connector", "PingingSocket", "Socket", "WebSocketConnector"]

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


@runtime_checkable
class BatchSocket(Socket, Protocol):
    """A socket that hands out at once what has come: what a connector may return, and need not."""

    async def receive_many(self, most: int) -> list[str | bytes]:
        """The next messages: those that have come, ``most`` at most, and at least one, which is waited for.

        Raises ``ConnectionLostError`` when there is none to come, and only then: what came before is returned first.
        May be cancelled, and loses nothing by it.
        """
        ...


class Connector(Protocol):
    """Opens WebSockets.

    A connector that opens them by the ``websockets`` library in a way of its own is
    ``WebSocketConnector(opens=...)``. Any other implements this protocol; what it or its sockets raise that is not
    one of the errors named here counts as such, and recovery is the same.
    """

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        """Open one. Raises ``ConnectFailedError``, or ``MachineError``."""
        ...


@attrs.frozen
class WebSocketConnector:
    """Real WebSockets by the ``websockets`` library, through the proxy that the environment names, if any.

    Attributes:
        ssl: The TLS context for ``wss``; ``None``: that of ``AdapterSettings(tls=...)``, or else the system's trust.
        open_timeout: Seconds for connecting, TLS and handshake together.
        send_timeout: Seconds for one message to be written, which waits while the other end does not read.
        max_message: Bytes, unpacked where it comes compressed; a longer message ends the connection.
        keepalive: Seconds between pings, and for how long nothing may come after one before the connection counts as
            lost. Only time in which the socket is read is counted: a slow consumer loses nothing. ``None``: no pings.
        opens: A function of your own that opens connections of the ``websockets`` library, as
            ``await opens(url, headers, subprotocol)``; all of the above is its business then. What it raises is
            translated, and what it opens is closed for you.

    Raises:
        UsageError: One of them makes no sense.
    """

    ssl: ssl.SSLContext | None = attrs.field(default=None, validator=one_of_type(ssl.SSLContext).or_none())
    open_timeout: float = attrs.field(default=10.0, validator=more_than_0("seconds"))
    send_timeout: float = attrs.field(default=20.0, validator=more_than_0("seconds"))
    max_message: int = attrs.field(default=_MAX_MESSAGE, validator=whole(1, "bytes"))
    keepalive: float | None = attrs.field(default=20.0, validator=more_than_0("seconds").or_none())
    opens: Callable[[str, Mapping[str, str], str | None], Awaitable[ClientConnection]] | None = attrs.field(
        default=None, validator=FUNCTION.or_none()
    )

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        """Open one. Raises ``ConnectFailedError``."""
        proxy = None if self.opens else proxy_for(url)
        try:
            if self.opens:
                return _WebSocket(url, await self.opens(url, headers, subprotocol), None, self.send_timeout)
            opened = await self._open(url, headers, subprotocol, proxy)
            return _WebSocket(url, opened, self.max_message, self.send_timeout)
        except Exception as error:
            lacking = machine_error(error, doing=f"could not connect to {without_query(url)}")
            if lacking is not None:
                raise lacking from None
            found = what_failed(error, url, proxy)
            if found is None:
                raise
            raise ConnectFailedError(
                url,
                by_way_of(found.words, proxy),
                remedy=found.remedy,
                status=found.status,
                retry_after=found.retry_after,
            ) from None

    async def _open(
        self, url: str, headers: Mapping[str, str], subprotocol: str | None, proxy: str | None
    ) -> ClientConnection:
        context = None
        if url.startswith("wss:"):
            # Left to itself the library reads the file of the system's authorities on the event loop.
            context = self.ssl or await asyncio.to_thread(ssl.create_default_context)
        return await _Connect(
            url,
            additional_headers=dict(headers),
            subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
            ssl=context,
            proxy=proxy,
            open_timeout=self.open_timeout,
            ping_interval=self.keepalive,
            close_timeout=_CLOSE_TIMEOUT,
            max_size=self.max_message,
            create_connection=KeptConnection,
        )


class _Connect(connect):
    """Follows no redirect: it would lead past the network policy."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _WebSocket:
    def __init__(self, url: str, connection: ClientConnection, limit: int | None, send_timeout: float) -> None:
        self._url = url
        self._connection = connection
        self._limit = limit
        self._send_timeout = send_timeout
        # A connection that a function of one's own has opened may allow itself any time to close.
        bounded = isinstance(connection, KeptConnection) and connection.close_timeout
        self._close_timeout = bounded or _CLOSE_TIMEOUT

    async def receive(self) -> str | bytes:
        try:
            return await self._connection.recv()
        except ConnectionClosed as error:
            raise self._lost(error) from None

    async def receive_many(self, most: int) -> list[str | bytes]:
        if not isinstance(self._connection, KeptConnection):
            return [await self.receive()]
        try:
            return await self._connection.recv_many(most)
        except ConnectionClosed as error:
            raise self._lost(error) from None

    async def send(self, message: str) -> None:
        try:
            async with asyncio.timeout(self._send_timeout):
                await self._connection.send(message)
        except ConnectionClosed as error:
            raise self._lost(error) from None
        except TimeoutError:
            # Nobody else would notice: while nothing can be written, nothing is read, and silence does not count.
            self._connection.transport.abort()
            problem = f"the other end has read nothing for {self._send_timeout:g} s"
            raise ConnectionLostError(self._url, problem) from None

    async def ping(self) -> None:
        try:
            await (await self._connection.ping())
        except ConnectionClosed as error:
            raise self._lost(error) from None

    async def close(self) -> None:
        try:
            # The library's own timeout does not cover a full receive queue.
            async with asyncio.timeout(self._close_timeout):
                await self._connection.close()
        except BaseException as error:  # cancelled, too: nobody else closes it
            self._connection.transport.abort()
            if not isinstance(error, TimeoutError):
                raise

    def _lost(self, error: ConnectionClosed) -> ConnectionLostError:
        ours = self._connection if isinstance(self._connection, KeptConnection) else None
        problem, remedy = how_it_ended(error, self._limit, ours.broken if ours else error.__cause__)
        if ours and ours.half_open:
            problem = f"no answer to a ping within {ours.ping_interval:g} s: the connection is half-open"
        return ConnectionLostError(self._url, problem, remedy=remedy)
