"""One connection as a peer below the WebSocket library sees it: bytes, frames, and ways to leave."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import zlib

from websockets.utils import accept_key

__all__ = ["CLOSE", "TEXT", "Wire", "bomb", "frame", "reset"]

TEXT, CLOSE = 1, 8


def frame(
    payload: bytes,
    *,
    opcode: int = TEXT,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = False,
    length: int | None = None,
) -> bytes:
    """A frame, which need not be a lawful one.

    Args:
        payload: What it carries.
        opcode: 1 for text, 8 for a close.
        fin: Whether it is the last of its message.
        rsv: The three reserved bits, as a number.
        masked: Whether it is masked, which servers must not do.
        length: The length that is announced; ``None``: the real one.
    """
    size = len(payload) if length is None else length
    head = bytes([fin << 7 | rsv << 4 | opcode])
    mask = masked << 7
    if size < 126:
        head += bytes([mask | size])
    elif size < 2**16:
        head += bytes([mask | 126]) + struct.pack("!H", size)
    else:
        head += bytes([mask | 127]) + struct.pack("!Q", size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def bomb(size: int) -> bytes:
    """A small compressed frame that unpacks to so many bytes."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = deflate.compress(b"0" * size) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return frame(packed[:-4], rsv=4)


def reset(writer: asyncio.StreamWriter) -> None:
    """Leave by a TCP reset instead of an orderly end."""
    found: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class Wire:
    """A connection that has been accepted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes; wait while the socket is full."""
        self.writer.write(data)
        await self.writer.drain()

    async def request(self) -> dict[str, str]:
        """Read the head of a request; its headers, in lower case."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
        return {name.lower(): value.strip() for name, colon, value in lines if colon}

    async def answer(self, status: str, *headers: str) -> None:
        """Answer a request in HTTP, without a body."""
        await self.request()
        head = "".join(f"{line}\r\n" for line in (*headers, "Content-Length: 0", "Connection: close"))
        await self.send(f"HTTP/1.1 {status}\r\n{head}\r\n".encode())

    async def upgrade(self, *headers: str) -> None:
        """Read the handshake of a WebSocket and accept it."""
        key = (await self.request())["sec-websocket-key"]
        more = "".join(f"{line}\r\n" for line in headers)
        await self.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + f"Sec-WebSocket-Accept: {accept_key(key)}\r\n{more}\r\n".encode()
        )

    async def stay(self) -> None:
        """Say nothing, and leave when the other end closes: its frames are read, and are short."""
        opcode = 0
        while opcode != CLOSE:
            head = await self.reader.readexactly(2)
            opcode = head[0] & 15
            await self.reader.readexactly(4 + (head[1] & 127))

    async def listen(self) -> None:
        """Read, and say nothing, until the other end goes."""
        while await self.reader.read(2**16):
            pass

    async def turn_a_deaf_ear(self) -> None:
        """Neither read nor say anything, until this task is cancelled."""
        await asyncio.Event().wait()

    def reset(self) -> None:
        """See ``reset``."""
        reset(self.writer)
