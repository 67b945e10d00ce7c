"""The one door: the policy is asked before anything is opened, and every failure is one of ours."""

from __future__ import annotations

import asyncio
import socket as sockets
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.asyncio.server import ServerConnection, serve

from adapters.net.errors import ConnectFailedError, ConnectionLostError, NetworkDeniedError
from adapters.net.gateway import Gateway
from adapters.net.policy import NetworkPolicy
from adapters.net.socket import WebSocketConnector
from tests.support.doors import NoConnector
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import Mapping

    from adapters.net.socket import Socket


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


def resolve_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no name resolve."""

    async def unknown(*_: object, **__: object) -> None:
        raise sockets.gaierror(sockets.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", unknown)


async def connect(through: Gateway, url: str) -> Socket:
    return await through.connect(url, headers={}, subprotocol=None)


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
        resolve_nothing(monkeypatch)
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


async def test_a_name_that_cannot_be_resolved_and_fits_no_rewrite_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_nothing(monkeypatch)
    policy = NetworkPolicy(also="wss://*.invalid/*", rewrites=(("wss://other.example", "ws://127.0.0.1:1"),))
    with pytest.raises(ConnectFailedError, match=r"feed\.invalid cannot be resolved") as caught:
        await connect(gateway(policy, NoConnector()), "wss://feed.invalid/")
    assert caught.value.remedy.startswith(
        "No rewrite fits this address; there is one for wss://other.example. Check the host's name"
    )


async def test_a_name_that_cannot_be_resolved_is_told_with_the_way_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_nothing(monkeypatch)
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


class Careless(Foreign):
    """A socket that returns whatever it likes, and never comes to an end of closing."""

    def __init__(self, message: Any) -> None:
        super().__init__(EOFError(), opens=True)
        self.message = message

    async def receive(self) -> str | bytes:
        return self.message  # type: ignore[no-any-return]

    async def close(self) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize("message", [None, 5, {"a": 1}], ids=repr)
async def test_a_socket_that_keeps_no_promise_is_lost_and_given_up(
    message: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.net.gateway._LONGEST_CLOSE", 0.01)
    policy = NetworkPolicy(also="wss://api.example/*", allow_private=True)
    made = Gateway("p", policy, (), Careless(message), lambda: pytest.fail("no HTTP client is needed"))
    socket = await connect(made, "wss://api.example/")
    with pytest.raises(ConnectionLostError, match=f"its socket returned {type(message).__name__}"):
        await socket.receive()
    async with asyncio.timeout(HANG):
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
