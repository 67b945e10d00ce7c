"""Which addresses a plugin may reach: nothing, unless it declared it and the operator agrees.

A plugin declares URL patterns in its metadata. A pattern is a glob over scheme, host and path; one whose host is
nothing but wildcards is no declaration. An operator may narrow the declarations (``only``: both must agree) or, said
explicitly, widen them (``also``). Loopback and private addresses need ``allow_private``, whoever declared them, and a
rewritten address is judged like any other.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import SplitResult, urlsplit

import attrs

from adapters.arguments import TRUTH, Rule
from adapters.net.errors import NetworkDeniedError, without_query
from detectors.errors import UsageError

__all__ = ["NetworkPolicy", "is_private", "parse_rewrite", "pattern_fault"]

_PREFIX = r"[a-z]+://.+"
_REWRITE = re.compile(rf"({_PREFIX}?)=({_PREFIX})")
_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}
_FAMILIES = {
    "ws": "ws:// or wss://",
    "wss": "ws:// or wss://",
    "http": "http:// or https://",
    "https": "http:// or https://",
}


def _tuple(values: Any) -> Any:
    return (values,) if isinstance(values, str) else tuple(values) if isinstance(values, Iterable) else values


def _are_texts(values: Any) -> bool:
    return isinstance(values, tuple) and all(isinstance(value, str) for value in values)


_PATTERNS = Rule("a pattern or several", _are_texts)
_PAIRS = Rule(
    "pairs of URL prefixes",
    lambda pairs: isinstance(pairs, tuple) and all(_are_texts(pair) and len(pair) == 2 for pair in pairs),
)


@attrs.frozen
class NetworkPolicy:
    """An operator's decisions about the network, for one plugin.

    Attributes:
        only: Patterns that narrow what the plugin declares; empty: no narrowing.
        also: Patterns that are allowed although the plugin does not declare them.
        allow_private: Whether loopback, private, link-local and other non-public addresses may be reached.
        rewrites: Pairs of URL prefixes ``(from, to)``; the first that fits redirects an address. The address that the
            plugin asked for must be allowed; the one it is redirected to is the operator's own word.
        trust_proxy: Whether host names are left to the proxy that the environment names, where there is one: they are
            not looked up here, and it is for the proxy to keep private addresses away. For machines that can resolve
            no names themselves. What is written out as an address, and ``localhost``, is judged here as ever.

    Raises:
        UsageError: A rewrite is no pair of URL prefixes, or its two cannot stand for each other; another decision is
            not what it has to be.
    """

    only: tuple[str, ...] = attrs.field(default=(), converter=_tuple, validator=_PATTERNS)
    also: tuple[str, ...] = attrs.field(default=(), converter=_tuple, validator=_PATTERNS)
    allow_private: bool = attrs.field(default=False, validator=TRUTH)
    rewrites: tuple[tuple[str, str], ...] = attrs.field(default=(), validator=_PAIRS)
    trust_proxy: bool = attrs.field(default=False, validator=TRUTH)

    def __attrs_post_init__(self) -> None:
        for prefix in (prefix for pair in self.rewrites for prefix in pair):
            if not re.fullmatch(_PREFIX, prefix):
                msg = f"a rewrite leads from one URL prefix to another, and {without_query(prefix)!r} is none"
                raise UsageError(msg, remedy="Write them like 'wss://a.example' and 'ws://127.0.0.1:8080'")
        for prefix, target in self.rewrites:
            _check_pair(prefix, target)

    def resolve(
        self, plugin: str, url: str, declared: tuple[str, ...], schemes: tuple[str, ...], unread: str = ""
    ) -> str:
        """The address to connect to for ``url``.

        Args:
            plugin: The plugin's name, for errors.
            url: What the plugin asked for.
            declared: The patterns that the plugin declares.
            schemes: The schemes that make sense, for example ``("wss", "ws")``.
            unread: Why what it declares could not be read, in whole or in part; empty if it could.

        Raises:
            NetworkDeniedError: The policy does not allow it, or it is no such URL.
        """
        parts = self._parse(plugin, url, schemes)
        if not self._matches(parts, self.also):
            if not self._matches(parts, declared):
                names = ", ".join(declared) or "nothing"
                rule = f"it is not among the network targets that the plugin declares ({names})"
                rule += f", of which not all could be read: {unread}" if unread else ""
                raise NetworkDeniedError(
                    plugin, url, rule, "Declare it in the plugin's metadata, or allow it explicitly"
                )
            if self.only and not self._matches(parts, self.only):
                raise NetworkDeniedError(plugin, url, "the operator's list does not include it", "Extend that list")
        for prefix, target in self.rewrites:
            if _has_prefix(url, prefix):
                url = _redirected(url, prefix, target)
                self._parse(plugin, url, schemes)
                break
        return url

    def check_address(self, plugin: str, url: str, address: str) -> None:
        """Judge an IP address that ``url`` leads to.

        Raises:
            NetworkDeniedError: It is not public, and private addresses are not allowed.
        """
        if self.allow_private:
            return
        if not _is_public(address):
            rule = f"{address} is a loopback, private or otherwise non-public address"
            remedy = "If that is intended, allow it: --allow-private, or allow_private=True (also of NetworkPolicy)"
            raise NetworkDeniedError(plugin, url, rule, remedy)

    def _parse(self, plugin: str, url: str, schemes: tuple[str, ...]) -> SplitResult:
        try:
            parts = urlsplit(url)
            port_is_valid = parts.port is None or parts.port > 0
        except ValueError:
            parts, port_is_valid = urlsplit(""), False
        if parts.scheme not in schemes or not parts.hostname or not port_is_valid or "\\" in url:
            rule = f"it is not a URL of scheme {' or '.join(schemes)}"
            raise NetworkDeniedError(plugin, url, rule, "Correct the address in the plugin")
        if parts.username is not None or parts.password is not None:
            raise NetworkDeniedError(plugin, url, "it carries user information", "Send credentials in a header instead")
        return parts

    @staticmethod
    def _matches(parts: SplitResult, patterns: tuple[str, ...]) -> bool:
        return any(_fits(parts, pattern) for pattern in patterns)


def _fits(parts: SplitResult, pattern: str) -> bool:
    scheme, separator, rest = pattern.partition("://")
    authority, slash, path = rest.partition("/")
    address, bracket, rest = authority.rpartition("]")  # an IPv6 address has colons of its own
    host, _, port = rest.partition(":")
    host = address + bracket + host
    if not separator or not host.strip(_WILD):
        return False
    asked_port = str(parts.port or _PORTS[parts.scheme])
    wanted_port = port or str(_PORTS.get(scheme, ""))
    asked_host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else (parts.hostname or "")
    asked_path = (parts.path or "/")[1:]
    return (
        scheme == parts.scheme
        and fnmatch.fnmatchcase(asked_host.lower(), host.lower().replace("[", "[[]"))
        and fnmatch.fnmatchcase(asked_port, wanted_port)
        and (not slash or fnmatch.fnmatchcase(asked_path, path.replace("[", "[[]")))
    )


def pattern_fault(pattern: str) -> str:
    """What keeps a pattern from allowing anything, as the end of a sentence; empty if nothing does."""
    scheme, separator, rest = pattern.partition("://")
    if not separator:
        return "is no URL pattern"
    if scheme not in _PORTS:
        return f"has none of the schemes {', '.join(_PORTS)}"
    if not rest.partition("/")[0].strip(_WILD):
        return "names no host"
    return ""


_WILD = "*?.[]!"


def _has_prefix(url: str, prefix: str) -> bool:
    """Whether ``prefix`` ends where a part of ``url`` ends, so that ``wss://host`` does not fit ``wss://host.evil``."""
    if not url.startswith(prefix):
        return False
    rest = url[len(prefix) :]
    return not rest or prefix.endswith("/") or rest[0] in "/?#"


