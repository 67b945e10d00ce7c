"""One connection of the ``websockets`` library, in some things unlike its base.

*Keepalive.* The library drops a connection whose pongs stay unread behind data that a slow consumer has not taken yet.
Here any byte is a sign of life, and silence counts only while the socket is being read: a slow consumer makes the other
end wait, and loses nothing.

*Ending.* After a violation of the protocol, or a close frame, the library waits for the other end to close the TCP
connection, for as long as that takes. Here that is bounded.

*Reading.* What is simple is read without the library (``frames.py``). In a turn of the event loop a share is read of
what has come, and no more than a share lies in the inbox. The rest stays as it came, and the socket is not read, until
the next turn or until enough was taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.protocol import State

from adapters.net.frames import FrameReader
from adapters.net.inbox import Inbox

__all__ = ["KeptConnection"]

_STEPS = 8  # looks at the connection between two pings

# A share: about a millisecond's worth.
_FRAMES = 256
_SIZE = 2**18  # bytes or characters of messages

_END_OF_HEAD = b"\r\n\r\n"


class KeptConnection(ClientConnection):
    """A connection with its own keepalive, every ``ping_interval`` seconds.

    Args:
        sleep: Waits for so many seconds, between two looks at the connection.
        arguments: Those of the base.
        options: Likewise.

    Attributes:
        half_open: Whether it was given up because the other end had fallen silent.
        broken: What ended the connection below it, once that has ended in disorder.
        inbox: The messages that were read and not taken.
    """

    half_open = False
    broken: Exception | None = None
    _heard = False
    _end: asyncio.TimerHandle | None = None
    _turn: asyncio.Handle | None = None  # when the next share is read
    _head = b""  # the latest bytes of the handshake
    _reader: FrameReader | None = None  # once that has succeeded

    def __init__(
        self, *arguments: Any, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._sleep = sleep

    async def handshake(self, *args: Any, **options: Any) -> None:
        """Say of a handshake that failed what became of the connection below it: a reset, or an alert of TLS."""
        try:
            await super().handshake(*args, **options)
        except Exception as error:
            raise error from self.broken or error.__cause__

    async def recv_many(self, most: int) -> list[str | bytes]:
        """What has come, ``most`` messages at most: at least one, which is waited for.

        Raises:
            ConnectionClosed: There is none to come.
        """
        return [await self.recv(), *self.inbox.take(most - 1)]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Put our inbox in the place of the library's."""
        super().connection_made(transport)
        self.inbox = Inbox(self._when_taken)
        self.recv_messages = self.inbox  # type: ignore[assignment] # it has what the library uses of it

    def data_received(self, data: bytes) -> None:
        """Note the sign of life, and read the first share."""
        self._heard = True
        if self._reader is None:
            data = self._shake_hands(data)
        if self._reader is not None:
            self._reader.feed(data)
            if self._turn is None:
                self._read_share()

    def _shake_hands(self, data: bytes) -> bytes:
        """Give the library what belongs to the handshake. Returns the rest, if that has succeeded."""
        begun = len(self._head)
        head = self._head + data
        end = head.find(_END_OF_HEAD)
        stop = len(head) if end < 0 else end + len(_END_OF_HEAD)
        super().data_received(head[begun:stop])
        if self.state is State.OPEN:
            self._reader = FrameReader(self.protocol.max_message_size, self.inbox, self._take_over)
            return head[stop:]
        if head[stop:]:
            super().data_received(head[stop:])
        self._head = head[1 - len(_END_OF_HEAD) :]
        return b""

    def _read_share(self) -> None:
        assert self._reader is not None  # noqa: S101 - it is there once the connection is open
        self._turn = None
        inbox = self.inbox
        more = self._reader.read(max(_FRAMES - len(inbox.messages), 0), _SIZE)
        if inbox.broken is not None and self.state is State.OPEN:
            self._fail(inbox.broken)
        if not more:
            self.transport.resume_reading()
            return
        self.transport.pause_reading()
        if len(inbox.messages) < _FRAMES and inbox.size < _SIZE:
            self._turn = self.loop.call_soon(self._read_share)

    def _when_taken(self) -> None:
        half_empty = len(self.inbox.messages) <= _FRAMES // 2 and self.inbox.size <= _SIZE // 2
        if half_empty and self._turn is None and not self.transport.is_reading():
            self._turn = self.loop.call_soon(self._read_share)

    def _read_all(self) -> None:
        """Read what has come, and is bounded by what is read of a socket at once: nothing else comes."""
        if self._reader is not None:
            self._reader.read(sys.maxsize, sys.maxsize)

    def _take_over(self, data: bytes) -> bool:
        """Let the library have bytes. Returns whether the connection is still open."""
        super().data_received(data)
        self._expect_end()
        return self.state is State.OPEN

    def _fail(self, error: Exception) -> None:
        """End the connection for a message that cannot be read; it is told when those before it were taken."""
        if isinstance(error, UnicodeDecodeError):
            self.protocol.fail(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")
        else:
            self.protocol.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
        self.send_data()
        self._expect_end()

    def _expect_end(self) -> None:
        if self.state is State.CLOSING and self._end is None and self.close_timeout is not None:
            # There is nothing more to wait for.
            self._end = self.loop.call_later(self.close_timeout, self.transport.abort)

    def eof_received(self) -> None:
        """Read the rest, which came before it."""
        self._read_all()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note why, read the rest, and let go of the timers."""
        self.broken = exc
        self._read_all()
        for timer in (self._end, self._turn):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    async def keepalive(self) -> None:
        """Ping at regular intervals; give the connection up when nothing comes for as long after a ping.

        Silence is counted in looks and not by the clock: while the event loop is blocked, or the process stopped,
        nobody could have heard anything.
        """
        assert self.ping_interval is not None  # noqa: S101 - or nobody starts this
        silent: int | None = None  # looks since a ping after which nothing came
        ping: asyncio.Task[None] | None = None
        try:
            for look in itertools.count(1):
                await self._sleep(self.ping_interval / _STEPS)
                if self.state is not State.OPEN:  # it is ending already
                    return
                if self._heard or not self.transport.is_reading():
                    silent = None
                elif silent is not None:
                    silent += 1
                self._heard = False
                if silent == _STEPS:
                    self.half_open = True
                    self.transport.abort()
                    return
                if look % _STEPS == 0:
                    silent = silent or 0
                    if ping is None or ping.done():  # the last may still wait for room to be written
                        ping = asyncio.create_task(self._ask())
        finally:
            if ping is not None:
                ping.cancel()

    async def _ask(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            await (await self.ping())
