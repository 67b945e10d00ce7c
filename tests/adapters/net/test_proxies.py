"""Real proxies over loopback: found by one rule for WebSockets and HTTP, with their failures named and no password."""

from __future__ import annotations

import asyncio
import functools
import gc
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from adapters.net.errors import ConnectFailedError
from adapters.net.http import http_client
from adapters.net.proxies import by_way_of, host_of, proxy_for
from compat.demo.exchange import Exchange
from tests.support.doors import HASTY, QUICK, SECRET, door, enter, greet
from tests.support.rogue.certificates import Authority, serving
from tests.support.rogue.peer import Rogue, closed_port
from tests.support.rogue.proxies import HttpProxy, SocksProxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("nothing_open")

PROXY_REMEDY = "Correct https_proxy (or all_proxy, socks_proxy) in the environment, or exempt the host: no_proxy"


FOUND: list[tuple[dict[str, str], str, str | None]] = [
    ({}, "wss://a.example/", None),
    ({"https": "http://p:1"}, "wss://a.example/", "http://p:1"),
    ({"https": "http://p:1"}, "https://a.example/", "http://p:1"),
    ({"https": "http://p:1"}, "ws://a.example/", "http://p:1"),
    ({"https": "http://p:1"}, "http://a.example/", None),
    ({"http": "http://p:1"}, "wss://a.example/", None),
    ({"http": "http://p:1"}, "ws://a.example/", "http://p:1"),
    ({"http": "http://p:1", "wss": "http://q:2"}, "wss://a.example/", "http://q:2"),
    ({"all": "socks5h://p:1"}, "wss://a.example/", "socks5h://p:1"),
    ({"all": "socks5h://p:1"}, "http://a.example/", "socks5h://p:1"),
    ({"all": "socks://p:1"}, "http://a.example/", "socks5h://p:1"),
    ({"socks": "http://p:1"}, "wss://a.example/", "socks5h://p:1"),
    ({"socks": "p:1"}, "https://a.example/", "socks5h://p:1"),
    ({"socks": "socks5://p:1", "https": "http://q:2"}, "wss://a.example/", "socks5://p:1"),
    ({"socks": "socks5://p:1", "https": "http://q:2"}, "https://a.example/", "http://q:2"),
    ({"https": "p:1"}, "wss://a.example/", "http://p:1"),
    ({"https": ""}, "wss://a.example/", None),
    ({"all": "http://p:1", "no": "a.example"}, "wss://a.example/", None),
    ({"all": "http://p:1", "no": "a.example"}, "wss://b.a.example:8443/", None),
    ({"all": "http://p:1", "no": "a.example:8443"}, "wss://a.example:8443/", None),
    ({"all": "http://p:1", "no": "a.example"}, "wss://ba.example/", "http://p:1"),
    ({"all": "http://p:1", "no": "*"}, "http://a.example/", None),
    ({"all": "http://p:1", "no": "127.0.0.1,localhost"}, "ws://127.0.0.1:5/", None),
    ({"all": "http://p:1"}, "ftp://a.example/", None),
    ({"all": "http://p:1"}, "ws://a:99999/", None),
]


def test_one_rule_finds_the_proxy(environment: Callable[..., None]) -> None:
    found = []
    for values, url, _ in FOUND:
        environment(**values)
        found.append((values, url, proxy_for(url)))
    assert found == FOUND


def test_a_proxy_is_shown_without_its_password() -> None:
    assert by_way_of("refused", f"http://user:{SECRET}@p:1") == "refused (by way of the proxy http://p:1)"
    assert by_way_of("refused", None) == "refused"


def test_a_proxy_that_there_cannot_be_has_no_host() -> None:
    proxies = ("http://u:p@p:1", "socks5h://p", "http://", "http://p:0", "http://p:x")
    assert [host_of(proxy) for proxy in proxies] == ["p", "p", None, None, None]


PROXIES = pytest.mark.parametrize("kind", [HttpProxy, SocksProxy])
LOGINS = pytest.mark.parametrize("login", [None, ("user", f"p@ss:{SECRET}")], ids=["open", "password"])


