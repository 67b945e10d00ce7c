"""Three quiet plugins beside a hostile one: are they served as before?

A legacy one, a generic one whose ``start_stream`` never returns, and a generic one that parks. The last is in a stream
manager, and its items come out of a subscription. The test sends their messages one by one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import attrs

from compat import AdapterSettings, Bounds, Progress, StreamManager, Subscription, open_plugin
from tests.support.legacy import legacy
from tests.support.plugins import candle_key, wat
from tests.support.simex import QUICK
from tests.support.sockets import Connector, SharedFeed
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    from compat import Stream, StreamData, StreamEvent

__all__ = ["BOUNDS", "PROGRESS", "TURNS", "Neighbour", "Neighbours", "neighbourhood", "patient"]

_LEGACY, _GENERIC, _PARKED = legacy(), wat("frees-late"), wat("parks")  # read before a loop runs

#: Deadlines that nobody misses who does what it should, however busy the machine.
BOUNDS = Bounds(
    initialise_timeout=HANG,
    metadata_timeout=HANG,
    configure_timeout=HANG,
    prepare_timeout=HANG,
    message_timeout=HANG,
)
PROGRESS = Progress(told_after=HANG, hung_after=HANG, start_timeout=HANG, standing_after=HANG, unasked_after=HANG)

#: What may happen until an item is through, some hundred times what is usual: turns of the event loop, which makes more
#: where guests get no turn, and calls of the hostile plugin, which makes more where the loop gets none.
TURNS, CALLS = 200_000, 100_000


def patient(**chosen: Any) -> AdapterSettings:
    """Settings with these deadlines, but for what is chosen."""
    return AdapterSettings(**{"backoff": QUICK, "bounds": BOUNDS, "progress": PROGRESS, **chosen})


@attrs.define(eq=False)
class Neighbour:
    """One plugin's stream, read in the background.

    Attributes:
        name: What it is.
        source: Where its items are had: its stream, or a subscription to that.
        feed: What its exchange sends.
        connector: Its way there.
        sent: Messages that were sent so far.
        items: What has come of it.
    """

    name: str
    source: Stream | Subscription
    feed: SharedFeed
    connector: Connector
    sent: int = 0
    items: list[StreamData] = attrs.field(factory=list)

    async def read(self) -> None:
        """Read to the end."""
        async for item in self.source:
            self.items.append(item)

    def say(self) -> None:
        """Send it a message."""
        self.sent += 1
        self.feed.say()

    @property
    def behind(self) -> int:
        """Messages that were sent and have not become an item yet."""
        return self.sent - len(self.items)

    @property
    def stream(self) -> Stream:
        """Its stream."""
        return self.source.stream if isinstance(self.source, Subscription) else self.source


@attrs.define
class Neighbours:
    """All of them.

    Attributes:
        manager: The one that one of them is in, and that a hostile plugin may join.
        latency: Seconds that the slowest item took.
        work: Tells how often the hostile plugin has called the host.
    """

    all: tuple[Neighbour, ...]
    manager: StreamManager
    latency: float = 0.0
    work: Callable[[], int] = lambda: 0
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    async def exchange(self, count: int) -> None:
        """Send each a message and wait for the items, so many times; fail if they are not there in time."""
        for number in range(count):
            async with self._turn:
                await self._exchange_one(number)

    async def go_on(self) -> None:
        """Do so ten times a second, without end."""
        while True:
            await self.exchange(1)
            await asyncio.sleep(0.1)

    async def _exchange_one(self, number: int) -> None:
        begun, turns, calls = time.monotonic(), 0, self.work()
        for neighbour in self.all:
            neighbour.say()
        while late := [neighbour.name for neighbour in self.all if neighbour.behind]:
            assert turns < TURNS, f"item {number} of {late} has not come in {turns} turns of the loop"
            turns += 1
            await asyncio.sleep(0)
        assert self.work() - calls < CALLS, f"{self.work() - calls} calls were served before item {number} was through"
        self.latency = max(self.latency, time.monotonic() - begun)

    async def check(self) -> None:
        """Fail if one of them has lost an item, or was told anything but that it streams."""
        for neighbour in self.all:
            assert [item.sequence for item in neighbour.items] == list(range(neighbour.sent)), neighbour.name
            told: list[StreamEvent] = []
            neighbour.stream.follow(told.append)()
            assert {event.kind for event in told} == {"state"}, (neighbour.name, told)
            assert neighbour.stream.state == "streaming", (neighbour.name, neighbour.stream.state)


@contextlib.asynccontextmanager
async def neighbourhood() -> AsyncIterator[Neighbours]:
    """Open all three, and see the first item of each."""
    opened: list[Neighbour] = []
    async with contextlib.AsyncExitStack() as stack:

        async def settle(name: str, wasm: bytes, message: str, manager: StreamManager | None = None) -> None:
            feed = SharedFeed(message.format)
            connector = Connector(lambda _: feed.listen())
            settings = patient(connector=connector)
            source: Stream | Subscription
            if manager is None:
                opening = open_plugin(wasm, name=name, allow_private=True, settings=settings)
                plugin = await stack.enter_async_context(opening)
                source = await stack.enter_async_context(plugin.stream(candle_key()))
            else:
                await manager.register("simex", wasm, allow_private=True, settings=settings)
                source = await stack.enter_async_context(manager.subscribe(candle_key()))
            opened.append(Neighbour(name, source, feed, connector))

        manager = await stack.enter_async_context(StreamManager())
        await settle("legacy", _LEGACY, "data")
        await settle("generic", _GENERIC, "{}")
        await settle("parked", _PARKED, "{}", manager)
        neighbours = Neighbours(tuple(opened), manager)
        reading = [asyncio.create_task(neighbour.read()) for neighbour in neighbours.all]
        try:
            await until(lambda: all(neighbour.connector.sockets for neighbour in opened), "all are connected")
            await neighbours.exchange(1)
            yield neighbours
            await neighbours.check()
        finally:
            for task in reading:
                task.cancel()
            await asyncio.wait(reading)
