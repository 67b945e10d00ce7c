"""A guest's network as its thread uses it, with scripted or real sockets, and clocks by which nobody has to wait."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import httpx
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from adapters.net.errors import ConnectFailedError, ConnectionLostError
from adapters.net.gateway import Gateway
from adapters.net.guest_limits import GuestClock, GuestLimits
from adapters.net.guest_network import GuestNetwork
from adapters.net.policy import NetworkPolicy
from adapters.net.socket import Connector, Socket
from tests.support.doors import kept
from tests.support.waiting import HANG

__all__ = [
    "HOUR",
    "HOUR_MS",
    "URL",
    "Bench",
    "Jumping",
    "Noting",
    "ScriptedConnector",
    "ScriptedSocket",
    "broken",
    "echo",
    "http_echo",
    "real",
    "scripted",
]

T = TypeVar("T")
URL = "wss://api.example/x"

#: Longer than any test: whoever waits for as long has to be told before.
HOUR, HOUR_MS = 3_600.0, 3_600_000

_LIMITS, _CLOCK = GuestLimits(), GuestClock()


class Noting(GuestClock):
    """The real time.

    Attributes:
        waits: The seconds for which was waited, or for which is waited just now.
    """

    def __init__(self) -> None:
        self.waits: list[float] = []

    def wait(self, told: threading.Event | threading.Condition, seconds: float) -> None:
        """Note it; whoever is to notify a condition cannot do so before it is waited for."""
        self.waits.append(seconds)
        super().wait(told, seconds)


class Jumping(Noting):
    """A time that passes only while somebody waits, and then at once.

    Attributes:
        time: What time it is, in seconds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.time = 1_000.0

    def now(self) -> float:
        """Return that."""
        return self.time

    def wait(self, told: threading.Event | threading.Condition, seconds: float) -> None:
        """Note it, and let the time pass; others get the lock of a condition meanwhile."""
        self.waits.append(seconds)
        told.wait(0)
        self.time += seconds


class ScriptedSocket:
    """A socket that receives what a test puts into it, an error included, one message at a time.

    Attributes:
        inbox: What is still to be received.
        taken: How many messages have been.
        sent: What was sent.
        closed: How often it was closed.
        may_close: Holds closing while it is not set.
    """

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[str | bytes | Exception] = asyncio.Queue()
        self.taken = 0
        self.sent: list[str] = []
        self.closed = 0
        self.may_close = asyncio.Event()
        self.may_close.set()

    def put(self, *messages: str | bytes | Exception) -> None:
        """Let them be received."""
        for message in messages:
            self.inbox.put_nowait(message)

    async def receive(self) -> str | bytes:
        """See ``Socket``."""
        message = self.inbox.get_nowait() if not self.inbox.empty() else await self.inbox.get()
        if isinstance(message, Exception):
            raise message
        self.taken += 1
        return message

    async def send(self, message: str) -> None:
        """See ``Socket``."""
        self.sent.append(message)

    async def close(self) -> None:
        """See ``Socket``."""
        await self.may_close.wait()
        self.closed += 1


class ScriptedConnector:
    """Hands out the given sockets, one after the other.

    Attributes:
        sockets: Those that are left.
        asked: The arguments of each attempt.
        may_connect: Holds all attempts while it is not set.
    """

    def __init__(self, *sockets: ScriptedSocket) -> None:
        self.sockets = list(sockets)
        self.asked: list[tuple[str, Mapping[str, str], str | None]] = []
        self.may_connect = asyncio.Event()
        self.may_connect.set()

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        """See ``Connector``."""
        self.asked.append((url, headers, subprotocol))
        await self.may_connect.wait()
        if not self.sockets:
            raise ConnectFailedError(url, "there is none left")
        return self.sockets.pop(0)


class Bench:
    """A guest's network with its flag, and a way to use it as the guest does: on another thread."""

    def __init__(self, connector: Connector, policy: NetworkPolicy, limits: GuestLimits, clock: GuestClock) -> None:
        self.stopping = threading.Event()
        self.undeliverable: list[str] = []
        self.reconnected: list[str] = []
        self.troubled: list[str] = []
        self.gateway = Gateway("p", policy, ("wss://api.example/*", "https://api.example/*"), connector, http_echo)
        self.network = GuestNetwork(
            plugin="p",
            loop=asyncio.get_running_loop(),
            gateway=self.gateway,
            stopping=self.stopping,
            undeliverable=self.undeliverable.append,
            reconnected=self.reconnected.append,
            troubled=self.troubled.append,
            limits=limits,
            clock=clock,
        )

    async def do(self, use: Callable[..., T], *arguments: Any) -> T:
        """Do it on another thread."""
        async with asyncio.timeout(HANG):
            return await asyncio.to_thread(use, *arguments)

    def start(self, use: Callable[..., T], *arguments: Any) -> asyncio.Task[T]:
        """Begin to do it on another thread."""
        return asyncio.create_task(self.do(use, *arguments))

    async def connect(self) -> str:
        """Open a connection; its name."""
        return await self.do(self.network.connect, URL, {}, None)

    async def receive(self, connection: str, timeout_ms: int = HOUR_MS) -> str | None:
        """Receive a message."""
        received = await self.do(self.network.receive, connection, timeout_ms)
        return received[0] if received else None

    def stop(self) -> None:
        """Stop the guest, as its host does."""
        self.stopping.set()
        self.network.wake()


@contextlib.asynccontextmanager
async def scripted(
    *sockets: ScriptedSocket, limits: GuestLimits = _LIMITS, clock: GuestClock = _CLOCK
) -> AsyncIterator[tuple[Bench, ScriptedConnector]]:
    """A guest whose connections are the given sockets."""
    connector = ScriptedConnector(*sockets)
    bench = Bench(connector, NetworkPolicy(allow_private=True), limits, clock)
    try:
        yield bench, connector
    finally:
        bench.stop()
        connector.may_connect.set()
        for socket in sockets:
            socket.may_close.set()
        await bench.network.aclose()
        await bench.gateway.aclose()


@contextlib.asynccontextmanager
async def real(
    handler: Callable[[ServerConnection], Awaitable[None]], limits: GuestLimits = _LIMITS
) -> AsyncIterator[Bench]:
    """A guest whose connections lead to a real server."""
    async with serve(handler, "127.0.0.1", 0, compression=None, close_timeout=0.1) as server:
        target = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        policy = NetworkPolicy(allow_private=True, rewrites=(("wss://api.example", target),))
        bench = Bench(kept(close_timeout=0.1), policy, limits, _CLOCK)
        try:
            yield bench
        finally:
            bench.stop()
            await bench.network.aclose()


async def echo(connection: ServerConnection) -> None:
    """A server that sends back what it gets."""
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            await connection.send(message)


def broken(words: str = "it broke off") -> ConnectionLostError:
    """What a socket receives when it breaks."""
    return ConnectionLostError(URL, words)


def http_echo() -> httpx.AsyncClient:
    """A client whose requests come back as they were sent, but for one to ``/down``."""

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/down":
            raise httpx.ConnectError("it is down")
        return httpx.Response(200, content=request.content)

    return httpx.AsyncClient(transport=httpx.MockTransport(respond))
