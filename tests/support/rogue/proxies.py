"""Two small proxies over loopback: HTTP by CONNECT, and SOCKS 5; with a password, or refusing, if so wished.

They reach every name at 127.0.0.1: what a proxy resolves, its clients need not.
"""

from __future__ import annotations

import base64
import struct

from tests.support.rogue.peer import Peer, join
from tests.support.rogue.wire import Wire

__all__ = ["HttpProxy", "SocksProxy"]


class _Proxy(Peer):
    """What both share.

    Args:
        login: User and password that clients have to give; ``None``: nothing.
        refuses: Whether it connects nobody.

    Attributes:
        asked: The hosts and ports that clients asked for.
    """

    scheme = ""

    def __init__(self, *, login: tuple[str, str] | None = None, refuses: bool = False) -> None:
        super().__init__()
        self.asked: list[tuple[str, int]] = []
        self._login = login
        self._refuses = refuses

    def url(self, login: str = "") -> str:
        """Its URL, with ``user:password`` or without."""
        return f"{self.scheme}://{login}{'@' if login else ''}127.0.0.1:{self.port}"


class HttpProxy(_Proxy):
    """Connects by CONNECT, and forwards plain requests."""

    scheme = "http"

    async def serve(self, wire: Wire) -> None:
        head = await wire.reader.readuntil(b"\r\n\r\n")
        if self._login and base64.b64encode(":".join(self._login).encode()) not in head:
            await wire.send(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        method, target, _ = head.decode("latin-1").split(" ", 2)
        place = target if method == "CONNECT" else target.partition("://")[2].partition("/")[0]
        host, _, port = place.rpartition(":")
        self.asked.append((host, int(port)))
        if self._refuses:
            await wire.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        if method == "CONNECT":
            await wire.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            head = b""
        await join(wire, int(port), first=head)


class SocksProxy(_Proxy):
    """SOCKS 5 (RFC 1928), with passwords as in RFC 1929."""

    scheme = "socks5h"

    async def serve(self, wire: Wire) -> None:
        read = wire.reader.readexactly
        version, count = await read(2)
        methods = await read(count)
        assert version == 5
        wanted = 2 if self._login or 0 not in methods else 0
        await wire.send(bytes([5, wanted if wanted in methods else 255]))
        if wanted not in methods:
            return
        if wanted == 2 and not await self._knows(wire):
            return
        _, command, _, kind = await read(4)
        assert command == 1
        host = (await read((await read(1))[0])).decode() if kind == 3 else ".".join(map(str, await read(4)))
        (port,) = struct.unpack("!H", await read(2))
        self.asked.append((host, port))
        await wire.send(bytes([5, 2 if self._refuses else 0, 0, 1, 0, 0, 0, 0, 0, 0]))
        if not self._refuses:
            await join(wire, port)

    async def _knows(self, wire: Wire) -> bool:
        given = []
        assert await wire.reader.readexactly(1) == b"\1"
        for _ in range(2):
            size = (await wire.reader.readexactly(1))[0]
            given.append((await wire.reader.readexactly(size)).decode())
        known = self._login is None or tuple(given) == self._login
        await wire.send(bytes([1, not known]))
        return known
