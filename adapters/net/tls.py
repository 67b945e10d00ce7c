"""Whom to trust and who to be in TLS: what an operator says once, for WebSockets and for HTTP.

Files are read when the value is made, so that what is wrong with one is told then, under its name, and not by a stream
that cannot connect.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import attrs

from detectors.errors import UsageError

__all__ = ["Tls", "TlsError"]

FilePath = str | os.PathLike[str]


class TlsError(UsageError):
    """One of the files cannot be used.

    Attributes:
        at_fault: The attribute of ``Tls`` that is to be corrected.
    """

    def __init__(self, at_fault: str, message: str, *, remedy: str = "") -> None:
        super().__init__(f"TLS: {message}", remedy=remedy)
        self.at_fault = at_fault


@attrs.frozen
class Tls:
    """How connections by TLS are made, as files in PEM.

    Attributes:
        ca: Certificates of the authorities to trust, in place of the system's; ``None``: the system's, or those that
            ``SSL_CERT_FILE`` in the environment names.
        certificate: A certificate to show to servers that ask for one, with those between it and its authority.
        key: Its private key; ``None``: it stands in the same file.
        key_password: What opens the key, if it is encrypted. It is never shown.
        context: What the above comes to.

    Raises:
        TlsError: A file cannot be read, or is not what it should be; the password does not open the key; the key is
            another certificate's.
    """

    ca: FilePath | None = None
    certificate: FilePath | None = None
    key: FilePath | None = None
    key_password: str | None = attrs.field(default=None, repr=False)
    context: ssl.SSLContext = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.certificate is None and (self.key is not None or self.key_password is not None):
            at_fault, given = ("key", "key") if self.key is not None else ("key_password", "password of a key")
            raise TlsError(at_fault, f"there is a {given} and no certificate", remedy="Give the certificate, too")
        context = _trusting(self.ca)
        if self.certificate is not None:
            _identify(context, self.certificate, self.key, self.key_password)
        object.__setattr__(self, "context", context)


def _trusting(ca: FilePath | None) -> ssl.SSLContext:
    if ca is None:
        return ssl.create_default_context()
    _read("ca", ca, "CERTIFICATE-----")
    try:
        return ssl.create_default_context(cafile=os.fspath(ca))
    except ssl.SSLError:
        raise TlsError("ca", f"the file of the authorities, '{_shown(ca)}' is damaged", remedy=_DAMAGED) from None


def _identify(context: ssl.SSLContext, certificate: FilePath, own_key: FilePath | None, password: str | None) -> None:
    content = _read("certificate", certificate, "CERTIFICATE-----")
    if own_key is not None:
        _read("key", own_key, "PRIVATE KEY-----")
    elif b"PRIVATE KEY-----" not in content:
        remedy = "Give it by --client-key, or Tls(key=...)"
        raise TlsError("certificate", f"'{_shown(certificate)}' holds no key", remedy=remedy)
    key, holder = (certificate, "certificate") if own_key is None else (own_key, "key")
    asked = False

    def ask() -> str:  # or OpenSSL asks on the terminal
        nonlocal asked
        asked = True
        return password or ""

    try:
        context.load_cert_chain(os.fspath(certificate), os.fspath(key), ask)
    except (ssl.SSLError, ValueError) as error:  # ValueError: the password is too long for OpenSSL
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            msg = f"the key in '{_shown(key)}' is not that of the certificate in '{_shown(certificate)}'"
            raise TlsError(holder, msg, remedy="Give the two that belong together") from None
        if asked and password is None:
            msg = f"the key in '{_shown(key)}' is encrypted, and there is no password for it"
            remedy = "Give the password: Tls(key_password=...), or --client-key-password-env"
            raise TlsError(holder, msg, remedy=remedy) from None
        if asked:
            msg = f"the password does not open the key in '{_shown(key)}'"
            remedy = "Check the password, and whether it is that of this file"
            raise TlsError("key_password", msg, remedy=remedy) from None
        files = " or ".join(f"'{_shown(path)}'" for path in dict.fromkeys((certificate, key)))
        raise TlsError(holder, f"{files} is damaged", remedy=_DAMAGED) from None


_DAMAGED = "Compare it with its original"
_ROLES = {  # of each file: what it is called, and what it holds
    "ca": ("authorities", "certificate"),
    "certificate": ("client certificate", "certificate"),
    "key": ("client key", "private key"),
}


def _read(name: str, path: FilePath, mark: str) -> bytes:
    """A file that can be read and holds something of the right kind.

    Raises:
        TlsError: It does not.
    """
    role, content = _ROLES[name]
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        msg = f"the file of the {role}, '{_shown(path)}', cannot be read: {error.strerror}"
        raise TlsError(name, msg, remedy="Check the path, and that you may read it") from None
    if mark.encode() not in text:
        msg = f"the file of the {role}, '{_shown(path)}', holds no {content} in PEM"
        raise TlsError(name, msg, remedy=f"Convert it by openssl, or name the file that holds the {content}")
    return text


def _shown(path: FilePath) -> str:
    return os.fspath(path)
