"""Certificates, good and bad, in the forms that servers and operators need: contexts and files."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import attrs
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["Authority", "Files", "Identity", "self_signed", "serving"]


@attrs.frozen
class Identity:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes = attrs.field(repr=False)

    def encrypted(self, password: str) -> bytes:
        """The key, under a password."""
        key = serialization.load_pem_private_key(self.key, None)
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password.encode()),
        )


class Authority:
    """One that issues certificates for whatever host and time."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    @property
    def certificate(self) -> bytes:
        """Its own certificate, in PEM."""
        pem: bytes = self._authority.cert_pem.bytes()
        return pem

    def identity(self, name: str = "127.0.0.1", *, days: tuple[int, int] = (-1, 1)) -> Identity:
        """A certificate for a host, valid from and until so many days from now."""
        now = dt.datetime.now(dt.UTC)
        begin, end = (now + dt.timedelta(days=day) for day in days)
        issued = self._authority.issue_cert(name, not_before=begin, not_after=end)
        pem, key = b"".join(blob.bytes() for blob in issued.cert_chain_pems), issued.private_key_pem.bytes()
        return Identity(pem, key)

    def client(self) -> ssl.SSLContext:
        """A client's context that trusts it and nobody else."""
        return ssl.create_default_context(cadata=self.certificate.decode())

    def trusting(self, context: ssl.SSLContext) -> ssl.SSLContext:
        """The context, which asks clients for a certificate of this authority."""
        self._authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def self_signed(name: str = "127.0.0.1") -> Identity:
    """A certificate that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Identity(certificate.public_bytes(encoding), private)


def serving(identity: Identity, folder: Path) -> ssl.SSLContext:
    """A server's context with a certificate; ``folder`` holds it as files."""
    path = folder / "server.pem"
    path.write_bytes(identity.certificate + identity.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@attrs.frozen
class Files:
    """An operator's files."""

    folder: Path

    def write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path
