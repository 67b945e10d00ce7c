"""The one door: the policy is asked before anything is opened, and every failure is one of ours."""

from __future__ import annotations

import asyncio
import contextlib
import socket as sockets
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.asyncio.server import ServerConnection, serve

from adapters.net.errors import ConnectFailedError, ConnectionLostError, NetworkDeniedError
from adapters.net.gateway import Gateway
from adapters.net.pacing import Pacer, Pacing
from adapters.net.policy import NetworkPolicy
from adapters.net.socket import WebSocketConnector
from tests.support.sockets import Connector as LocalConnector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapters.net.socket import Socket

Respond = Callable[[httpx.Request], httpx.Response]


class NoConnector:
    """A connector that notes what it is asked for and opens nothing."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        self.asked.append(url)
        raise ConnectFailedError(url, "this connector opens nothing")


@contextlib.asynccontextmanager
async def http_gateway(respond: Respond, *, max_response: int = 16 * 2**20, **policy: Any) -> AsyncIterator[Gateway]:
    rules = NetworkPolicy(also="https://api.example/*", **{"allow_private": True, **policy})
    made = Gateway(
        "p",
        rules,
        (),
        NoConnector(),
        lambda: httpx.AsyncClient(transport=httpx.MockTransport(respond), follow_redirects=False),
        max_response=max_response,
    )
    try:
        yield made
    finally:
        await made.aclose()


def gateway(policy: NetworkPolicy, connector: NoConnector, *declared: str) -> Gateway:
    return Gateway("p", policy, declared, connector, lambda: pytest.fail("no HTTP client is needed"))


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name resolve to these addresses. Returns the names that were asked for."""
    asked: list[str] = []

    async def getaddrinfo(host: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        asked.append(host)
        return [(sockets.AF_INET, sockets.SOCK_STREAM, 6, "", (address, 0)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    return asked


async def connect(through: Gateway, url: str) -> Socket:
    return await through.connect(url, headers={}, subprotocol=None)


class Refusing:
    """A connector for a server that refuses every handshake."""

    def __init__(self, *, status: int, retry_after: float | None = None) -> None:
        self.asked = 0
        self._facts: dict[str, Any] = {"status": status, "retry_after": retry_after}

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        self.asked += 1
        raise ConnectFailedError(url, "refused with s3cret", remedy="Wait", **self._facts)


def anywhere(connector: Any, pacing: Pacing | None = None, pacer: Pacer | None = None) -> Gateway:
    rules = NetworkPolicy(also=("wss://*.example", "wss://*.example:*"), allow_private=True)
    made = pacing or Pacing()
    no_http = lambda: pytest.fail("no HTTP client is needed")  # noqa: E731
    return Gateway(
        "p",
        rules,
        (),
        connector,
        no_http,
        pacing=made,
        pacer=pacer,
        redact=lambda text: text.replace("s3cret", "***"),
    )


async def test_what_a_refused_handshake_said_is_kept_without_its_secrets() -> None:
    through = anywhere(Refusing(status=403))
    with pytest.raises(ConnectFailedError) as caught:
        await connect(through, "wss://api.example/x?token=t")
    error = caught.value
    assert (error.url, error.problem, error.remedy) == ("wss://api.example/x", "refused with ***", "Wait")
    assert (error.status, error.retry_after) == (403, None)


async def test_a_host_that_wants_to_be_left_alone_is_not_asked_again_by_anybody() -> None:
    connector, pacer = Refusing(status=429, retry_after=60), Pacer()
    with pytest.raises(ConnectFailedError):
        await connect(anywhere(connector, pacer=pacer), "wss://api.example/x")
    for url in ("wss://api.example/y", "wss://api.example:443/z"):
        with pytest.raises(ConnectFailedError, match="asked to be left alone for another 60 s") as caught:
            await connect(anywhere(connector, pacer=pacer), url)
        assert caught.value.status == 429
        assert caught.value.retry_after == pytest.approx(60, abs=1)
    assert connector.asked == 1
    with pytest.raises(ConnectFailedError, match="refused"):
        await connect(anywhere(connector, pacer=pacer), "wss://api.example:8443/x")
    assert connector.asked == 2


async def test_attempts_at_one_host_are_spread_over_time() -> None:
    connector, pacing, pacer = Refusing(status=500), Pacing(rate=20, burst=2), Pacer()
    begun = time.monotonic()
    for _ in range(5):
        with pytest.raises(ConnectFailedError):
            await connect(anywhere(connector, pacing, pacer), "wss://api.example/x")
    assert 0.15 <= time.monotonic() - begun < 1


async def test_only_so_many_connections_to_a_host_are_open_at_once() -> None:
    through = anywhere(LocalConnector(), Pacing(connections=2))
    first, second = [await through.connect("wss://a.example/", headers={}, subprotocol=None) for _ in range(2)]
    with pytest.raises(ConnectFailedError, match="2 connections to this host are open, which is the limit"):
        await connect(through, "wss://a.example/")
    await connect(through, "wss://b.example/")
    await first.close()
    await first.close()  # counts once
    await connect(through, "wss://a.example/")
    with pytest.raises(ConnectFailedError):
        await connect(through, "wss://a.example/")
    await second.close()


async def test_what_is_denied_is_neither_resolved_nor_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, connector = resolve_to(monkeypatch, "8.8.8.8"), NoConnector()
    with pytest.raises(NetworkDeniedError):
        await connect(gateway(NetworkPolicy(), connector), "wss://api.example/x")
    assert (asked, connector.asked) == ([], [])


async def test_what_is_declared_is_connected_to_if_every_address_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, connector = resolve_to(monkeypatch, "8.8.8.8", "1.1.1.1"), NoConnector()
    with pytest.raises(ConnectFailedError, match="opens nothing"):
        await connect(gateway(NetworkPolicy(), connector, "wss://api.example/*"), "wss://api.example/x")
    assert (asked, connector.asked) == (["api.example"], ["wss://api.example/x"])


async def test_one_private_address_among_public_ones_is_enough_to_deny(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "8.8.8.8", "127.0.0.1")
    connector = NoConnector()
    with pytest.raises(NetworkDeniedError, match=r"127\.0\.0\.1 is a loopback"):
        await connect(gateway(NetworkPolicy(), connector, "wss://api.example/*"), "wss://api.example/x")
    assert connector.asked == []


async def test_an_address_that_is_written_out_is_judged_too() -> None:
    connector = NoConnector()
    for url in ("wss://127.0.0.1/x", "wss://[::1]/x", "wss://127.1/x", "wss://2130706433/x"):
        with pytest.raises((NetworkDeniedError, ConnectFailedError)):
            await connect(gateway(NetworkPolicy(also=url), connector), url)
    assert connector.asked == []


async def test_a_rewritten_address_is_judged_like_any_other() -> None:
    connector = NoConnector()
    rewrites = (("wss://api.example", "ws://127.0.0.1:1"),)
    with pytest.raises(NetworkDeniedError, match="loopback"):
        await connect(gateway(NetworkPolicy(rewrites=rewrites), connector, "wss://api.example/*"), "wss://api.example/")
    policy = NetworkPolicy(rewrites=rewrites, allow_private=True)
    with pytest.raises(ConnectFailedError):
        await connect(gateway(policy, connector, "wss://api.example/*"), "wss://api.example/")
    assert connector.asked == ["ws://127.0.0.1:1/"]


@pytest.mark.parametrize("host", ["nowhere.example", "a..example", f"{'a' * 64}.example"])
async def test_a_name_that_cannot_be_resolved_is_a_failed_connection(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    if host == "nowhere.example":  # the others fail before anybody is asked

        async def unknown(*_: object, **__: object) -> None:
            raise sockets.gaierror(sockets.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)
    with pytest.raises(ConnectFailedError, match=r"cannot be resolved: (Name or service not|it is not a host name)"):
        await connect(gateway(NetworkPolicy(), NoConnector(), "wss://*.example/*"), f"wss://{host}/?token=s3cret")


async def test_a_websocket_is_opened_through_the_door() -> None:
    async def greet(connection: ServerConnection) -> None:
        assert connection.request is not None
        await connection.send(f"{connection.request.path} {connection.request.headers['X-Key']}")
        await connection.wait_closed()

    async with serve(greet, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        policy = NetworkPolicy(allow_private=True, rewrites=(("wss://api.example", f"ws://127.0.0.1:{port}"),))
        door = Gateway("p", policy, ("wss://api.example/*",), WebSocketConnector(), httpx.AsyncClient)
        socket = await door.connect("wss://api.example/ws", headers={"X-Key": "abc"}, subprotocol=None)
        assert await socket.receive() == "/ws abc"
        await socket.close()
        await door.aclose()


async def test_an_http_request_goes_out_as_it_was_made_and_its_response_comes_back() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        assert (request.method, str(request.url)) == ("POST", "https://api.example/v1?a=b")
        assert (request.headers["x-key"], request.content) == ("abc", b"\x00body")
        return httpx.Response(201, headers=[("set-cookie", "a"), ("set-cookie", "b"), ("x-y", "z")], content=b"\xff")

    async with http_gateway(respond) as door:
        reply = await door.request("POST", "https://api.example/v1?a=b", {"X-Key": "abc"}, b"\x00body")
    assert (reply.status, reply.body) == (201, b"\xff")
    assert reply.headers["Set-Cookie"] == ["a", "b"]
    assert reply.headers["X-Y"] == ["z"]


async def test_a_redirect_is_answered_as_it_is() -> None:
    asked: list[str] = []

    def respond(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(302, headers={"Location": "https://evil.example/"})

    async with http_gateway(respond) as door:
        reply = await door.request("GET", "https://api.example/", {}, b"")
    assert (reply.status, reply.headers["Location"]) == (302, ["https://evil.example/"])
    assert asked == ["https://api.example/"]


async def test_one_client_serves_all_requests() -> None:
    made: list[httpx.AsyncClient] = []

    def make() -> httpx.AsyncClient:
        made.append(httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200))))
        return made[-1]

    policy = NetworkPolicy(also="https://api.example/*", allow_private=True)
    door = Gateway("p", policy, (), NoConnector(), make)
    for _ in range(2):
        await door.request("GET", "https://api.example/", {}, b"")
    await door.aclose()
    assert [client.is_closed for client in made] == [True]


async def test_a_request_that_is_denied_makes_no_client() -> None:
    with pytest.raises(NetworkDeniedError):
        await gateway(NetworkPolicy(), NoConnector()).request("GET", "https://api.example/", {}, b"")
    with pytest.raises(NetworkDeniedError, match="scheme https or http"):
        await gateway(NetworkPolicy(), NoConnector(), "wss://a/*").request("GET", "wss://a/", {}, b"")


async def test_a_response_that_is_too_long_is_given_up() -> None:
    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"x" * int(request.url.params["n"]))

    async with http_gateway(respond, max_response=1_000) as door:
        assert len((await door.request("GET", "https://api.example/?n=1000", {}, b"")).body) == 1_000
        with pytest.raises(ConnectFailedError, match="longer than 1000 bytes"):
            await door.request("GET", "https://api.example/?n=1001", {}, b"")


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (httpx.ConnectError("refused"), "refused"),
        (httpx.ReadError(""), "ReadError"),
        (httpx.RemoteProtocolError("server disconnected"), "server disconnected"),
        (httpx.DecodingError("bad gzip"), "bad gzip"),
        (httpx.InvalidURL("bad URL"), "bad URL"),
        (OSError("odd"), "odd"),
    ],
)
async def test_every_failure_of_http_is_a_failed_connection(error: Exception, problem: str) -> None:
    def respond(_: httpx.Request) -> httpx.Response:
        raise error

    async with http_gateway(respond) as door:
        with pytest.raises(ConnectFailedError) as caught:
            await door.request("GET", "https://api.example/v1?token=s3cret", {}, b"")
    assert str(caught.value) == f"could not connect to https://api.example/v1: {problem}"


