"""Servers that treat each connection in some way, count them, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl as ssl_module
import time
from types import TracebackType
from typing import Self

from tests.support.rogue.behaviours import BEHAVIOURS
from tests.support.rogue.wire import Wire, reset

__all__ = ["Forwarder", "Peer", "Rogue", "closed_port", "join"]


# Bound for as long as the process lives, and never listening: a port that is given back may be given to somebody else.
_CLOSED = socket.socket()
_CLOSED.bind(("127.0.0.1", 0))


def closed_port() -> int:
    """The port on which nobody listens, and nobody will."""
    port: int = _CLOSED.getsockname()[1]
    return port


class Peer:
    """A TCP or TLS server on a free port; an asynchronous context manager.

    Args:
        ssl: A server context, for TLS.

    Attributes:
        attempts: When each connection was accepted, by the monotonic clock.
        open: How many connections are.
    """

    def __init__(self, *, ssl: ssl_module.SSLContext | None = None) -> None:
        self.attempts: list[float] = []
        self._ssl = ssl
        self._running: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def serve(self, wire: Wire) -> None:
        """Treat one connection; it is ended afterwards."""
        raise NotImplementedError

    @property
    def open(self) -> int:
        return len(self._running)

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @property
    def ws_url(self) -> str:
        """The base of its WebSocket URL."""
        return f"{'wss' if self._ssl else 'ws'}://127.0.0.1:{self.port}"

    @property
    def http_url(self) -> str:
        """The base of its HTTP URL."""
        return f"{'https' if self._ssl else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        # A plain callback: what asyncio makes of a coroutine complains of tasks that are cancelled.
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._ssl)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self.stop()
        await self._server.wait_closed()

    async def stop(self) -> None:
        """End every connection."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.attempts.append(time.monotonic())
        task = asyncio.create_task(self._serve(Wire(reader, writer)))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, wire: Wire) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl_module.SSLError):
                await self.serve(wire)
                if not wire.writer.transport.is_closing():
                    wire.writer.close()
                    await wire.writer.wait_closed()
        finally:
            wire.writer.transport.abort()


async def join(near: Wire, port: int, flowing: asyncio.Event | None = None, *, first: bytes = b"") -> None:
    """Pass bytes both ways between a connection and a server on this machine, until either ends.

    Args:
        near: The connection.
        port: The server's port.
        flowing: Holds all bytes, and ends, while it is not set.
        first: What was read of the connection before, and goes ahead.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    far = Wire(reader, writer)

    async def pump(source: Wire, sink: Wire) -> None:
        while data := await source.reader.read(2**16):
            if flowing is not None:
                await flowing.wait()
            await sink.send(data)
        if flowing is not None:  # an end is news, too
            await flowing.wait()

    pumps = [asyncio.create_task(pump(near, far)), asyncio.create_task(pump(far, near))]
    try:
        done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for one in done:
            one.result()
    finally:
        writer.transport.abort()  # first: what follows may be cancelled
        for one in pumps:
            one.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


class Rogue(Peer):
    """A peer that misbehaves, for good or for a time.

    Args:
        behaviour: A name in ``BEHAVIOURS``.
        times: How many connections are treated so; ``None``: all.
        upstream: The port, on this machine, of the server that the others are passed on to.
        ssl: A server context, for TLS.
    """

    def __init__(
        self,
        behaviour: str,
        *,
        times: int | None = None,
        upstream: int | None = None,
        ssl: ssl_module.SSLContext | None = None,
    ) -> None:
        super().__init__(ssl=ssl)
        self._behaviour = BEHAVIOURS[behaviour]
        self._times = times
        self._upstream = upstream

    async def serve(self, wire: Wire) -> None:
        if self._times is None or len(self.attempts) <= self._times:
            await self._behaviour(wire)
        else:
            assert self._upstream is not None, "there is nobody to behave"
            await join(wire, self._upstream)


class Forwarder(Peer):
    """Stands in front of a server on this machine and passes bytes on, or does not.

    Attributes:
        upstream: The port of the server that new connections are passed on to.
    """

    def __init__(self, upstream: int) -> None:
        super().__init__()
        self.upstream = upstream
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._wires: set[Wire] = set()

    async def serve(self, wire: Wire) -> None:
        self._wires.add(wire)
        try:
            await join(wire, self.upstream, self._flowing)
        finally:
            self._wires.discard(wire)

    def freeze(self) -> None:
        """From now on no byte passes, of old connections or new ones, and no end of one."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let pass what was held, and all that follows."""
        self._flowing.set()

    def cut(self) -> None:
        """Reset every connection."""
        for wire in self._wires:
            reset(wire.writer)
