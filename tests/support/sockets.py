"""Sockets within the process: what an exchange would send is an iterator, and what happens to a socket is noted.

Each connection gets a feed of its own. A feed yields messages, or raises or yields what breaks the connection; one
that is exhausted leaves it open and silent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping

import attrs

from compat import ConnectFailedError, ConnectionLostError

__all__ = ["Connector", "Feed", "LocalSocket", "SharedFeed", "refused"]

Message = str | bytes
Feed = Iterable[Message] | AsyncIterator[Message]

_SENT_KEPT = 10_000
_BREATH = 32  # messages after which others get a turn


@attrs.define(eq=False)
class LocalSocket:
    """A socket whose other end is a feed.

    Attributes:
        url: The address asked for.
        headers: The headers of the handshake.
        subprotocol: The subprotocol offered.
        sent: What was sent by the client, of the first 10,000 messages.
        closed: Whether the client closed it.
    """

    url: str
    headers: Mapping[str, str]
    subprotocol: str | None
    feed: AsyncIterator[Message]
    sent: list[str] = attrs.field(factory=list)
    closed: bool = False
    broken: asyncio.Event = attrs.field(factory=asyncio.Event)
    received: int = 0

    async def receive(self) -> Message:
        """The next message of the feed; for ever none once it is exhausted."""
        self.received += 1
        if self.received % _BREATH == 0:
            await asyncio.sleep(0)
        if not self.broken.is_set():
            async for message in self.feed:
                return message
            await self.broken.wait()
        raise ConnectionLostError(self.url, "it broke off")

    async def send(self, message: str) -> None:
        """Note what is sent."""
        if self.closed or self.broken.is_set():
            raise ConnectionLostError(self.url, "it broke off")
        if len(self.sent) < _SENT_KEPT:
            self.sent.append(message)

    async def close(self) -> None:
        """Note it."""
        self.closed = True

    def drop(self) -> None:
        """Break it, as soon as its feed is exhausted."""
        self.broken.set()


@attrs.define(eq=False)
class Connector:
    """Opens sockets within the process.

    Attributes:
        feed: Makes the feed of the connection number ``n``, counted from 0; what it raises is why it cannot be opened.
        sockets: All that were opened.
        asked: How often one was asked for.
    """

    feed: Callable[[int], Feed] = attrs.field(default=lambda _: ())
    sockets: list[LocalSocket] = attrs.field(factory=list)
    asked: int = 0

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> LocalSocket:
        """Open one."""
        await asyncio.sleep(0)
        self.asked += 1
        feed = self.feed(self.asked - 1)
        socket = LocalSocket(url, dict(headers), subprotocol, _asynchronous(feed))
        self.sockets.append(socket)
        return socket

    @property
    def open(self) -> int:
        """How many sockets the client has not closed."""
        return sum(not socket.closed for socket in self.sockets)


def refused(_: int) -> Feed:
    """A connection that cannot be opened."""
    raise ConnectFailedError("wss://stream.simex.example/ws", "connection refused")


async def _asynchronous(feed: Feed) -> AsyncIterator[Message]:
    if isinstance(feed, AsyncIterator):
        async for message in feed:
            yield message
    else:
        for message in feed:
            yield message


class SharedFeed:
    """One feed without end for all who listen, as of an exchange: whoever joins hears what is said from then on.

    Args:
        message: Makes message number ``n``.
    """

    def __init__(self, message: Callable[[int], str]) -> None:
        self._message = message
        self._said = 0
        self._more = asyncio.Event()

    def say(self, count: int = 1) -> None:
        """Let the next messages be heard."""
        self._said += count
        self._more.set()
        self._more = asyncio.Event()

    def listen(self) -> AsyncIterator[Message]:
        """What is said from now on."""
        return self._from(self._said)

    async def _from(self, position: int) -> AsyncIterator[Message]:
        while True:
            more = self._more
            while position < self._said:
                yield self._message(position)
                position += 1
            await more.wait()
