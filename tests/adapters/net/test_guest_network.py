"""A guest's sockets as its thread sees them: real ones where the network matters, a scripted one where order does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from adapters.errors import GuestStoppedError, StreamUsageError
from adapters.net import guest_network as room
from adapters.net.errors import ConnectFailedError, ConnectionLostError, NetworkDeniedError
from adapters.net.gateway import Gateway
from adapters.net.guest_network import GuestNetwork
from adapters.net.policy import NetworkPolicy
from adapters.net.socket import WebSocketConnector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapters.net.socket import Socket
    from tests.adapters.conftest import Until

T = TypeVar("T")
Handler = Callable[[ServerConnection], Awaitable[None]]
URL = "wss://api.example/x"


class ScriptedSocket:
    """A socket that receives what a test puts into it, an error included."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[str | bytes | Exception] = asyncio.Queue()
        self.taken = 0
        self.sent: list[str] = []
        self.closed = 0
        self.may_close = asyncio.Event()
        self.may_close.set()

    def put(self, *messages: str | bytes | Exception) -> None:
        for message in messages:
            self.inbox.put_nowait(message)

    async def receive(self) -> str | bytes:
        message = self.inbox.get_nowait() if not self.inbox.empty() else await self.inbox.get()
        if isinstance(message, Exception):
            raise message
        self.taken += 1
        return message

    async def send(self, message: str) -> None:
        self.sent.append(message)

    async def close(self) -> None:
        await self.may_close.wait()
        self.closed += 1


class ScriptedConnector:
    """Hands out the given sockets, one after the other, once it may."""

    def __init__(self, *sockets: ScriptedSocket) -> None:
        self.sockets = list(sockets)
        self.asked: list[tuple[str, Mapping[str, str], str | None]] = []
        self.may_connect = asyncio.Event()
        self.may_connect.set()

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        self.asked.append((url, headers, subprotocol))
        await self.may_connect.wait()
        if not self.sockets:
            raise ConnectFailedError(url, "there is none left")
        return self.sockets.pop(0)


class Bench:
    """A guest's network with its flag, and a way to use it as the guest does: on another thread."""

    def __init__(self, connector: Any, policy: NetworkPolicy) -> None:
        self.stopping = threading.Event()
        self.undeliverable: list[str] = []
        self.reconnected: list[str] = []
        self.network = GuestNetwork(
            plugin="p",
            loop=asyncio.get_running_loop(),
            gateway=Gateway("p", policy, ("wss://api.example/*", "https://api.example/*"), connector, _http),
            stopping=self.stopping,
            undeliverable=self.undeliverable.append,
            reconnected=self.reconnected.append,
        )

    async def do(self, use: Callable[..., T], *arguments: Any) -> T:
        async with asyncio.timeout(5):
            return await asyncio.to_thread(use, *arguments)

    def start(self, use: Callable[..., T], *arguments: Any) -> asyncio.Task[T]:
        return asyncio.create_task(self.do(use, *arguments))

    async def connect(self) -> str:
        return await self.do(self.network.connect, URL, {}, None)

    async def receive(self, connection: str, timeout_ms: int = 2_000) -> str | None:
        return await self.do(self.network.receive, connection, timeout_ms)

    def stop(self) -> None:
        self.stopping.set()
        self.network.wake()


def _http() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.MockTransport(lambda request: httpx.Response(200, content=request.content))
    )


@contextlib.asynccontextmanager
async def scripted(*sockets: ScriptedSocket) -> AsyncIterator[tuple[Bench, ScriptedConnector]]:
    connector = ScriptedConnector(*sockets)
    bench = Bench(connector, NetworkPolicy(allow_private=True))
    try:
        yield bench, connector
    finally:
        bench.stop()
        for socket in sockets:
            socket.may_close.set()
        await bench.network.aclose()


@contextlib.asynccontextmanager
async def real(handler: Handler) -> AsyncIterator[Bench]:
    async with serve(handler, "127.0.0.1", 0, compression=None, close_timeout=0.2) as server:
        target = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        bench = Bench(
            WebSocketConnector(), NetworkPolicy(allow_private=True, rewrites=(("wss://api.example", target),))
        )
        try:
            yield bench
        finally:
            bench.stop()
            await bench.network.aclose()


