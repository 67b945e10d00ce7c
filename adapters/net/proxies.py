"""Which proxy the environment names for an address: one rule, for WebSockets and for HTTP.

The libraries below have rules of their own that differ (``websockets`` passes over ``all_proxy``, ``httpx`` over
``socks_proxy``), so they are told instead of asked.
"""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from adapters.net.errors import without_query

__all__ = ["NEEDED", "by_way_of", "host_of", "proxy_for"]

_PORTS = {"ws": 80, "http": 80, "wss": 443, "https": 443}
_NAMES = {  # of the variables, without "_proxy", the first that is set; RFC 6455 prefers SOCKS for WebSockets
    "wss": ("wss", "socks", "https", "all"),
    "ws": ("ws", "socks", "https", "http", "all"),
    "https": ("https", "socks", "all"),
    "http": ("http", "socks", "all"),
}

NEEDED = "A SOCKS proxy needs two more packages: pip install 'plugin-compat[socks]'"


def proxy_for(url: str) -> str | None:
    """The proxy that a connection to ``url`` goes through, as a URL that may hold a password; ``None``: none.

    ``no_proxy`` is a list of hosts and domains that are reached directly, or ``*``.
    """
    try:
        parts = urlsplit(url)
        host = f"{parts.hostname}:{parts.port or _PORTS.get(parts.scheme)}"
    except ValueError:  # whoever connects to it will say so
        return None
    named = getproxies()
    name = next((name for name in _NAMES.get(parts.scheme, ()) if named.get(name)), None)
    if name is None or proxy_bypass(host):
        return None
    scheme, _, rest = named[name].rpartition("://")
    if scheme == "socks" or (name == "socks" and scheme in ("", "http")):  # the ways in which desktops write it
        scheme = "socks5h"
    return f"{scheme or 'http'}://{rest}"


def host_of(proxy: str) -> str | None:
    """The host of a proxy; ``None`` if there can be no such proxy: it names none, or its port is no port."""
    try:
        parts = urlsplit(proxy)
        is_port = parts.port != 0
    except ValueError:
        return None
    return parts.hostname if is_port else None


def by_way_of(problem: str, proxy: str | None) -> str:
    """A problem with the proxy on whose way it was met, without the credentials for it."""
    return f"{problem} (by way of the proxy {without_query(proxy)})" if proxy else problem