def given(login: tuple[str, str] | None) -> str:
    return f"user:p%40ss%3A{SECRET}" if login else ""


@PROXIES
@LOGINS
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_websockets_and_http_go_through_the_proxy_by_name(
    kind: type[HttpProxy | SocksProxy],
    login: tuple[str, str] | None,
    secure: bool,
    environment: Callable[..., None],
    authority: Authority,
    tmp_path: Path,
) -> None:
    host = "exchange.example"  # which nobody here can resolve
    context = serving(authority.identity(host), tmp_path) if secure else None
    connector, client = QUICK, authority.client()
    if secure:
        connector = type(QUICK)(ssl=client)
    async with Exchange(ssl=context) as exchange, kind(login=login) as proxy:
        environment(all=proxy.url(given(login)))
        async with door(connector, lambda: http_client(client)) as through:
            await greet(through, exchange, host)
        assert proxy.asked == [(host, exchange.port)] * 2


@PROXIES
async def test_hosts_that_are_exempt_are_reached_directly(
    kind: type[HttpProxy | SocksProxy], environment: Callable[..., None]
) -> None:
    async with Exchange() as exchange, kind() as proxy, door() as through:
        environment(all=proxy.url(), no="127.0.0.1")
        await greet(through, exchange, "127.0.0.1")
        assert proxy.attempts == []