async def echo(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            await connection.send(message)


async def test_a_guest_connects_sends_receives_and_closes() -> None:
    async with real(echo) as bench:
        connection = await bench.connect()
        assert (connection, bench.network.opened, bench.network.alive) == ("ws-1", 1, 1)
        for number in range(3):
            await bench.do(bench.network.send, connection, f"message {number}")
        assert [await bench.receive(connection) for _ in range(3)] == [f"message {number}" for number in range(3)]
        await bench.do(bench.network.close, connection)
        assert bench.network.alive == 0
        assert bench.network.lost is None
        with pytest.raises(StreamUsageError, match="no connection 'ws-1'"):
            await bench.receive(connection)


async def test_headers_and_subprotocol_are_handed_on() -> None:
    async with scripted(ScriptedSocket()) as (bench, connector):
        await bench.do(bench.network.connect, URL, {"A": "b"}, "v1")
        assert connector.asked == [(URL, {"A": "b"}, "v1")]


async def test_an_http_request_is_made_on_the_loop() -> None:
    async with scripted() as (bench, _):
        reply = await bench.do(bench.network.request, "POST", "https://api.example/", {}, b"body")
        assert (reply.status, reply.body) == (200, b"body")
        await bench.network._gateway.aclose()


async def test_what_the_policy_denies_is_raised_and_remembered() -> None:
    async with scripted() as (bench, connector):
        with pytest.raises(NetworkDeniedError) as caught:
            await bench.do(bench.network.connect, "wss://other.example/", {}, None)
        assert bench.network.lost is caught.value
        assert connector.asked == []
        assert bench.network.opened == 0


@pytest.mark.parametrize("timeout_ms", [0, 3_000, 2**63 - 1, 10**300], ids=["for ever", "3 s", "int64", "absurd"])
async def test_a_receive_waits_for_the_message(timeout_ms: int) -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        receiving = bench.start(bench.network.receive, connection, timeout_ms)
        done, _ = await asyncio.wait([receiving], timeout=0.05)
        assert not done
        socket.put("late")
        assert await receiving == "late"


@pytest.mark.parametrize(("timeout_ms", "least", "most"), [(-1, 0.0, 0.04), (60, 0.06, 0.5)])
async def test_a_receive_that_finds_nothing_waits_for_its_timeout_and_no_longer(
    timeout_ms: int, least: float, most: float
) -> None:
    async with scripted(ScriptedSocket()) as (bench, _):
        connection = await bench.connect()
        begun = time.monotonic()
        assert bench.network.receive(connection, timeout_ms) is None
        assert least <= time.monotonic() - begun < most


async def test_a_receive_that_does_not_wait_takes_what_is_there() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        socket.put("one")
        async with asyncio.timeout(2):
            while (message := bench.network.receive(connection, -1)) is None:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)
        assert message == "one"


async def test_a_full_buffer_makes_the_socket_wait_and_nothing_is_lost(until: Until) -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        count = room._BUFFERED_MESSAGES * 3
        socket.put(*(str(number) for number in range(count)))
        await until(lambda: socket.taken == room._BUFFERED_MESSAGES)
        await asyncio.sleep(0)
        assert socket.taken == room._BUFFERED_MESSAGES
        got = [await bench.receive(connection)]
        await asyncio.sleep(0)
        assert socket.taken == room._BUFFERED_MESSAGES  # it goes on when half of it is taken
        got += await bench.do(lambda: [bench.network.receive(connection, 2_000) for _ in range(count - 1)])
        assert got == [str(number) for number in range(count)]


async def test_long_messages_fill_the_buffer_before_many_do(until: Until) -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        length = room._BUFFERED_CHARACTERS // 4
        socket.put(*(str(number) * length for number in range(9)))
        await until(lambda: socket.taken == 4)
        await asyncio.sleep(0)
        assert socket.taken == 4
        got = [await bench.receive(connection) for _ in range(9)]
        assert [message[0] if message else "" for message in got] == [str(number) for number in range(9)]


