"""Gateways as plugins go through them, to servers on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from websockets.asyncio.client import connect

from adapters.net.connection import KeptConnection
from adapters.net.errors import ConnectFailedError
from adapters.net.gateway import Gateway, GuardedSocket
from adapters.net.http import http_client
from adapters.net.policy import NetworkPolicy
from adapters.net.socket import Connector, Socket, WebSocketConnector
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    import httpx

    from compat.demo.exchange import Exchange

__all__ = ["HASTY", "QUICK", "SECRET", "Looks", "NoConnector", "door", "enter", "greet", "kept"]

SECRET = "s3cret"
QUICK = WebSocketConnector(keepalive=0.2, max_message=10_000, open_timeout=HANG)
HASTY = attrs.evolve(QUICK, open_timeout=0.3)  # for peers that never answer

_HOSTS = ("127.0.0.1", "localhost", "*.example", "*.invalid")
_ANYWHERE = tuple(f"{scheme}://{host}:*/*" for scheme in ("ws", "wss", "http", "https") for host in _HOSTS)


@contextlib.asynccontextmanager
async def door(
    connector: Connector = QUICK, http: Callable[[], httpx.AsyncClient] = http_client, **policy: object
) -> AsyncIterator[Gateway]:
    """A gateway whose plugin's configuration holds ``SECRET``."""
    rules = NetworkPolicy(**{"also": _ANYWHERE, "allow_private": True, **policy})  # type: ignore[arg-type]
    made = Gateway("p", rules, (), connector, http, redact=lambda text: text.replace(SECRET, "***"))
    try:
        yield made
    finally:
        await made.aclose()


async def enter(through: Gateway, base: str) -> GuardedSocket:
    """Open a WebSocket at a server, with a secret wherever there can be one."""
    headers = {"Authorization": SECRET}
    return await through.connect(f"{base}/x?token={SECRET}", headers=headers, subprotocol=None)


async def greet(through: Gateway, exchange: Exchange, host: str) -> None:
    """Use the exchange under a name, by WebSocket and by HTTP."""
    connected = await through.connect(f"{exchange.ws_url.replace('127.0.0.1', host)}/ws", headers={}, subprotocol=None)
    await connected.send("{}")
    assert await connected.receive()
    await connected.close()
    url = f"{exchange.http_url.replace('127.0.0.1', host)}/api/v1/intervals"
    assert (await through.request("GET", url, {}, b"")).status == 200


class NoConnector:
    """A connector that opens nothing.

    Attributes:
        asked: The addresses that it was asked for.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        """See ``Connector``."""
        self.asked.append(url)
        raise ConnectFailedError(url, "this connector opens nothing")


def kept(
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    opened: Callable[[KeptConnection], None] = lambda _: None,
    send_timeout: float = 3_600.0,
    **options: Any,
) -> WebSocketConnector:
    """A connector of connections as ours are, with what else is to be different about them.

    Args:
        sleep: See ``KeptConnection``.
        opened: Is given each of them.
        send_timeout: See ``WebSocketConnector``.
        options: Of ``websockets.asyncio.client.connect``: ``ping_interval``, ``close_timeout``, ``ssl``, ...
    """

    async def opens(url: str, headers: Mapping[str, str], _: str | None) -> KeptConnection:
        made: Any = functools.partial(KeptConnection, sleep=sleep)
        chosen = {"proxy": None, "open_timeout": HANG, "create_connection": made, **options}
        connection = await connect(url, additional_headers=dict(headers), **chosen)
        assert isinstance(connection, KeptConnection)
        opened(connection)
        return connection

    return WebSocketConnector(opens=opens, send_timeout=send_timeout)


class Looks:
    """The looks of a connection at itself, which it takes when a test says so; there are 8 between two pings.

    Attributes:
        connection: The connection, once it is open.
        connector: What opens it.
    """

    connection: KeptConnection
    _task: asyncio.Task[None] | None

    def __init__(self, **options: Any) -> None:
        self._may = asyncio.Semaphore(0)
        self._waits = asyncio.Event()
        options = {"ping_interval": 0.2, "close_timeout": 0.1, **options}
        self.connector = kept(sleep=self._sleep, opened=self._opened, **options)

    async def take(self, count: int) -> None:
        """Let it take so many looks; fewer, if it gives itself up."""
        async with asyncio.timeout(HANG):
            for _ in range(count):
                await self._waits.wait()
                assert self._task is not None
                if self._task.done():
                    return
                self._waits.clear()
                self._may.release()
                await self._waits.wait()

    async def hear(self) -> None:
        """Wait until it has heard something since its latest look."""
        await until(lambda: self.connection._heard, "something comes")

    async def _sleep(self, _: float) -> None:
        self._waits.set()
        await self._may.acquire()

    def _opened(self, connection: KeptConnection) -> None:
        self.connection, self._task = connection, connection.keepalive_task
        if self._task is not None:
            self._task.add_done_callback(lambda _: self._waits.set())
