"""Real WebSockets on the loopback interface: every way in which opening and using one can fail.

TLS has a room of its own, and so have keepalive and closing: ``test_tls.py``, ``test_connection.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import socket as sockets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio import client
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from adapters.net.errors import ConnectFailedError, ConnectionLostError
from adapters.net.socket import WebSocketConnector
from tests.support.rogue.peer import closed_port

if TYPE_CHECKING:
    from websockets.http11 import Request, Response
    from websockets.typing import Subprotocol

    from adapters.net.socket import Socket

Handler = Callable[[ServerConnection], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(handler: Handler, **options: Any) -> AsyncIterator[str]:
    """A WebSocket server; its URL."""
    async with serve(handler, "127.0.0.1", 0, close_timeout=0.2, **options) as listening:
        yield f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/x"


@contextlib.asynccontextmanager
async def raw_server(
    serve_one: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A TCP server; its URL as if it were a WebSocket's. Connections still open at the end are ended."""
    running: set[asyncio.Task[Any]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await serve_one(reader, writer)
        finally:
            running.discard(task)
            writer.transport.abort()

    listening = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}/x"
    finally:
        listening.close()
        for task in tuple(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def echo(connection: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in connection:
            await connection.send(message)


async def open_socket(url: str, connector: WebSocketConnector | None = None, **options: Any) -> Socket:
    return await (connector or WebSocketConnector()).connect(
        url, headers=options.get("headers", {}), subprotocol=options.get("subprotocol")
    )


async def problem_with(url: str, connector: WebSocketConnector | None = None, **options: Any) -> str:
    with pytest.raises(ConnectFailedError) as caught:
        await open_socket(url + "?token=s3cret", connector, **options)
    assert caught.value.url == url
    assert "s3cret" not in str(caught.value)
    return caught.value.problem


async def test_messages_of_both_types_come_and_go_in_order() -> None:
    async def talk(connection: ServerConnection) -> None:
        await connection.send("text")
        await connection.send(b"\xff\x00")
        await connection.send(await connection.recv())
        await connection.wait_closed()

    async with server(talk) as url:
        socket = await open_socket(url)
        await socket.send("héllo")
        assert [await socket.receive() for _ in range(3)] == ["text", b"\xff\x00", "héllo"]
        await socket.close()
        await socket.close()


async def test_headers_and_subprotocol_are_offered() -> None:
    async def tell(connection: ServerConnection) -> None:
        assert connection.request is not None
        await connection.send(f"{connection.request.headers['X-Key']} {connection.subprotocol}")
        await connection.wait_closed()

    def choose(_: ServerConnection, offered: list[Subprotocol]) -> Subprotocol:
        return offered[-1]

    async with server(tell, select_subprotocol=choose) as url:
        socket = await open_socket(url, headers={"X-Key": "abc"}, subprotocol="v1")
        assert await socket.receive() == "abc v1"
        await socket.close()


async def test_a_refused_connection_is_named() -> None:
    assert await problem_with(f"ws://127.0.0.1:{closed_port()}/x") == "connection refused"


@pytest.mark.parametrize("status", [http.HTTPStatus.SERVICE_UNAVAILABLE, http.HTTPStatus.UNAUTHORIZED])
async def test_an_http_status_instead_of_a_websocket_is_named(status: http.HTTPStatus) -> None:
    def refuse(connection: ServerConnection, _: Request) -> Response:
        return connection.respond(status, "s3cret\n")

    async with server(echo, process_request=refuse) as url:
        assert await problem_with(url) == f"the server answered with HTTP status {status.value}"


async def test_no_redirect_is_followed() -> None:
    asked: list[str] = []

    def note(connection: ServerConnection, request: Request) -> Response | None:
        asked.append(request.path)
        return None

    async with server(echo, process_request=note) as elsewhere:

        def redirect(connection: ServerConnection, _: Request) -> Response:
            response = connection.respond(http.HTTPStatus.FOUND, "")
            response.headers["Location"] = elsewhere
            return response

        async with server(echo, process_request=redirect) as url:
            assert await problem_with(url) == "the server answered with HTTP status 302"
    assert asked == []


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "the server closed the connection during the handshake"),
        (b"SSH-2.0-x\r\n", "the handshake failed: did not receive a valid HTTP response"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "the server answered with HTTP status 200"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "the header Connection is missing or unusable"),
        (b"\x00" * 100, "the server closed the connection during the handshake"),
    ],
    ids=["nothing", "SSH", "200", "101", "zeros"],
)
async def test_a_server_that_speaks_something_else_is_named(answer: bytes, problem: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with raw_server(talk) as url:
        assert await problem_with(url) == problem


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://a/", "the address is not a WebSocket URL"),
        ("", "the address is not a WebSocket URL"),
        ("ws://[::1", "its address or subprotocol is unusable"),
        ("ws://a:99999/", "its address or subprotocol is unusable"),
        (f"ws://{'a' * 64}.example/", f"{'a' * 64}.example cannot be resolved: it is not a host name"),
        ("ws://a..example/", "a..example cannot be resolved: it is not a host name"),
        ("ws://a\0b/", "its address or subprotocol is unusable"),
    ],
)
async def test_an_address_that_cannot_be_connected_to_is_named(url: str, problem: str) -> None:
    assert await problem_with(url) == problem


