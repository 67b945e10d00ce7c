"""Stale streams: connections that stand, and bring nothing. Only with a limit, for many a market is quiet by nature."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from adapters.net.errors import StreamIdleError

if TYPE_CHECKING:
    from adapters.stream import AdapterStream

__all__ = ["IdleWatch"]


class IdleWatch:
    """Watches over one connection, or one guest, of a stream; its time begins now.

    Time in which the consumer makes the plugin wait does not count, nor any in which it is busy otherwise.

    Args:
        stream: The stream, with its limit and its clock.
    """

    def __init__(self, stream: AdapterStream) -> None:
        self._stream = stream
        self._since = stream.monotonic()

    def look(self, *, busy: bool = False) -> None:
        """Raises ``StreamIdleError`` if no item has come for longer than the limit; to be called now and then.

        Args:
            busy: Whether there is something to wait for before an item can come: a connection, or the guest.
        """
        limit, now = self._stream.idle_limit, self._stream.monotonic()
        if limit is None:
            return
        if busy or self._stream.backed_up:
            self._since = now
        since = max(self._since, self._stream.last_arrival or 0.0)
        if now - since > limit:
            raise StreamIdleError(str(self._stream.key), limit)

    async def keep_looking(self, every: float, busy: Callable[[], bool]) -> NoReturn:
        """Look every so many seconds, until it raises."""
        while True:
            await asyncio.sleep(every)
            self.look(busy=busy())
