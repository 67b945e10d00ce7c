"""What an operator says of TLS once: bad files are named, and what has a context of its own keeps it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from adapters.net.socket import WebSocketConnector
from adapters.net.tls import Tls
from adapters.settings import AdapterSettings
from detectors.errors import UsageError
from tests.support.doors import SECRET
from tests.support.rogue.certificates import Authority, Files, Identity
from tests.support.sockets import Connector

WRONG_PASSWORD = (
    "TLS: the password does not open the key in '{}/k.pem'. Check the password, and whether it is that of this file"
)


def test_a_key_may_stand_in_the_certificates_file(files: Files, authority: Authority) -> None:
    own = authority.identity("client.example")
    assert Tls(certificate=files.write("both.pem", own.key + own.certificate)).context


def test_a_connector_with_a_context_of_its_own_keeps_it(ca: Path) -> None:
    own, tls = ssl.create_default_context(), Tls(ca=ca)
    assert AdapterSettings(tls=tls, connector=WebSocketConnector(ssl=own)).websockets() == WebSocketConnector(ssl=own)
    given = AdapterSettings(tls=tls, connector=WebSocketConnector(max_message=5)).websockets()
    assert given == WebSocketConnector(max_message=5, ssl=tls.context)
    injected = Connector()
    assert AdapterSettings(tls=tls, connector=injected).websockets() is injected


async def test_a_function_of_ones_own_that_makes_clients_is_not_interfered_with(ca: Path) -> None:
    async with httpx.AsyncClient() as own:
        assert AdapterSettings(tls=Tls(ca=ca), http=lambda: own).http_client() is own


Bad = Callable[[Files, Identity, Identity], dict[str, object]]
BAD_FILES: dict[str, tuple[Bad, str]] = {
    "no authority's file": (
        lambda files, *_: {"ca": files.folder / "none.pem"},
        (
            "TLS: the file of the authorities, '{}/none.pem', cannot be read: No such file or directory. "
            "Check the path, and that you may read it"
        ),
    ),
    "a folder": (
        lambda files, *_: {"ca": files.folder},
        (
            "TLS: the file of the authorities, '{}', cannot be read: Is a directory. "
            "Check the path, and that you may read it"
        ),
    ),
    "no certificate in the authorities": (
        lambda files, own, _: {"ca": files.write("a.pem", own.key)},
        (
            "TLS: the file of the authorities, '{}/a.pem', holds no certificate in PEM. "
            "Convert it by openssl, or name the file that holds the certificate"
        ),
    ),
    "damaged authorities": (
        lambda files, own, _: {"ca": files.write("a.pem", own.certificate[:200] + b"!" + own.certificate[201:])},
        "TLS: the file of the authorities, '{}/a.pem' is damaged. Compare it with its original",
    ),
    "a key alone": (
        lambda files, own, _: {"key": files.write("k.pem", own.key)},
        "TLS: there is a key and no certificate. Give the certificate, too",
    ),
    "a password alone": (
        lambda *_: {"key_password": SECRET},
        "TLS: there is a password of a key and no certificate. Give the certificate, too",
    ),
    "no key": (
        lambda files, own, _: {"certificate": files.write("c.pem", own.certificate)},
        "TLS: '{}/c.pem' holds no key. Give it by --client-key, or Tls(key=...)",
    ),
    "another file for the key": (
        lambda files, own, _: {
            "certificate": files.write("c.pem", own.certificate),
            "key": files.write("k.pem", own.certificate),
        },
        (
            "TLS: the file of the client key, '{}/k.pem', holds no private key in PEM. "
            "Convert it by openssl, or name the file that holds the private key"
        ),
    ),
    "another's key": (
        lambda files, own, other: {
            "certificate": files.write("c.pem", own.certificate),
            "key": files.write("k.pem", other.key),
        },
        "TLS: the key in '{0}/k.pem' is not that of the certificate in '{0}/c.pem'. Give the two that belong together",
    ),
    "no password": (
        lambda files, own, _: {
            "certificate": files.write("c.pem", own.certificate),
            "key": files.write("k.pem", own.encrypted("x")),
        },
        (
            "TLS: the key in '{}/k.pem' is encrypted, and there is no password for it. "
            "Give the password: Tls(key_password=...), or --client-key-password-env"
        ),
    ),
    "the wrong password": (
        lambda files, own, _: {
            "certificate": files.write("c.pem", own.certificate),
            "key": files.write("k.pem", own.encrypted("x")),
            "key_password": SECRET,
        },
        WRONG_PASSWORD,
    ),
    "too long a password": (
        lambda files, own, _: {
            "certificate": files.write("c.pem", own.certificate),
            "key": files.write("k.pem", own.encrypted("x")),
            "key_password": SECRET * 1_000,
        },
        WRONG_PASSWORD,
    ),
    "a damaged key": (
        lambda files, own, _: {
            "certificate": files.write("c.pem", own.certificate),
            "key": files.write("k.pem", own.key[:60] + b"!" + own.key[61:]),
        },
        "TLS: '{0}/c.pem' or '{0}/k.pem' is damaged. Compare it with its original",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named_with_what_to_do(name: str, files: Files, authority: Authority) -> None:
    make, words = BAD_FILES[name]
    given = make(files, authority.identity("a.example"), authority.identity("b.example"))
    with pytest.raises(UsageError) as caught:
        Tls(**given)  # type: ignore[arg-type]
    assert str(caught.value) == words.format(files.folder)
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
