"""Real WebSockets on the loopback interface: every way in which opening, using and closing one can fail."""

from __future__ import annotations

import asyncio
import contextlib
import http
import socket as sockets
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from websockets.asyncio import client
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from adapters.net.errors import ConnectFailedError, ConnectionLostError
from adapters.net.socket import WebSocketConnector

if TYPE_CHECKING:
    from websockets.http11 import Request, Response
    from websockets.typing import Subprotocol

    from adapters.net.socket import Socket

Handler = Callable[[ServerConnection], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(handler: Handler, **options: Any) -> AsyncIterator[str]:
    """A WebSocket server; its URL."""
    async with serve(handler, "127.0.0.1", 0, close_timeout=0.2, **options) as listening:
        scheme = "wss" if "ssl" in options else "ws"
        yield f"{scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/x"


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


async def wait_closed(connection: ServerConnection) -> None:
    await connection.wait_closed()


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


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def client_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


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


async def test_tls_is_used_with_the_given_trust(authority: trustme.CA) -> None:
    async with server(echo, ssl=server_context(authority, "127.0.0.1")) as url:
        socket = await open_socket(url, WebSocketConnector(ssl=client_context(authority)))
        await socket.send("x")
        assert await socket.receive() == "x"
        await socket.close()


async def test_without_a_context_the_systems_trust_decides(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server(echo, ssl=server_context(authority, "127.0.0.1")) as url:
        assert (await problem_with(url, WebSocketConnector())).startswith("its certificate is not trusted: ")
        trusted = tmp_path / "ca.pem"
        authority.cert_pem.write_to_path(str(trusted))
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
        socket = await WebSocketConnector().connect(url, headers={}, subprotocol=None)
        await socket.send("x")
        assert await socket.receive() == "x"
        await socket.close()


async def test_an_untrusted_certificate_is_named(authority: trustme.CA) -> None:
    async with server(echo, ssl=server_context(trustme.CA(), "127.0.0.1")) as url:
        problem = await problem_with(url, WebSocketConnector(ssl=client_context(authority)))
    assert problem.startswith("its certificate is not trusted: ")


async def test_a_certificate_for_another_host_is_named(authority: trustme.CA) -> None:
    async with server(echo, ssl=server_context(authority, "other.example")) as url:
        problem = await problem_with(url, WebSocketConnector(ssl=client_context(authority)))
    assert problem.startswith("its certificate is not trusted: IP address mismatch")


async def test_a_server_without_tls_is_named(authority: trustme.CA) -> None:
    async with server(echo) as url:
        problem = await problem_with(
            url.replace("ws:", "wss:"), WebSocketConnector(ssl=client_context(authority), open_timeout=2)
        )
    assert problem.startswith(("TLS failed: ", "connection reset", "no answer in time"))


async def test_a_refused_connection_is_named() -> None:
    with sockets.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert await problem_with(f"ws://127.0.0.1:{free.getsockname()[1]}/x") == "connection refused"


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


async def test_a_server_that_does_not_answer_is_given_up(authority: trustme.CA) -> None:
    async def be_silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(be_silent) as url:
        begun = time.monotonic()
        assert await problem_with(url, WebSocketConnector(open_timeout=0.2)) == "no answer in time"
        secure = WebSocketConnector(ssl=client_context(authority), open_timeout=0.2)
        assert await problem_with(url.replace("ws:", "wss:"), secure) == "no answer in time"
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n", b"\x00" * 100],
)
async def test_a_server_that_speaks_something_else_is_named(answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with raw_server(talk) as url:
        assert await problem_with(url)


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


async def test_closing_takes_about_a_second_at_most_under_a_flood_that_nobody_reads() -> None:
    flooding: list[ServerConnection] = []

    async def flood(connection: ServerConnection) -> None:
        flooding.append(connection)
        with contextlib.suppress(ConnectionClosed):
            while True:
                await connection.send("x" * 1_000)

    async with server(flood, compression=None) as url:
        socket = await open_socket(url)
        await socket.receive()
        await asyncio.sleep(0.05)  # long enough for the receive queue to fill, which is what makes closing hard
        begun = time.monotonic()
        await socket.close()
        assert time.monotonic() - begun < 1.5
        flooding[0].transport.abort()


async def test_closing_takes_about_a_second_at_most_when_the_other_end_is_deaf() -> None:
    gone = asyncio.Event()

    async def upgrade_and_fall_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        accept = _accept(key.partition(b":")[2].strip().decode())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
        )
        with contextlib.suppress(ConnectionError):
            while await reader.read(1_000):
                pass
        gone.set()

    async with raw_server(upgrade_and_fall_silent) as url:
        socket = await open_socket(url)
        begun = time.monotonic()
        await socket.close()
        assert 0.5 < time.monotonic() - begun < 1.5
        async with asyncio.timeout(0.5):
            await gone.wait()
        with pytest.raises(ConnectionLostError, match=r"closed by us \(1000 \(OK\)\)|broke off"):
            await socket.receive()


def _accept(key: str) -> str:
    from websockets.utils import accept_key  # noqa: PLC0415 - the only use

    return accept_key(key)


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
    with pytest.raises(ConnectFailedError, match="connection refused"):
        await connector.connect("wss://elsewhere/", headers={}, subprotocol=None)
