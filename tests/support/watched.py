"""A stream that is read in the background, and what came of it held against the exchange."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from compat import EventKind, Plugin, Stream, StreamEvent, StreamKey
from compat.demo.audit import Audit, number_of
from compat.demo.exchange import Exchange
from tests.support.plugins import candle_key
from tests.support.waiting import until

__all__ = ["Watched", "watching"]


class Watched:
    """What a stream has delivered and told so far.

    Attributes:
        audit: Of its items.
        events: Its events. All of them are there once the block has ended; before, some may be on their way.
        error: What broke it.
        ended: Whether there is no more to come.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.audit = Audit()
        self.events: list[StreamEvent] = []
        self.error: Exception | None = None
        self.ended = False

    async def read(self) -> None:
        """Read to the end."""
        try:
            async for item in self.stream:
                candle = item.candle()
                assert candle is not None
                interval = self.stream.key.parameters["timeframe"]
                self.audit.note_item(item.sequence, number_of(candle.opened // 10**9, interval))
        except Exception as error:  # noqa: BLE001 - tests look at it
            self.error = error
        finally:
            self.ended = True

    async def listen(self) -> None:
        """Listen to the end."""
        async for event in self.stream.events():
            self.events.append(event)
            if event.kind is EventKind.GAP:
                self.audit.note_gaps(event.places)

    def told(self, *kinds: EventKind) -> list[StreamEvent]:
        """The events of these kinds so far."""
        return [event for event in self.events if event.kind in kinds]

    async def more(self, count: int) -> None:
        """Wait for so many more items, wherever they come from: some may have been on their way for long."""
        wanted = self.audit.delivered + count
        await until(lambda: self.audit.delivered >= wanted or self.ended, f"{count} more items")
        assert self.audit.delivered >= wanted, f"the stream ended: {self.error!r}"

    async def back(self, exchange: Exchange, connection: int) -> None:
        """Wait for an item that the exchange has sent over its connection of this number, or a later one.

        Args:
            exchange: A live one, whose candles bear numbers that rise from one connection to the next.
            connection: 0 for the first that it accepted; how many it has accepted, for one that is still to come.
        """
        market = self.stream.key.identifier, self.stream.key.parameters["timeframe"]

        def has_come() -> bool:
            later = (record.klines.numbers(*market) for record in exchange.journal.connections[connection:])
            first = min((numbers[0] for numbers in later if numbers), default=None)
            return first is not None and self.audit.last is not None and self.audit.last >= first

        await until(lambda: has_come() or self.ended, f"an item over connection {connection}")
        assert has_come(), f"the stream ended: {self.error!r}"

    async def end(self) -> Exception | None:
        """Wait for its end. Returns what broke it."""
        await until(lambda: self.ended, "the stream ends")
        return self.error


@contextlib.asynccontextmanager
async def watching(plugin: Plugin, key: StreamKey | None = None, **how: Any) -> AsyncIterator[Watched]:
    """Open a stream and read it until the block ends."""
    async with plugin.stream(key or candle_key(), **how) as stream:
        watched = Watched(stream)
        tasks = [asyncio.create_task(watched.read()), asyncio.create_task(watched.listen())]
        try:
            yield watched
        finally:
            await stream.aclose()
            await asyncio.wait(tasks)