async def test_a_guest_that_does_not_read_makes_the_exchange_wait(until: Until) -> None:
    sent = 0

    async def flood(connection: ServerConnection) -> None:
        nonlocal sent
        with contextlib.suppress(ConnectionClosed):
            for number in range(40_000):
                await connection.send(f"{number:>10} {'x' * 2_000}")
                sent += 1

    async with real(flood) as bench:
        connection = await bench.connect()
        level = -1
        while level < sent:  # until the sockets between the two are full
            level = sent
            await asyncio.sleep(0.1)
        assert room._BUFFERED_MESSAGES < sent < 40_000
        count = level + 2_000
        got = await bench.do(lambda: [bench.network.receive(connection, 2_000) for _ in range(count)])
        assert [int((message or "-1").split()[0]) for message in got] == list(range(count))


async def test_binary_text_is_decoded_and_other_binary_is_told_and_skipped(until: Until) -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        socket.put("héllo".encode(), b"\xff\xfe", "after")
        assert [await bench.receive(connection) for _ in range(2)] == ["héllo", "after"]
        assert bench.undeliverable == ["a binary message of 2 bytes is no UTF-8 text"]


async def test_a_lost_connection_is_reported_after_everything_was_read_and_never_faster_than_50_ms() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        lost = ConnectionLostError(URL, "it broke off")
        socket.put("one", "two", lost)
        assert [await bench.receive(connection) for _ in range(2)] == ["one", "two"]
        for failures in (1, 2):
            begun = time.monotonic()
            with pytest.raises(ConnectionLostError) as caught:
                await bench.receive(connection, -1)
            assert time.monotonic() - begun >= 0.05
            assert caught.value is lost
            assert bench.network.failures == failures
        assert bench.network.lost is lost
        assert bench.network.alive == 0
        assert socket.closed == 1


async def test_a_lost_connection_lets_a_waiting_receive_return(until: Until) -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        receiving = bench.start(bench.network.receive, connection, 0)
        socket.put(ConnectionLostError(URL, "it broke off"))
        with pytest.raises(ConnectionLostError):
            await receiving


async def test_a_guest_hears_of_a_dead_connection_at_once_and_again_no_sooner_than_it_would_wait() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        socket.put(ConnectionLostError(URL, "it broke off"))
        for timeout_ms, least, most in ((60_000, 0.05, 0.5), (150, 0.15, 0.6), (1_200, 1.2, 1.7), (0, 1.0, 1.5)):
            begun = time.monotonic()
            with pytest.raises(ConnectionLostError):
                await bench.receive(connection, timeout_ms)
            assert least <= time.monotonic() - begun < most


async def test_a_guest_that_waits_on_a_dead_connection_hears_that_its_stream_stops(until: Until) -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        socket.put(ConnectionLostError(URL, "it broke off"))
        await until(lambda: bench.network.alive == 0)
        with pytest.raises(ConnectionLostError):
            await bench.receive(connection, -1)
        receiving = bench.start(bench.network.receive, connection, 60_000)
        await until(lambda: bench.network.failures == 2)
        begun = time.monotonic()
        bench.network.drain()
        with pytest.raises(ConnectionLostError):
            await receiving
        assert time.monotonic() - begun < 0.5


async def test_attempts_to_connect_that_fail_are_answered_ever_more_slowly() -> None:
    async with scripted() as (bench, _):
        for least in (0.05, 0.1, 0.2):
            begun = time.monotonic()
            with pytest.raises(ConnectFailedError):
                await bench.connect()
            assert least <= time.monotonic() - begun < least + 0.3
        assert bench.network.failures == 0
        assert bench.network.dead_since is not None


async def test_how_long_a_connection_stood_is_known_when_it_has_ended() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        begun = time.monotonic()
        connection = await bench.connect()
        await asyncio.sleep(0.1)
        socket.put(ConnectionLostError(URL, "it broke off"))
        with pytest.raises(ConnectionLostError):
            await bench.receive(connection, 0)
        assert 0.1 <= bench.network.stood <= time.monotonic() - begun


async def test_a_connection_that_is_lost_at_once_is_remembered_as_lost(until: Until) -> None:
    socket = ScriptedSocket()
    socket.put(ConnectionLostError(URL, "too many connections"))
    async with scripted(socket) as (bench, _):
        await bench.connect()
        await until(lambda: bench.network.alive == 0)
        assert bench.network.lost is not None


