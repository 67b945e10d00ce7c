"""What goes wrong on the network, and what the network policy denies.

No error shows more of an address than its host and path: user information and queries may hold secrets.
"""

from __future__ import annotations

from detectors.errors import NetworkError, UsageError

__all__ = [
    "BUSY",
    "ConnectFailedError",
    "ConnectionLostError",
    "NetworkDeniedError",
    "StreamIdleError",
    "without_query",
]


#: The HTTP statuses of a handshake by which a server says that it is there, and has no time: too many requests, and
#: unavailable. Only with these is its ``Retry-After`` obeyed.
BUSY = frozenset({429, 503})


class ConnectFailedError(NetworkError):
    """A connection could not be opened.

    Attributes:
        url: The address without its query, which may hold a token.
        problem: What went wrong.
        status: The HTTP status with which the server refused the handshake; ``None`` if it gave none.
        retry_after: Seconds, 0 or more, for which the server asks not to be tried again; ``None`` if it does not. It
            is the server's word, and may be any number.
    """

    def __init__(
        self,
        url: str,
        problem: str,
        *,
        remedy: str = "",
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"could not connect to {without_query(url)}: {problem}", remedy=remedy)
        self.url = without_query(url)
        self.problem = problem
        self.status = status
        self.retry_after = retry_after


class ConnectionLostError(NetworkError):
    """An open connection ended, and the stream with it.

    Attributes:
        url: The address without its query.
        problem: How it ended.
    """

    def __init__(self, url: str, problem: str, *, remedy: str = "") -> None:
        super().__init__(f"the connection to {without_query(url)} was lost: {problem}", remedy=remedy)
        self.url = without_query(url)
        self.problem = problem


class StreamIdleError(NetworkError):
    """No item came for longer than the stream's idle limit, although its connection stands.

    Attributes:
        stream: The text form of the stream's key.
        limit: The limit, in seconds.
    """

    def __init__(self, stream: str, limit: float) -> None:
        super().__init__(f"stream {stream} is stale: no item came for {limit:g} s, its idle limit")
        self.stream = stream
        self.limit = limit


class NetworkDeniedError(UsageError):
    """The network policy does not let the plugin reach an address.

    Attributes:
        plugin: The plugin's name.
        url: The address without its query.
        rule: The rule that denied it.
    """

    def __init__(self, plugin: str, url: str, rule: str, remedy: str) -> None:
        super().__init__(f"plugin {plugin!r} may not reach {without_query(url)}: {rule}", remedy=remedy)
        self.plugin = plugin
        self.url = without_query(url)
        self.rule = rule


def without_query(url: str) -> str:
    """A URL as it may be shown: no user information, query or fragment, where secrets are carried."""
    head, _, rest = url.partition("?")[0].partition("#")[0].partition("://")
    if not rest:
        return head
    authority, slash, path = rest.partition("/")
    return f"{head}://{authority.rpartition('@')[2]}{slash}{path}"
