"""TLS: what is said once holds for WebSockets and HTTP; bad files are named, and so is every kind of failure."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.net.errors import ConnectFailedError
from adapters.net.gateway import Gateway
from adapters.net.socket import WebSocketConnector
from adapters.net.tls import Tls
from adapters.settings import AdapterSettings
from compat.demo.exchange import Exchange
from tests.support.doors import HASTY, QUICK, SECRET, door, enter
from tests.support.rogue.certificates import Authority, Files, self_signed, serving
from tests.support.rogue.peer import Rogue
from tests.support.rogue.strict import StrictTls

pytestmark = pytest.mark.usefixtures("nothing_open")

TRUST = "Trust its authority: Tls(ca=...), --ca-file, or SSL_CERT_FILE in the environment"
CLOCK = "Check this machine's clock; if it is right, the certificate has to be replaced by its owner"
OTHER_HOST = "Lead the plugin to the host that the certificate is made for, by a rewrite"
CERTIFICATE = "Give one that it accepts: Tls(certificate=..., key=...), --client-cert and --client-key"


@asynccontextmanager
async def door_with(tls: Tls | None, connector: WebSocketConnector = QUICK) -> AsyncIterator[Gateway]:
    settings = AdapterSettings(tls=tls, connector=connector)
    async with door(settings.websockets(), settings.http_client) as through:
        yield through


async def test_a_given_authority_is_trusted_for_websockets_and_http(
    files: Files, ca: Path, authority: Authority
) -> None:
    async with (
        Exchange(ssl=serving(authority.identity(), files.folder)) as exchange,
        door_with(Tls(ca=ca)) as through,
    ):
        socket = await through.connect(f"{exchange.ws_url}/ws", headers={}, subprotocol=None)
        await socket.close()
        reply = await through.request("GET", f"{exchange.http_url}/api/v1/intervals", {}, b"")
        assert reply.status == 200


async def test_without_one_both_trust_whom_the_system_trusts(
    files: Files, ca: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Exchange(ssl=serving(authority.identity(), files.folder)) as exchange:
        url = f"{exchange.http_url}/api/v1/intervals"
        for tls in (None, Tls()):
            async with door_with(tls) as through:
                for use in (enter(through, exchange.ws_url), through.request("GET", url, {}, b"")):
                    with pytest.raises(ConnectFailedError) as caught:
                        await use
                    assert caught.value.remedy == TRUST
        monkeypatch.setenv("SSL_CERT_FILE", str(ca))
        for tls in (None, Tls()):
            async with door_with(tls) as through:
                await (await through.connect(f"{exchange.ws_url}/ws", headers={}, subprotocol=None)).close()
                assert (await through.request("GET", url, {}, b"")).status == 200


@pytest.mark.parametrize("encrypted", [False, True])
async def test_a_client_certificate_is_shown_to_who_asks_for_it(
    encrypted: bool, files: Files, ca: Path, authority: Authority
) -> None:
    own = authority.identity("client.example")
    key = files.write("key.pem", own.encrypted(SECRET) if encrypted else own.key)
    tls = Tls(
        ca=ca,
        certificate=files.write("cert.pem", own.certificate),
        key=key,
        key_password=SECRET if encrypted else None,
    )
    assert SECRET not in repr(tls)
    context = authority.trusting(serving(authority.identity(), files.folder))
    async with Exchange(ssl=context) as exchange, door_with(tls) as through:
        await (await through.connect(f"{exchange.ws_url}/ws", headers={}, subprotocol=None)).close()
        assert (await through.request("GET", f"{exchange.http_url}/api/v1/intervals", {}, b"")).status == 200


Serving = Callable[[Authority, Path], ssl.SSLContext]


def issued(name: str = "127.0.0.1", days: tuple[int, int] = (-1, 1)) -> Serving:
    return lambda authority, folder: serving(authority.identity(name, days=days), folder)


def old(authority: Authority, folder: Path) -> ssl.SSLContext:
    context = serving(authority.identity(), folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is the point
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    return context


UNTRUSTED: dict[str, tuple[Serving, str, str]] = {
    "expired": (issued(days=(-3, -1)), "its certificate is not trusted: certificate has expired", CLOCK),
    "not yet valid": (issued(days=(1, 3)), "its certificate is not trusted: certificate is not yet valid", CLOCK),
    "another host": (
        issued("other.example"),
        "its certificate is not trusted: IP address mismatch, certificate is not valid for '127.0.0.1'",
        OTHER_HOST,
    ),
    "unknown authority": (
        lambda _, folder: serving(Authority().identity(), folder),
        "its certificate is not trusted: unable to get local issuer certificate",
        TRUST,
    ),
    "self-signed": (
        lambda _, folder: serving(self_signed(), folder),
        "its certificate is not trusted: self-signed certificate",
        TRUST,
    ),
}


@pytest.mark.parametrize("way", ["websocket", "http"])
@pytest.mark.parametrize("kind", UNTRUSTED)
async def test_every_failure_of_tls_is_named(kind: str, way: str, files: Files, ca: Path, authority: Authority) -> None:
    make, problem, remedy = UNTRUSTED[kind]
    async with Rogue("says nothing", ssl=make(authority, files.folder)) as peer, door_with(Tls(ca=ca)) as through:
        with pytest.raises(ConnectFailedError) as caught:
            await use(through, way, peer.port)
    assert (caught.value.problem, caught.value.remedy) == (problem, remedy)


async def use(through: Gateway, way: str, port: int) -> None:
    if way == "websocket":
        await enter(through, f"wss://127.0.0.1:{port}")
    else:
        await through.request("GET", f"https://127.0.0.1:{port}/", {}, b"")


@pytest.mark.parametrize("way", ["websocket", "http"])
async def test_a_server_that_speaks_old_versions_only_is_named(
    way: str, files: Files, ca: Path, authority: Authority
) -> None:
    with StrictTls(old(authority, files.folder)) as peer:
        async with door_with(Tls(ca=ca)) as through:
            with pytest.raises(ConnectFailedError) as caught:
                await use(through, way, peer.port)
    assert caught.value.problem == "TLS failed: the other end offers no version of TLS that is safe"
    assert caught.value.remedy == "It has to be brought up to date by its operator"


@pytest.mark.parametrize("way", ["websocket", "http"])
@pytest.mark.parametrize("shown", [None, "another authority's", "expired"])
async def test_a_client_certificate_that_is_missing_or_wrong_is_named(
    shown: str | None, way: str, files: Files, ca: Path, authority: Authority
) -> None:
    own = {
        None: None,
        "another authority's": Authority().identity("client.example"),
        "expired": authority.identity("client.example", days=(-3, -1)),
    }[shown]
    tls = Tls(ca=ca, certificate=files.write("both.pem", own.certificate + own.key) if own else None)
    with StrictTls(authority.trusting(serving(authority.identity(), files.folder))) as peer:
        async with door_with(tls) as through:
            with pytest.raises(ConnectFailedError) as caught:
                await use(through, way, peer.port)
    assert caught.value.problem == "TLS failed: the other end asks for a client certificate, or does not accept ours"
    assert caught.value.remedy == CERTIFICATE


@pytest.mark.parametrize("way", ["websocket", "http"])
async def test_an_alert_of_who_speaks_tls_is_never_answered_by_leaving_tls_out(
    way: str, files: Files, ca: Path, authority: Authority
) -> None:
    context = serving(authority.identity(), files.folder)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-SHA")  # which nobody here offers
    with StrictTls(context) as peer:
        tls = Tls(ca=ca)
        tls.context.set_ciphers("ECDHE+AESGCM")
        async with door_with(tls) as through:
            with pytest.raises(ConnectFailedError) as caught:
                await use(through, way, peer.port)
    assert caught.value.problem == (
        "TLS failed: the other end asks for a client certificate, or does not accept ours, or shares no cipher"
    )
    assert caught.value.remedy == CERTIFICATE


@pytest.mark.parametrize("behaviour", ["leaves once asked", "resets once asked"])
async def test_who_hangs_up_once_tls_stands_may_want_a_certificate(
    behaviour: str, files: Files, ca: Path, authority: Authority
) -> None:
    async with (
        Rogue(behaviour, ssl=serving(authority.identity(), files.folder)) as peer,
        door_with(Tls(ca=ca)) as through,
    ):
        with pytest.raises(ConnectFailedError) as caught:
            await enter(through, f"wss://127.0.0.1:{peer.port}")
    assert caught.value.remedy == (
        "If it goes on, the exchange may bar this address, or is overloaded. A server that wants a client certificate "
        "may do this: Tls(certificate=..., key=...), --client-cert and --client-key"
    )


async def test_a_websocket_without_tls_on_the_port_of_tls_is_told_with_the_scheme_to_use(
    files: Files, authority: Authority
) -> None:
    async with Exchange(ssl=serving(authority.identity(), files.folder)) as exchange, door() as through:
        with pytest.raises(ConnectFailedError) as caught:
            await enter(through, exchange.ws_url.replace("wss:", "ws:"))
    assert caught.value.remedy.endswith(". If the server speaks TLS, lead there with wss://")


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
@pytest.mark.parametrize("way", ["websocket", "http"])
async def test_what_the_environment_names_in_vain_is_told_with_a_certificate_that_is_not_trusted(
    name: str, way: str, files: Files, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, str(files.folder / "none"))
    async with (
        Rogue("says nothing", ssl=serving(authority.identity(), files.folder)) as peer,
        door_with(Tls()) as through,
    ):
        with pytest.raises(ConnectFailedError) as caught:
            await use(through, way, peer.port)
    assert caught.value.remedy == f"{TRUST}. {name} names '{files.folder / 'none'}', which cannot be read"


@pytest.mark.parametrize("way", ["websocket", "http"])
async def test_plain_text_on_the_port_of_tls_is_told_with_the_way_around_it(way: str, ca: Path) -> None:
    async with Rogue("no TLS") as peer, door_with(Tls(ca=ca)) as through:
        with pytest.raises(ConnectFailedError) as caught:
            await use(through, way, peer.port)
        assert caught.value.problem == "TLS failed: the other end does not speak TLS"
        if way == "websocket":
            assert caught.value.remedy == (
                f"If the server does not speak TLS, lead there with ws:// instead of wss://: ws://127.0.0.1:{peer.port}"
            )


@pytest.mark.parametrize(
    ("behaviour", "problem"),
    [("resets once asked", "connection reset"), ("says nothing", "no answer in time")],
)
async def test_a_handshake_of_tls_that_comes_to_nothing(behaviour: str, problem: str, ca: Path) -> None:
    async with (
        Rogue(behaviour) as peer,
        door_with(Tls(ca=ca), HASTY if behaviour == "says nothing" else QUICK) as through,
    ):
        with pytest.raises(ConnectFailedError) as caught:
            await enter(through, peer.ws_url.replace("ws:", "wss:"))
    assert caught.value.problem == problem
