"""The client for ``http_request``: it goes through the same proxies as WebSockets, and trusts the same authorities."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator

import httpx

from adapters.net.errors import ConnectFailedError
from adapters.net.problems import BAD_PROXY, NO_SOCKS, PROXY_REMEDY, Words, what_failed
from adapters.net.proxies import by_way_of, host_of, proxy_for
from detectors.machine import machine_faults

try:
    from socksio import SOCKSError
except ImportError:  # without the extra there is no SOCKS
    _SOCKS_ERRORS: tuple[type[Exception], ...] = ()
else:
    _SOCKS_ERRORS = (SOCKSError,)  # which the library lets through as they are
# What may befall a request on its way; an alert of TLS that comes late is not translated below.
_WAY_ERRORS: tuple[type[Exception], ...] = (httpx.TransportError, OSError, *_SOCKS_ERRORS)

__all__ = ["http_client", "http_words"]

_TIMEOUT = 15.0  # seconds for each of connecting, sending, and waiting for more of the answer


def http_client(context: ssl.SSLContext | None = None, *, response_timeout: float = 60.0) -> httpx.AsyncClient:
    """A client that follows no redirect.

    Args:
        context: The TLS context; ``None``: the system's trust.
        response_timeout: Seconds until an answer begins: the library has no deadline for what is said to a SOCKS proxy.
    """
    transport = _Routes(context, response_timeout)
    return httpx.AsyncClient(transport=transport, follow_redirects=False, timeout=httpx.Timeout(_TIMEOUT))


class _Routes(httpx.AsyncBaseTransport):
    """A transport for each proxy that requests go through, and one for those that go through none."""

    def __init__(self, context: ssl.SSLContext | None, response_timeout: float) -> None:
        self._context = context
        self._response_timeout = response_timeout
        self._routes: dict[str | None, httpx.AsyncHTTPTransport] = {}
        self._closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        proxy = proxy_for(url)
        route = self._routes.get(proxy)
        if route is None:
            # Off the event loop: the file of the authorities is read, and half a library imported.
            made = await asyncio.to_thread(self._make, url, proxy)
            if self._closed:
                raise ConnectFailedError(url, "the client has been closed")
            route = self._routes.setdefault(proxy, made)  # another request may have made one meanwhile
        try:
            async with asyncio.timeout(self._response_timeout):
                with machine_faults():  # which is not to be told as the way's
                    return await route.handle_async_request(request)
        except httpx.LocalProtocolError:  # of the request, not of the way
            raise
        except _WAY_ERRORS as error:
            problem, remedy = http_words(error, url, proxy)
            raise ConnectFailedError(url, by_way_of(problem, proxy), remedy=remedy) from error

    def _make(self, url: str, proxy: str | None) -> httpx.AsyncHTTPTransport:
        if proxy and host_of(proxy) is None:
            raise ConnectFailedError(url, by_way_of(BAD_PROXY[0], proxy), remedy=BAD_PROXY[1])
        # Older versions of the library know the one name only, and hand names to the proxy under it all the same.
        known = proxy and proxy.replace("socks5h://", "socks5://", 1)
        context = self._context or ssl.create_default_context()
        try:
            return httpx.AsyncHTTPTransport(verify=context, proxy=known, trust_env=False)
        except (ValueError, TypeError, ImportError, httpx.InvalidURL) as error:
            problem, remedy = NO_SOCKS if isinstance(error, ImportError) else BAD_PROXY
            # What the library says of a proxy shows its password.
            raise ConnectFailedError(url, by_way_of(problem, proxy), remedy=remedy) from None

    async def aclose(self) -> None:
        self._closed = True
        for route in self._routes.values():
            await route.aclose()


def http_words(error: Exception, url: str, proxy: str | None = None) -> Words:
    """What a request failed of, and what helps.

    Args:
        error: What was raised.
        url: Where the request was to lead.
        proxy: The proxy by whose way, if any.
    """
    late = isinstance(error, httpx.TimeoutException)
    for cause in [TimeoutError()] if late else _origins(error):  # the library often says no more than that it failed
        if isinstance(cause, TimeoutError) or (isinstance(cause, OSError) and cause.errno is not None):  # TLS's, too
            found = what_failed(cause, url, proxy)
            if found is not None:
                return found.words, found.remedy
    if isinstance(error, (httpx.ProxyError, *_SOCKS_ERRORS)):
        return f"the proxy did not connect: {str(error).rstrip('.')}", PROXY_REMEDY
    return str(error) or type(error).__name__, PROXY_REMEDY if proxy else ""


def _origins(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it came of; the library raises its own anew, "from None"."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