@pytest.fixture
async def real_http() -> AsyncIterator[str]:
    """A real server that answers anything with "ok"; its URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def real_gateway() -> Gateway:
    policy = NetworkPolicy(also="http://127.0.0.1:*/*", allow_private=True)
    return Gateway("p", policy, (), NoConnector(), httpx.AsyncClient)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"Authorization": "s3cret é"}),
        ("GET", {"Authorization": "s3cret\r\nX: y"}),
        ("GET", {"Authorization": "s3cret\n"}),
        ("GET", {"X Y": "s3cret"}),
        ("GÉT", {}),
        ("G T", {}),
        ("", {}),
    ],
)
async def test_what_cannot_be_sent_is_a_failed_connection_that_shows_no_value(
    real_http: str, method: str, headers: dict[str, str]
) -> None:
    door = real_gateway()
    with pytest.raises(ConnectFailedError, match="its method or one of its headers cannot be sent") as caught:
        await door.request(method, real_http, headers, b"")
    assert "s3cret" not in str(caught.value)
    assert (await door.request("GET", real_http, {}, b"")).body == b"ok"
    await door.aclose()


async def test_headers_that_follow_from_the_request_are_the_hosts_own() -> None:
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        assert await reader.readexactly(2) == b"xx"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        door = real_gateway()
        headers = {"Content-Length": "100", "Host": "elsewhere.example", "X-Own": "1"}
        reply = await door.request("POST", f"http://127.0.0.1:{port}/", headers, b"xx")
        await door.aclose()
    assert reply.body == b"ok"
    head = heads[0].lower()
    assert b"content-length: 2\r\n" in head
    assert f"host: 127.0.0.1:{port}\r\n".encode() in head
    assert b"x-own: 1\r\n" in head
    assert b"elsewhere" not in head


async def test_an_address_that_cannot_be_reached_and_fits_no_rewrite_is_told_so() -> None:
    rewrites = (
        ("wss://stream.example?token=secret", "ws://127.0.0.1:1"),
        ("https://api.example", "http://127.0.0.1:1"),
    )
    policy = NetworkPolicy(also="wss://*.example/*", allow_private=True, rewrites=rewrites)
    with pytest.raises(ConnectFailedError) as caught:
        await connect(gateway(policy, NoConnector()), "wss://feed.example/")
    assert caught.value.remedy == (
        "No rewrite fits this address; there is one for wss://stream.example, https://api.example"
    )
    with pytest.raises(ConnectFailedError) as caught:
        await connect(gateway(policy, NoConnector()), "wss://stream.example?token=secret")
    assert caught.value.remedy == ""
    assert caught.value.url == "ws://127.0.0.1:1"


async def test_a_name_that_cannot_be_resolved_and_fits_no_rewrite_is_told_so() -> None:
    policy = NetworkPolicy(also="wss://*.invalid/*", rewrites=(("wss://other.example", "ws://127.0.0.1:1"),))
    with pytest.raises(ConnectFailedError, match=r"feed\.invalid cannot be resolved") as caught:
        await connect(gateway(policy, NoConnector()), "wss://feed.invalid/")
    assert caught.value.remedy.startswith(
        "No rewrite fits this address; there is one for wss://other.example. Check the host's name"
    )


async def test_a_name_that_cannot_be_resolved_is_told_with_the_way_around_it() -> None:
    with pytest.raises(ConnectFailedError, match=r"feed\.invalid cannot be resolved") as caught:
        await connect(gateway(NetworkPolicy(also="wss://*.invalid/*"), NoConnector()), "wss://feed.invalid/")
    assert "--rewrite, or rewrite=, leads to another address" in caught.value.remedy


async def test_tls_to_a_plain_server_nearby_is_told_with_the_address_to_use() -> None:
    async def silent(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            policy = NetworkPolicy(allow_private=True, rewrites=(("wss://api.example", f"wss://{host}:{port}"),))
            door = Gateway("p", policy, ("wss://api.example/*",), WebSocketConnector(), httpx.AsyncClient)
            with pytest.raises(ConnectFailedError) as caught:
                await connect(door, "wss://api.example/ws")
            assert caught.value.remedy == (
                f"If the server does not speak TLS, lead there with ws:// instead of wss://: ws://{host}:{port}"
            )


@pytest.mark.parametrize("target", ["ws://127.0.0.1:1", "wss://8.8.8.8", "wss://feed.example"])
async def test_elsewhere_nothing_is_said_of_plain_servers(target: str) -> None:
    policy = NetworkPolicy(allow_private=True, rewrites=(("wss://api.example", target),))
    with pytest.raises(ConnectFailedError) as caught:
        await connect(gateway(policy, NoConnector(), "wss://api.example/*"), "wss://api.example/ws")
    assert caught.value.remedy == ""


async def test_a_private_address_is_denied_under_the_name_that_leads_to_it() -> None:
    policy = NetworkPolicy(also="wss://api.example/*", rewrites=(("wss://api.example", "ws://127.0.0.1:1"),))
    with pytest.raises(NetworkDeniedError, match=r"may not reach ws://127\.0\.0\.1:1/: 127\.0\.0\.1 is a loopback"):
        await connect(gateway(policy, NoConnector()), "wss://api.example/")


class Foreign:
    """A connector, and its socket, that raise whatever they like."""

    def __init__(self, error: Exception, *, opens: bool) -> None:
        self.error = error
        self.opens = opens

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        if not self.opens:
            raise self.error
        return self

    async def receive(self) -> str | bytes:
        raise self.error

    async def send(self, message: str) -> None:
        raise self.error

    async def close(self) -> None:
        raise self.error


@pytest.mark.parametrize("error", [OSError("secret"), RuntimeError("secret"), EOFError()], ids=repr)
async def test_whatever_a_connector_or_its_socket_raises_is_a_failure_of_the_network(error: Exception) -> None:
    policy = NetworkPolicy(also="wss://api.example/*", allow_private=True)

    def through(connector: Foreign) -> Gateway:
        return Gateway("p", policy, (), connector, lambda: pytest.fail("no HTTP client is needed"))

    name = type(error).__name__
    with pytest.raises(ConnectFailedError) as failed:
        await connect(through(Foreign(error, opens=False)), "wss://api.example/")
    assert failed.value.problem == f"the connector raised {name}"
    assert failed.value.__cause__ is error
    socket = await connect(through(Foreign(error, opens=True)), "wss://api.example/")
    for use in (socket.receive(), socket.send("x")):
        with pytest.raises(ConnectionLostError) as lost:
            await use
        assert lost.value.problem == f"its socket raised {name}"
        assert "secret" not in str(lost.value)
    await socket.close()


async def test_our_own_errors_of_a_connector_stay_as_they_are() -> None:
    policy = NetworkPolicy(also="wss://api.example/*", allow_private=True)
    for error in (NetworkDeniedError("p", "wss://a", "r", ""), ConnectionLostError("wss://a", "x")):
        made = Gateway("p", policy, (), Foreign(error, opens=False), lambda: pytest.fail("none"))
        with pytest.raises(type(error)) as caught:
            await connect(made, "wss://api.example/")
        assert caught.value is error
        made = Gateway("p", policy, (), Foreign(error, opens=True), lambda: pytest.fail("none"))
        socket = await connect(made, "wss://api.example/")
        for use in (socket.receive(), socket.send("x")):
            with pytest.raises(type(error)):
                await use
