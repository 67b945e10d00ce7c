"""Stale streams: connections that stand, and bring nothing. Only with a limit, for many a market is quiet by nature."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn

from adapters.net.errors import StreamIdleError

if TYPE_CHECKING:
    from adapters.channel import Channel

__all__ = ["IdleWatch"]


class IdleWatch:
    """Watches over one connection, or one guest, of a stream; its time begins now.

    Time in which the consumer makes the plugin wait does not count, nor any in which it is busy otherwise.

    Args:
        channel: The stream's, with its limit and its clock.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._since = channel.monotonic()

    def look(self, *, busy: bool = False) -> None:
        """Raises ``StreamIdleError`` if no item has come for longer than the limit; to be called now and then.

        Args:
            busy: Whether there is something to wait for before an item can come: a connection, or the guest.
        """
        limit, now = self._channel.idle_limit, self._channel.monotonic()
        if limit is None:
            return
        if busy or self._channel.backed_up:
            self._since = now
        since = max(self._since, self._channel.last_arrival or 0.0)
        if now - since > limit:
            raise StreamIdleError(str(self._channel.key), limit)

    async def keep_looking(self, every: float, busy: Callable[[], bool]) -> NoReturn:
        """Look every so many seconds, until it raises."""
        while True:
            await asyncio.sleep(every)
            self.look(busy=busy())
