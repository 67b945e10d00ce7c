"""A plugin's HTTP requests through the one door: sent as they were made, bounded, and never failing in another way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from adapters.net.errors import ConnectFailedError, NetworkDeniedError
from adapters.net.gateway import Gateway
from adapters.net.policy import NetworkPolicy
from tests.support.doors import NoConnector
from tests.support.waiting import HANG

Respond = Callable[[httpx.Request], httpx.Response]


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
    for declared, url, rule in (
        ((), "https://api.example/", "nothing"),
        (("wss://a/*",), "wss://a/", "scheme https or http"),
    ):
        door = Gateway("p", NetworkPolicy(), declared, NoConnector(), lambda: pytest.fail("no HTTP client is needed"))
        with pytest.raises(NetworkDeniedError, match=rule):
            await door.request("GET", url, {}, b"")


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
    return Gateway("p", policy, (), NoConnector(), lambda: httpx.AsyncClient(timeout=HANG))


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