async def test_a_new_connection_is_a_new_beginning() -> None:
    first, second = ScriptedSocket(), ScriptedSocket()
    async with scripted(first, second) as (bench, _):
        connection = await bench.connect()
        first.put(ConnectionLostError(URL, "it broke off"))
        with pytest.raises(ConnectionLostError):
            await bench.receive(connection, -1) or await bench.receive(connection, 100)
        assert bench.network.failures == 1
        assert await bench.connect() == "ws-2"
        assert (bench.network.failures, bench.network.lost, bench.network.alive) == (0, None, 1)
        assert bench.reconnected == ["the connection to wss://api.example/x was lost: it broke off"]


async def test_a_guest_that_closes_its_connection_and_opens_another_has_reconnected_too() -> None:
    async with scripted(ScriptedSocket(), ScriptedSocket()) as (bench, _):
        await bench.do(bench.network.close, await bench.connect())
        assert bench.reconnected == []
        await bench.connect()
        assert bench.reconnected == ["the plugin had closed the one before"]


async def test_the_first_connection_and_one_besides_another_are_no_reconnection() -> None:
    async with scripted() as (bench, connector):
        with pytest.raises(ConnectFailedError):
            await bench.connect()
        connector.sockets += [ScriptedSocket(), ScriptedSocket()]
        await bench.connect()
        await bench.connect()
        assert bench.reconnected == []


async def test_a_failed_connection_is_remembered() -> None:
    async with scripted() as (bench, _):
        with pytest.raises(ConnectFailedError) as caught:
            await bench.connect()
        assert bench.network.lost is caught.value


@pytest.mark.parametrize("use", ["send", "receive", "close"])
async def test_a_connection_that_never_was_is_answered_slowly_and_counted(use: str) -> None:
    async with scripted() as (bench, _):
        arguments = {"send": ("ws-9", "x"), "receive": ("ws-9", -1), "close": ("ws-9",)}[use]
        begun = time.monotonic()
        with pytest.raises(StreamUsageError, match="no connection 'ws-9'"):
            await bench.do(getattr(bench.network, use), *arguments)
        assert time.monotonic() - begun >= 0.05
        assert bench.network.failures == 1


async def test_only_so_many_connections_may_be_open_at_once() -> None:
    async with scripted(*(ScriptedSocket() for _ in range(18))) as (bench, _):
        opened = [await bench.connect() for _ in range(16)]
        with pytest.raises(StreamUsageError, match="16 connections open, which is the limit"):
            await bench.connect()
        await bench.do(bench.network.close, opened[0])
        assert await bench.connect() == "ws-17"


@pytest.mark.parametrize("timeout_ms", [0, 60_000])
async def test_the_stop_flag_interrupts_a_waiting_receive_at_once(timeout_ms: int) -> None:
    async with scripted(ScriptedSocket()) as (bench, _):
        connection = await bench.connect()
        receiving = bench.start(bench.network.receive, connection, timeout_ms)
        await asyncio.wait([receiving], timeout=0.05)
        begun = time.monotonic()
        bench.stop()
        with pytest.raises(GuestStoppedError):
            await receiving
        assert time.monotonic() - begun < 0.05


async def test_the_stop_flag_interrupts_whatever_waits_for_the_loop(until: Until) -> None:
    async with scripted(ScriptedSocket()) as (bench, connector):
        connector.may_connect.clear()
        connecting = bench.start(bench.network.connect, URL, {}, None)
        await until(lambda: connector.asked)
        begun = time.monotonic()
        bench.stop()
        with pytest.raises(GuestStoppedError):
            await connecting
        assert time.monotonic() - begun < 0.3
        assert bench.network.opened == 0


async def test_a_stopped_guest_reaches_nothing_any_more() -> None:
    async with scripted(ScriptedSocket()) as (bench, connector):
        connection = await bench.connect()
        bench.stop()
        for use, *arguments in (
            (bench.network.connect, URL, {}, None),
            (bench.network.send, connection, "x"),
            (bench.network.receive, connection, -1),
            (bench.network.receive, "ws-9", -1),
            (bench.network.request, "GET", "https://api.example/", {}, b""),
        ):
            with pytest.raises(GuestStoppedError):
                await bench.do(use, *arguments)
        assert len(connector.asked) == 1