async def test_a_name_that_does_not_resolve_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object, **__: object) -> None:
        raise sockets.gaierror(sockets.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    problem = "nowhere.example cannot be resolved: Name or service not known"
    assert await problem_with("ws://nowhere.example/") == problem


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"headers": {"Authorization": "s3cret\r\nX: y"}}, "the header Authorization is missing or unusable"),
        ({"headers": {"Authorization": "s3cret €"}}, "the header Authorization is missing or unusable"),
        ({"subprotocol": "a b"}, "its address or subprotocol is unusable"),
        ({"subprotocol": "a\r\nX: y"}, "its address or subprotocol is unusable"),
    ],
)
async def test_what_cannot_be_sent_is_named_without_its_value(options: dict[str, Any], problem: str) -> None:
    async with server(echo) as url:
        assert await problem_with(url, **options) == problem


async def test_an_exception_that_is_not_the_networks_passes() -> None:
    with pytest.raises(TypeError):
        await WebSocketConnector().connect("ws://a/", headers=5, subprotocol=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (1000, "", "the other end closed it with code 1000"),
        (1008, "no pong", "the other end closed it with code 1008 'no pong'"),
    ],
)
async def test_how_the_other_end_closed_is_told_once_everything_is_read(code: int, reason: str, words: str) -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.send("last")
        await connection.close(code, reason)

    async with server(leave) as url:
        socket = await open_socket(url + "?token=s3cret")
        assert await socket.receive() == "last"
        for use in (socket.receive, lambda: socket.send("x"), socket.receive):
            with pytest.raises(ConnectionLostError, match=words) as caught:
                await use()
            assert caught.value.url == url
            assert "s3cret" not in str(caught.value)
        await socket.close()


async def test_a_connection_that_breaks_off_is_told() -> None:
    async def vanish(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with server(vanish) as url:
        socket = await open_socket(url)
        with pytest.raises(ConnectionLostError, match="broke off without a closing handshake"):
            await socket.receive()
        await socket.close()


async def test_a_message_that_is_too_long_ends_the_connection() -> None:
    async def shout(connection: ServerConnection) -> None:
        await connection.send("x" * 101)
        await connection.wait_closed()

    async with server(shout) as url:
        socket = await open_socket(url, WebSocketConnector(max_message=100))
        with pytest.raises(ConnectionLostError, match=r"a message is longer than 100 bytes.*raise max_message"):
            await socket.receive()
        await socket.close()


async def test_a_text_that_is_no_utf8_ends_the_connection() -> None:
    async def babble(connection: ServerConnection) -> None:
        await connection.send(b"\xff", text=True)
        await connection.wait_closed()

    async with server(babble) as url:
        socket = await open_socket(url)
        with pytest.raises(ConnectionLostError, match=r"a text message that came is not UTF-8"):
            await socket.receive()
        await socket.close()


async def test_connections_of_a_function_of_ones_own_are_wrapped_and_its_errors_translated() -> None:
    asked: list[tuple[str, dict[str, str], str | None]] = []

    async def opens(url: str, headers: Mapping[str, str], subprotocol: str | None) -> client.ClientConnection:
        asked.append((url, dict(headers), subprotocol))
        return await client.connect(url.replace("wss://elsewhere", target), additional_headers={"X-Company": "us"})

    async def greet(connection: ServerConnection) -> None:
        assert connection.request is not None
        await connection.send(connection.request.headers["X-Company"])
        await connection.close(1000, "enough")

    async with serve(greet, "127.0.0.1", 0) as server:
        target = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        connector = WebSocketConnector(opens=opens)
        socket = await connector.connect("wss://elsewhere/", headers={"A": "b"}, subprotocol="v1")
        assert asked == [("wss://elsewhere/", {"A": "b"}, "v1")]
        assert await socket.receive() == "us"
        with pytest.raises(ConnectionLostError, match="code 1000 'enough'"):
            await socket.receive()
        await socket.close()
        assert socket._close_timeout == 1.0  # type: ignore[attr-defined] # whatever the function has allowed it
    target = f"ws://127.0.0.1:{closed_port()}"
    with pytest.raises(ConnectFailedError, match="connection refused"):
        await connector.connect("wss://elsewhere/", headers={}, subprotocol=None)
