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

__all__ = ["Tls"]

FilePath = str | os.PathLike[str]


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
        UsageError: A file cannot be read, or is not what it should be; the password does not open the key; the key is
            another certificate's.
    """

    ca: FilePath | None = None
    certificate: FilePath | None = None
    key: FilePath | None = None
    key_password: str | None = attrs.field(default=None, repr=False)
    context: ssl.SSLContext = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.certificate is None and (self.key is not None or self.key_password is not None):
            given = "key" if self.key is not None else "password of a key"
            raise UsageError(f"TLS: there is a {given} and no certificate", remedy="Give the certificate, too")
        context = _trusting(self.ca)
        if self.certificate is not None:
            _identify(context, self.certificate, self.key or self.certificate, self.key_password)
        object.__setattr__(self, "context", context)


def _trusting(ca: FilePath | None) -> ssl.SSLContext:
    if ca is None:
        return ssl.create_default_context()
    _read(ca, "authorities", "CERTIFICATE-----", "certificate")
    try:
        return ssl.create_default_context(cafile=os.fspath(ca))
    except ssl.SSLError:
        raise _broken(ca, "authorities") from None


def _identify(context: ssl.SSLContext, certificate: FilePath, key: FilePath, password: str | None) -> None:
    _read(certificate, "client certificate", "CERTIFICATE-----", "certificate")
    _read(key, "client key", "PRIVATE KEY-----", "private key")
    asked = False

    def ask() -> str:  # or OpenSSL asks on the terminal
        nonlocal asked
        asked = True
        return password or ""

    try:
        context.load_cert_chain(os.fspath(certificate), os.fspath(key), ask)
    except (ssl.SSLError, ValueError) as error:  # ValueError: the password is too long for OpenSSL
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            msg = f"TLS: the key in '{_shown(key)}' is not that of the certificate in '{_shown(certificate)}'"
            raise UsageError(msg, remedy="Give the two that belong together") from None
        if asked and password is None:
            msg = f"TLS: the key in '{_shown(key)}' is encrypted, and there is no password for it"
            remedy = "Give the password: Tls(key_password=...), or --client-key-password-env"
            raise UsageError(msg, remedy=remedy) from None
        if asked:
            msg = f"TLS: the password does not open the key in '{_shown(key)}'"
            raise UsageError(msg, remedy="Check the password, and whether it is that of this file") from None
        raise _broken(certificate if key == certificate else f"{_shown(certificate)}' or '{_shown(key)}", "") from None


def _read(path: FilePath, role: str, mark: str, content: str) -> None:
    """Look whether a file can be read and holds something of the right kind.

    Raises:
        UsageError: It does not.
    """
    try:
        text = Path(path).read_bytes()
    except OSError as error:
        msg = f"TLS: the file of the {role}, '{_shown(path)}', cannot be read: {error.strerror}"
        raise UsageError(msg, remedy="Check the path, and that you may read it") from None
    if mark.encode() not in text:
        msg = f"TLS: the file of the {role}, '{_shown(path)}', holds no {content} in PEM"
        raise UsageError(msg, remedy=f"Convert it by openssl, or name the file that holds the {content}")


def _broken(path: FilePath, role: str) -> UsageError:
    of = f"the file of the {role}, " if role else ""
    return UsageError(f"TLS: {of}'{_shown(path)}' is damaged", remedy="Compare it with its original")


def _shown(path: FilePath) -> str:
    return os.fspath(path)
