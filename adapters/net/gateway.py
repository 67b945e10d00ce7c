"""The one door to the network: policy first, then the connector or the HTTP client.

Host names are resolved before connecting and every address they lead to is judged; a name that resolves differently a
moment later is not caught here yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket as _socket
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl, urlsplit

import httpx

from adapters.net.errors import BUSY, ConnectFailedError, ConnectionLostError, without_query
from adapters.net.http import http_words
from adapters.net.pacing import Pacer, Pacing
from adapters.net.policy import NetworkPolicy, is_private
from adapters.net.problems import UNKNOWN_HOST, both, unresolved
from adapters.net.proxies import NEEDED, proxy_for
from adapters.net.socket import BatchSocket, Connector, PingingSocket, Socket
from adapters.runtime.hostcalls import HttpReply
from adapters.secrets import Redactor
from detectors.errors import CompatError
from detectors.machine import machine_error, machine_faults

__all__ = ["Gateway", "GuardedSocket"]

_WEBSOCKET = ("wss", "ws")
_HTTP = ("https", "http")
_PORTS = {"ws": 80, "wss": 443}
_LEFT_TO_PROXY = (
    "Where names can be resolved only by the proxy in the environment, leave it to that: --trust-proxy, or "
    "NetworkPolicy(trust_proxy=True)"
)
_LONGEST_CLOSE = 3.0  # seconds that a connector's socket may take, of which a second is promised
_FRAMING = frozenset({"content-length", "transfer-encoding", "host"})  # headers that follow from the request itself


class Gateway:
    """Connections for one plugin.

    Args:
        plugin: The plugin's name, for errors.
        policy: The operator's decisions.
        declared: The URL patterns that the plugin declares.
        unread: Why what it declares could not be read, in whole or in part; empty if it could.
        connector: Opens WebSockets.
        http: Makes an HTTP client; it must not follow redirects.
        pacing: How fast and how many.
        pacer: The account of connections and attempts that ``pacing`` is held against; its own by default.
        max_response: Bytes of the body of an HTTP response; a longer one is an error.
        redact: Takes secrets out of what errors say: the other end may repeat what it was sent.
        sleep: Waits for so many seconds of the pacer's clock, until it is the turn of a connection.
    """

    def __init__(
        self,
        plugin: str,
        policy: NetworkPolicy,
        declared: tuple[str, ...],
        connector: Connector,
        http: Callable[[], httpx.AsyncClient],
        *,
        unread: str = "",
        pacing: Pacing = Pacing(),  # noqa: B008 - a value
        pacer: Pacer | None = None,
        max_response: int = 16 * 2**20,
        redact: Callable[[str], str] = str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._plugin = plugin
        self._policy = policy
        self._declared = declared
        self._unread = unread
        self._connector = connector
        self._make_http = http
        self._pacing = pacing
        self._pacer = pacer or Pacer()
        self._max_response = max_response
        self._redact = redact
        self._sleep = sleep
        self._http: httpx.AsyncClient | None = None

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> GuardedSocket:
        """Open a WebSocket, when it is its turn at the host.

        Raises:
            NetworkDeniedError: The policy does not allow the address.
            ConnectFailedError: It could not be opened.
            MachineError: The machine has no files or memory left for it.
        """
        target = await self._admit(url, _WEBSOCKET)
        host = _host(target)
        await self._wait_for_turn(target, host)
        if not self._pacer.open(host, self._pacing):
            problem = f"{self._pacing.connections} connections to this host are open, which is the limit"
            raise ConnectFailedError(target, problem, remedy="Close some, or raise it: Pacing(connections=...)")
        redact = self._redactor(target, headers)
        try:
            socket = await self._open(url, target, headers, subprotocol, redact)
        except BaseException as error:
            self._pacer.closed(host)
            if isinstance(error, ConnectFailedError) and error.status in BUSY and error.retry_after is not None:
                self._pacer.shut(host, error.retry_after)
            raise
        return GuardedSocket(target, socket, redact, plugin=self._plugin, closed=lambda: self._pacer.closed(host))

    async def _wait_for_turn(self, target: str, host: str) -> None:
        """Wait for the next free moment; whoever would have to wait for the host's own wish is refused instead."""
        moment = self._pacer.reserve(host, self._pacing)
        try:
            if wait := self._pacer.wait_until(moment):
                await self._sleep(wait)
        except asyncio.CancelledError:
            self._pacer.give_back(host, moment)
            raise
        shut = self._pacer.shut_for(host)
        if shut:
            problem = f"the server has asked to be left alone for another {shut:.0f} s"
            raise ConnectFailedError(target, problem, status=429, retry_after=shut)

    def _redactor(self, target: str, headers: Mapping[str, str]) -> Callable[[str], str]:
        """Takes out of a text what the other end was sent to know us by, which it may repeat."""
        sent = Redactor({"headers": dict(headers), "query": [value for _, value in parse_qsl(urlsplit(target).query)]})
        return lambda text: self._redact(sent(text))

    async def _open(
        self,
        url: str,
        target: str,
        headers: Mapping[str, str],
        subprotocol: str | None,
        redact: Callable[[str], str],
    ) -> Socket:
        try:
            return await self._connector.connect(target, headers=headers, subprotocol=subprotocol)
        except ConnectFailedError as error:
            remedy = both(self._unused_rewrites(url, target), error.remedy)
            raise _failed(target, error, remedy, redact) from None
        except Exception as error:
            lacking = machine_error(error, self._plugin, f"could not connect to {without_query(target)}")
            if lacking is not None:
                raise lacking from None
            if isinstance(error, CompatError):
                raise
            raise ConnectFailedError(target, f"the connector raised {type(error).__name__}") from error

    async def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Make an HTTP request; redirects are answered as they are.

        Raises:
            NetworkDeniedError: The policy does not allow the address.
            ConnectFailedError: There was no usable response.
            MachineError: The machine has no files or memory left for it.
        """
        target = await self._admit(url, _HTTP)
        client = self._client(target)
        try:
            own = {name: value for name, value in headers.items() if name.lower() not in _FRAMING}
            with machine_faults(self._plugin, f"could not make a request to {without_query(target)}"):
                async with client.stream(method, target, headers=own, content=body) as response:
                    content = await _body_of(response, target, self._max_response)
        except (httpx.LocalProtocolError, ValueError, TypeError):  # their texts show what may be a secret
            raise ConnectFailedError(target, "its method or one of its headers cannot be sent") from None
        except ConnectFailedError as error:
            raise _failed(target, error, error.remedy, self._redact) from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            problem, remedy = http_words(error, target)
            raise ConnectFailedError(target, self._redact(problem), remedy=remedy) from None
        values: dict[str, list[str]] = {}
        for name, value in response.headers.multi_items():
            values.setdefault(name.title(), []).append(value)
        return HttpReply(response.status_code, values, content)

    def _client(self, target: str) -> httpx.AsyncClient:
        if self._http is None:
            try:
                self._http = self._make_http()
            except (ValueError, TypeError, ImportError):  # their texts show the proxy's address, and its password
                problem = "the HTTP client cannot be made, most likely for the proxy in this process's environment"
                remedy = f"Correct the proxy, or exempt the host: no_proxy. {NEEDED}"
                raise ConnectFailedError(target, problem, remedy=remedy) from None
        return self._http

    async def _admit(self, url: str, schemes: tuple[str, ...]) -> str:
        target = self._policy.resolve(self._plugin, url, self._declared, schemes, self._unread)
        if not self._policy.allow_private:
            for address in await self._addresses(url, target):
                self._policy.check_address(self._plugin, target, address)
        return target

    async def _addresses(self, url: str, target: str) -> list[str]:
        """The addresses to judge: none of a name that is left to the proxy."""
        host = urlsplit(target).hostname or ""
        proxied = proxy_for(target) is not None
        left = self._policy.trust_proxy and proxied and not is_private(host)
        loop, flags = asyncio.get_running_loop(), _socket.AI_NUMERICHOST if left else 0
        try:
            with machine_faults(self._plugin, f"could not look up {host}"):
                found = await loop.getaddrinfo(host, None, type=_socket.SOCK_STREAM, flags=flags)
        except (OSError, ValueError) as error:  # ValueError: the name cannot even be looked up
            if left:  # not an address but a name, as most are
                return []
            remedy = both(self._unused_rewrites(url, target), _LEFT_TO_PROXY if proxied else UNKNOWN_HOST)
            raise ConnectFailedError(target, unresolved(host, error), remedy=remedy) from error
        return [str(address[0]) for *_, address in found]

    def _unused_rewrites(self, url: str, target: str) -> str:
        """What to tell of an address that could not be reached, if there are rewrites and none was meant for it."""
        if not self._policy.rewrites or target != url:
            return ""
        prefixes = ", ".join(without_query(prefix) for prefix, _ in self._policy.rewrites)
        return f"No rewrite fits this address; there is one for {prefixes}"

    async def aclose(self) -> None:
        """Close the HTTP client."""
        if self._http is not None:
            await self._http.aclose()


def _failed(target: str, error: ConnectFailedError, remedy: str, redact: Callable[[str], str]) -> ConnectFailedError:
    """The same error of the address that was really tried, without secrets."""
    return ConnectFailedError(
        target, redact(error.problem), remedy=remedy, status=error.status, retry_after=error.retry_after
    )


def _host(target: str) -> str:
    """Host and port, for the account that is kept of them."""
    parts = urlsplit(target)
    return f"{parts.hostname}:{parts.port or _PORTS[parts.scheme]}"


async def _body_of(response: httpx.Response, target: str, most: int) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > most:
            raise ConnectFailedError(target, f"the response is longer than {most} bytes")
    return bytes(content)


class GuardedSocket:
    """A socket of whatever connector: its failures are ours, so that a stream always hears of them.

    Attributes:
        url: Where it leads, after rewriting.
    """

    def __init__(
        self,
        url: str,
        socket: Socket,
        redact: Callable[[str], str],
        *,
        plugin: str = "",
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        self.url = url
        self._socket = socket
        self._tell_closed: Callable[[], None] | None = closed
        self._pinging = socket if isinstance(socket, PingingSocket) else None
        self._batching = socket if isinstance(socket, BatchSocket) else None
        self._redact = redact
        self._plugin = plugin

    async def receive(self) -> str | bytes:
        """See ``Socket``."""
        return (await self._received(self._one()))[0]

    async def receive_many(self, most: int) -> list[str | bytes]:
        """See ``BatchSocket``; of a connector's socket that is none, one message at a time."""
        return await self._received(self._one() if self._batching is None else self._batching.receive_many(most))

    async def _one(self) -> list[str | bytes]:
        return [await self._socket.receive()]

    async def _received(self, receiving: Awaitable[list[str | bytes]]) -> list[str | bytes]:
        try:
            messages = await receiving
        except CompatError as error:
            raise self._redacted(error) from None
        except Exception as error:
            raise self._lost(error) from error
        wrong: list[object]
        if isinstance(messages, list) and messages:
            wrong = [message for message in messages if not isinstance(message, str | bytes)]
        else:
            wrong = [messages]
        if wrong:
            raise ConnectionLostError(self.url, f"its socket returned {type(wrong[0]).__name__}")
        return messages

    async def send(self, message: str) -> None:
        """See ``Socket``."""
        try:
            await self._socket.send(message)
        except CompatError as error:
            raise self._redacted(error) from None
        except Exception as error:
            raise self._lost(error) from error

    @property
    def can_ping(self) -> bool:
        """Whether ``ping`` may be called."""
        return self._pinging is not None

    async def ping(self) -> None:
        """See ``PingingSocket``."""
        assert self._pinging is not None  # noqa: S101 - see can_ping
        try:
            await self._pinging.ping()
        except CompatError as error:
            raise self._redacted(error) from None
        except Exception as error:
            raise self._lost(error) from error

    async def close(self) -> None:
        """See ``Socket``."""
        tell_closed, self._tell_closed = self._tell_closed, None
        try:
            with contextlib.suppress(Exception):  # it is given up in any case, also where it takes too long
                async with asyncio.timeout(_LONGEST_CLOSE):
                    await self._socket.close()
        finally:
            if tell_closed is not None:
                tell_closed()

    def _redacted(self, error: CompatError) -> CompatError:
        if isinstance(error, ConnectionLostError) and self._redact(error.problem) != error.problem:
            return ConnectionLostError(self.url, self._redact(error.problem), remedy=error.remedy)
        return error

    def _lost(self, error: Exception) -> CompatError:
        lacking = machine_error(error, self._plugin, f"the connection to {without_query(self.url)} was lost")
        return lacking or ConnectionLostError(self.url, f"its socket raised {type(error).__name__}")