async def test_a_connection_that_opens_after_the_stop_is_closed_again(until: Until) -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, connector):
        connector.may_connect.clear()
        opening = asyncio.create_task(bench.network._open(URL, {}, None))
        await until(lambda: connector.asked)
        await bench.network.aclose()
        connector.may_connect.set()
        with pytest.raises(GuestStoppedError):
            await opening
        assert socket.closed == 1


async def test_work_that_the_loop_cancels_ends_the_guests_call() -> None:
    async with scripted() as (bench, _):

        async def cancelled() -> None:
            raise asyncio.CancelledError

        with pytest.raises(GuestStoppedError):
            await bench.do(bench.network._on_loop, cancelled())


async def test_a_timeout_of_the_work_itself_is_not_taken_for_a_slice() -> None:
    async with scripted() as (bench, _):

        async def late() -> None:
            raise TimeoutError

        with pytest.raises(TimeoutError):
            await bench.do(bench.network._on_loop, late())


async def test_while_the_stream_stops_every_answer_comes_at_once_and_says_so() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, connector):
        connection = await bench.connect()
        socket.put("unread")
        receiving = bench.start(bench.network.receive, connection, 0)
        await receiving
        receiving = bench.start(bench.network.receive, connection, 0)
        await asyncio.wait([receiving], timeout=0.05)
        flags = [bench.network.draining]
        bench.network.drain()
        assert [*flags, bench.network.draining] == [False, True]
        begun = time.monotonic()
        with pytest.raises(StreamUsageError, match="the stream is being closed"):
            await receiving
        socket.put("never read")
        for use, *arguments in (
            (bench.network.receive, connection, 60_000),
            (bench.network.connect, URL, {}, None),
            (bench.network.receive, "ws-9", 0),
        ):
            with pytest.raises(StreamUsageError):
                await bench.do(use, *arguments)
        assert time.monotonic() - begun < 0.3
        assert bench.network.failures == 1  # the unknown connection; dead answers are not counted while stopping
        assert len(connector.asked) == 1


async def test_closing_ends_every_connection_within_about_a_second_under_a_flood() -> None:
    flooding: list[ServerConnection] = []

    async def flood(connection: ServerConnection) -> None:
        flooding.append(connection)
        with contextlib.suppress(ConnectionClosed):
            while True:
                await connection.send("x" * 1_000)

    async with real(flood) as bench:
        connections = [await bench.connect() for _ in range(3)]
        assert await bench.receive(connections[0]) == "x" * 1_000
        begun = time.monotonic()
        bench.stop()
        await bench.network.aclose()
        assert time.monotonic() - begun < 1.5
        assert bench.network.alive == 0
        for connection in flooding:
            connection.transport.abort()


async def test_closing_twice_does_no_harm() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        await bench.connect()
        await bench.network.aclose()
        await bench.network.aclose()
        assert bench.network.alive == 0


async def test_a_guest_on_a_closed_loop_is_told_that_it_is_stopped() -> None:
    loop = asyncio.new_event_loop()
    network = GuestNetwork(
        plugin="p",
        loop=loop,
        gateway=Gateway("p", NetworkPolicy(), (), ScriptedConnector(), _http),
        stopping=threading.Event(),
        undeliverable=lambda _: None,
    )
    loop.close()
    with pytest.raises(GuestStoppedError):
        network.connect(URL, {}, None)


async def test_connections_that_have_ended_are_forgotten(until: Until) -> None:
    sockets = [ScriptedSocket() for _ in range(40)]
    async with scripted(*sockets) as (bench, _):
        for socket in sockets:
            socket.put("unread", ConnectionLostError(URL, "it broke off"))
            await bench.connect()
            await until(lambda: bench.network.alive == 0)
        assert len(bench.network._connections) <= 20


async def test_a_connection_whose_closing_was_interrupted_is_closed_all_the_same(until: Until) -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        socket.may_close.clear()
        closing = bench.start(bench.network.close, connection)
        await until(lambda: bench.network.alive == 0)
        bench.stop()
        with pytest.raises(GuestStoppedError):
            await closing
        socket.may_close.set()
        await bench.network.aclose()
        assert socket.closed == 1