def _is_public(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return ip.is_global and not ip.is_multicast


def is_private(host: str) -> bool:
    """Whether a host is a loopback or private address by what is written, without looking it up."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        name = host.lower().rstrip(".")
        return name == "localhost" or name.endswith(".localhost")
    return not _is_public(host)


def _redirected(url: str, prefix: str, target: str) -> str:
    """``url`` with ``target`` in the place of ``prefix``, and one slash between it and what follows."""
    rest = url[len(prefix.removesuffix("/")) :]
    return target.removesuffix("/") + rest if rest.startswith("/") else target + rest


def _check_pair(prefix: str, target: str) -> None:
    """Refuse a rewrite that could never lead anywhere.

    Raises:
        UsageError: One of the two is no address of a server, or they are not of one protocol.
    """
    family, other = (_family(url) for url in (prefix, target))
    if family != other:
        msg = (
            f"a rewrite cannot lead from {without_query(prefix)!r} to {without_query(target)!r}: their protocols differ"
        )
        raise UsageError(msg, remedy=f"Replace {without_query(prefix)} by an address that begins with {family}")


def _family(url: str) -> str:
    """How addresses begin that can stand for a URL."""
    try:
        parts = urlsplit(url)
        is_valid = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        parts, is_valid = urlsplit(url.partition("://")[0] + "://"), False
    if parts.scheme not in _FAMILIES:
        remedy = "Begin it with ws:// or wss:// for a WebSocket, with http:// or https:// for HTTP"
        raise UsageError(
            f"{without_query(url)!r} cannot be part of a rewrite: no plugin uses {parts.scheme}://", remedy=remedy
        )
    if not is_valid:
        msg = f"{without_query(url)!r} cannot be part of a rewrite: its host or port is not valid"
        raise UsageError(msg, remedy="A port is a number from 1 to 65535, and an IPv6 address stands in brackets")
    return _FAMILIES[parts.scheme]


def parse_rewrite(text: str) -> tuple[str, str]:
    """Read ``FROM=TO``, two URL prefixes.

    Raises:
        UsageError: The text is not of that form, or could never lead anywhere.
    """
    match = _REWRITE.fullmatch(text)
    if match is None:
        # Not repeated: it may be a secret, given to the wrong option.
        msg = "it is not of the form FROM=TO with two URL prefixes, like wss://a.example=ws://b:1"
        raise UsageError(msg)
    _check_pair(match[1], match[2])
    return match[1], match[2]