async def collect() -> None:
    """Take away the sockets that httpcore forgets of connections that a proxy did not make."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
        for _ in range(5):  # what is cancelled lets go of them in a turn of its own
            await asyncio.sleep(0)
        gc.collect()


REFUSALS: dict[str, tuple[type[HttpProxy | SocksProxy], dict[str, Any], str, str]] = {
    "HTTP refuses": (
        HttpProxy,
        {"refuses": True},
        "the proxy answered with HTTP status 403",
        "the proxy did not connect: 403 Forbidden",
    ),
    "HTTP wants a password": (
        HttpProxy,
        {"login": ("user", "x")},
        "the proxy answered with HTTP status 407",
        "the proxy did not connect: 407 Proxy Authentication Required",
    ),
    "SOCKS refuses": (
        SocksProxy,
        {"refuses": True},
        "the proxy did not connect: Connection not allowed by ruleset",
        "the proxy did not connect: Proxy Server could not connect: Connection not allowed by ruleset",
    ),
    "SOCKS wants another password": (
        SocksProxy,
        {"login": ("user", "x")},
        "the proxy did not connect: Username and password authentication failure",
        "the proxy did not connect: Invalid username/password",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_proxy_that_refuses_is_named_and_its_password_is_not(
    name: str, environment: Callable[..., None]
) -> None:
    kind, options, by_websocket, by_http = REFUSALS[name]
    async with kind(**options) as proxy, door() as through:
        environment(all=proxy.url(f"user:{SECRET}"))
        way = f" (by way of the proxy {proxy.url()})"
        with pytest.raises(ConnectFailedError) as caught:
            await enter(through, "wss://exchange.example:1")
        assert (caught.value.problem, caught.value.remedy) == (by_websocket + way, PROXY_REMEDY)
        assert caught.value.status is None  # which is that of the exchange
        assert SECRET not in f"{caught.value!s} {vars(caught.value)}"
        with pytest.raises(ConnectFailedError) as caught:
            await through.request("GET", "https://exchange.example:1/", {}, b"")
        assert (caught.value.problem, caught.value.remedy) == (by_http + way, PROXY_REMEDY)
        assert SECRET not in f"{caught.value!s} {vars(caught.value)}"
    del caught
    await collect()


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_a_proxy_that_is_not_there_is_named(scheme: str, environment: Callable[..., None]) -> None:
    proxy = f"{scheme}://127.0.0.1:{closed_port()}"
    environment(all=proxy)
    async with door() as through:
        for using in (enter(through, "wss://a.example"), through.request("GET", "https://a.example/", {}, b"")):
            with pytest.raises(ConnectFailedError) as caught:
                await using
            assert caught.value.problem == f"connection refused (by way of the proxy {proxy})"
            assert caught.value.remedy == PROXY_REMEDY


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_a_proxy_whose_name_leads_nowhere_is_named(
    scheme: str, environment: Callable[..., None], no_names: list[str]
) -> None:
    environment(all=f"{scheme}://proxy.invalid:1")
    async with door(rewrites=(("wss://other.example", "ws://127.0.0.1:1"),)) as through:
        for using in (enter(through, "wss://a.example"), through.request("GET", "https://a.example/", {}, b"")):
            with pytest.raises(ConnectFailedError) as caught:
                await using
            assert caught.value.problem.startswith("the proxy's host proxy.invalid cannot be resolved: ")
            assert caught.value.remedy.endswith(PROXY_REMEDY)
    assert "proxy.invalid" in no_names


@pytest.mark.parametrize(
    ("scheme", "behaviour"),
    [("http", "no HTTP"), ("https", "no TLS"), ("socks5h", "no TLS"), ("http", "leaves at once")],
)
async def test_a_proxy_that_speaks_another_protocol_is_to_be_corrected(
    scheme: str, behaviour: str, environment: Callable[..., None]
) -> None:
    async with Rogue(behaviour) as peer, door() as through:
        environment(all=f"{scheme}://127.0.0.1:{peer.port}")
        for using in (enter(through, "wss://127.0.0.1"), through.request("GET", "https://a.example/", {}, b"")):
            with pytest.raises(ConnectFailedError) as caught:
                await using
            assert caught.value.remedy.endswith(PROXY_REMEDY)
            assert "ws://" not in caught.value.remedy
    del caught
    await collect()


@pytest.mark.parametrize("port", [0, 99_999, "x"])
async def test_a_proxy_of_an_impossible_port_is_not_usable(port: object, environment: Callable[..., None]) -> None:
    environment(all=f"http://127.0.0.1:{port}")
    async with door() as through:
        for using in (enter(through, "wss://a.example"), through.request("GET", "https://a.example/", {}, b"")):
            with pytest.raises(ConnectFailedError) as caught:
                await using
            assert caught.value.remedy == PROXY_REMEDY


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_a_proxy_that_says_nothing_is_given_up(scheme: str, environment: Callable[..., None]) -> None:
    impatient = functools.partial(http_client, response_timeout=0.2)
    async with Rogue("says nothing") as peer, door(HASTY, impatient) as through:
        environment(all=f"{scheme}://127.0.0.1:{peer.port}")
        for using in (enter(through, "wss://a.example"), through.request("GET", "https://a.example/", {}, b"")):
            with pytest.raises(ConnectFailedError, match="no answer in time"):
                await using
    await collect()


async def test_what_is_no_proxy_is_named(environment: Callable[..., None]) -> None:
    environment(all=f"foo://{SECRET}@a:1")
    async with door() as through:
        for using in (enter(through, "wss://a.example"), through.request("GET", "https://a.example/", {}, b"")):
            with pytest.raises(ConnectFailedError) as caught:
                await using
            assert caught.value.problem == (
                "the proxy in this process's environment is not usable (by way of the proxy foo://a:1)"
            )
            assert caught.value.remedy == PROXY_REMEDY


async def test_without_the_packages_for_socks_the_extra_is_named(
    environment: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from websockets.asyncio import client  # noqa: PLC0415 - to take something out of it

    async def needs_package(*_: object, **__: object) -> None:
        raise ImportError("connecting through a SOCKS proxy requires python-socks")

    monkeypatch.setattr(client, "connect_socks_proxy", needs_package)
    monkeypatch.setitem(sys.modules, "socksio", None)
    environment(all=f"socks5h://user:{SECRET}@127.0.0.1:1")
    async with door() as through:
        for using in (enter(through, "wss://a.example"), through.request("GET", "https://a.example/", {}, b"")):
            with pytest.raises(ConnectFailedError) as caught:
                await using
            assert caught.value.remedy == "A SOCKS proxy needs two more packages: pip install 'plugin-compat[socks]'"
            assert SECRET not in str(caught.value)
