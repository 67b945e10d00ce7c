"""One connection of the ``websockets`` library, in some things unlike its base.

*Keepalive.* The library drops a connection whose pongs stay unread behind data that a slow consumer has not taken yet.
Here any byte is a sign of life, and silence counts only while the socket is being read: a slow consumer makes the other
end wait, and loses nothing.

*Ending.* After a violation of the protocol, or a close frame, the library waits for the other end to close the TCP
connection, for as long as that takes. Here that is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

__all__ = ["KeptConnection"]

_STEPS = 8  # looks at the connection between two pings


class KeptConnection(ClientConnection):
    """A connection with its own keepalive, every ``ping_interval`` seconds.

    Args:
        sleep: Waits for so many seconds, between two looks at the connection.
        arguments: Those of the base.
        options: Likewise.

    Attributes:
        half_open: Whether it was given up because the other end had fallen silent.
        broken: What ended the connection below it, once that has ended in disorder.
    """

    half_open = False
    broken: Exception | None = None
    _heard = False
    _end: asyncio.TimerHandle | None = None

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

    def data_received(self, data: bytes) -> None:
        """Note the sign of life, and when there is nothing more to wait for."""
        self._heard = True
        super().data_received(data)
        if self.state is State.CLOSING and self._end is None and self.close_timeout is not None:
            self._end = self.loop.call_later(self.close_timeout, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Note why, and let go of the timer."""
        self.broken = exc
        if self._end is not None:
            self._end.cancel()
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
