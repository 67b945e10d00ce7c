"""A hostile plugin beside three quiet ones, from the beginning of its mischief to its end: ``play``."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import logging
import re
from collections import Counter, deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from compat import (
    AdapterSettings,
    Backoff,
    CompatError,
    Crossing,
    Direction,
    EventKind,
    StreamState,
    Subscription,
    open_plugin,
)
from tests.hostile.guests import KEY
from tests.hostile.neighbours import Neighbours, neighbourhood, patient
from tests.support.sockets import Connector
from tests.support.waiting import HANG, guest_threads, until

if TYPE_CHECKING:
    from compat import Plugin, Stream, StreamEvent, StreamManager
    from tests.hostile.rows import Row

__all__ = ["Hostile", "Pace", "Place", "opened", "play"]

_ITEMS = 20  # that each neighbour gets while it goes on, and again afterwards
_WHILE = 10.0  # seconds for which a row that does not end goes on at the pace of the clock
_SLOWEST = 1.0  # seconds that an item of a neighbour may take then
_TOLD = 500  # characters of an error that its event surely has
_LONGEST = 10_000  # characters of an error's text, each of the 2,000 of a reason as an escape
_KEPT = 64 * 2**20  # bytes by which the process may have grown


class Place(enum.Enum):
    """Where a hostile plugin is."""

    ALONE = "alone"  # opened by itself, in the process of its neighbours
    MANAGED = "managed"  # in the manager of one of them


class Pace(enum.Enum):
    """What its neighbours are held against."""

    COUNTED = "counted"  # turns of the event loop, with short deadlines for the hostile plugin only
    TIMED = "timed"  # seconds, with the default settings


#: Seconds for what is to be told; at the pace of the clock for three lives of a guest that has 40 s each.
_WITHIN = {Pace.COUNTED: HANG, Pace.TIMED: 240.0}


class _Lines(logging.Handler):
    """The latest lines of a plugin's logger."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=2_000)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@attrs.define(eq=False)
class Hostile:
    """A hostile plugin's stream, and what is seen of it.

    Attributes:
        plugin: The plugin.
        connector: Its way to its exchange.
        crossed: How often each export and host function was called, by name.
        log: What its logger was told.
        source: Where its items are had: its stream, or a subscription to that.
        delivered: How many items came.
        last: The number of the last of them; -1 before.
        events: What was told, the first of it.
        lost: The sum of what gap events told as lost.
        error: What broke the stream.
        ended: Whether there is nothing more to come.
    """

    plugin: Plugin
    connector: Connector
    crossed: Counter[str]
    log: _Lines
    source: Stream | Subscription
    delivered: int = 0
    last: int = -1
    events: list[StreamEvent] = attrs.field(factory=list)
    lost: int = 0
    error: Exception | None = None
    ended: bool = False

    @property
    def stream(self) -> Stream:
        """The stream."""
        return self.source.stream if isinstance(self.source, Subscription) else self.source

    async def read(self, count: float = float("inf")) -> None:
        """Read so many items, or to the end. Their numbers rise, and have holes only where the source drops some."""
        try:
            while count > 0:
                item = await anext(self.source)
                assert item.sequence > self.last
                self.last = item.sequence
                self.delivered += 1
                count -= 1
        except StopAsyncIteration:
            self.ended = True
        except CompatError as error:
            self.error, self.ended = error, True

    async def close(self) -> None:
        """Close the plugin, and wait until its guests have said their last."""
        await self.plugin.aclose()
        await until(lambda: not _guests(), "its guests end")

    def note(self, event: StreamEvent) -> None:
        """Take note of an event."""
        self.lost += event.lost or 0
        if len(self.events) < 1_000:
            self.events.append(event)

    def has_begun(self, row: Row) -> bool:
        """Whether its mischief has."""
        return self.ended or (self.crossed[row.begins] >= row.calls if row.begins else bool(_guests()))

    def was_told(self, row: Row) -> bool:
        """Whether the event that the row asks for has been told."""
        says = row.says if row.ends is None else ""
        return any(event.kind == row.told and re.search(says, event.message) for event in self.events)


def _guests() -> list[str]:
    return [name for name in guest_threads() if name.startswith("guest hostile#")]


@contextlib.asynccontextmanager
async def opened(
    row: Row, place: Place, manager: StreamManager, settings: AdapterSettings | None = None, **subscribing: Any
) -> AsyncIterator[Hostile]:
    """Open the plugin of a row and a stream of it, which is not read yet.

    Args:
        row: The row.
        place: Where to open it.
        manager: The manager to open it in.
        settings: What it works with; by default what the row says.
        subscribing: How to subscribe to it in a manager.
    """
    crossed: Counter[str] = Counter()

    def observe(crossing: Crossing) -> None:
        if crossing.direction in (Direction.CALL, Direction.HOST_CALL):
            crossed[crossing.name] += 1

    log = _Lines()
    logger = logging.getLogger("compat.plugin.hostile")
    logger.setLevel(logging.INFO)
    logger.addHandler(log)
    connector = Connector(lambda _: ["{}"] * row.messages)
    settings = attrs.evolve(
        settings or patient(bounds=row.bounds, progress=row.progress),
        backoff=Backoff(first=0.01, highest=0.02, attempts=2),
        connector=connector,
        observer=observe,
        config=row.config,
    )
    key = attrs.evolve(KEY, identifier=row.identifier)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(logger.removeHandler, log)
        source: Stream | Subscription
        if place is Place.MANAGED:
            plugin = await manager.register("hostile", row.wasm, allow_private=True, settings=settings)
            stack.push_async_callback(manager.unregister, "hostile")
            source = await stack.enter_async_context(manager.subscribe(key, **subscribing))
        else:
            opening = open_plugin(row.wasm, name="hostile", allow_private=True, settings=settings)
            plugin = await stack.enter_async_context(opening)
            source = await stack.enter_async_context(plugin.stream(key))
        hostile = Hostile(plugin, connector, crossed, log, source)
        hostile.stream.follow(hostile.note)
        yield hostile
    assert connector.open == 0, "a connection of the hostile plugin is still open"


async def play(row: Row, place: Place, pace: Pace) -> None:
    """Let the plugin do its mischief, and hold what comes of it against its row."""
    settings = AdapterSettings() if pace is Pace.TIMED else None
    async with neighbourhood() as neighbours:
        before = await asyncio.to_thread(_resident)
        async with opened(row, place, neighbours.manager, settings) as hostile, _watched(neighbours, pace):
            neighbours.work = hostile.crossed.total
            reading = asyncio.create_task(hostile.read())
            within = _WITHIN[pace]
            await until(lambda: hostile.has_begun(row), "the mischief begins", within=within)
            await neighbours.exchange(_ITEMS)
            if pace is Pace.TIMED and row.ends is None:
                await asyncio.sleep(_WHILE)
            await _wait_for_the_outcome(row, hostile, within)
            await neighbours.exchange(_ITEMS)
            assert row.ends is not None or not hostile.ended, f"the stream has ended: {hostile.error!r}"
            await hostile.close()
            await reading
            _check(row, hostile)
        await neighbours.exchange(_ITEMS)
        if pace is Pace.TIMED:
            assert neighbours.latency < _SLOWEST, f"an item of a neighbour took {neighbours.latency:.2f} s"
            assert await asyncio.to_thread(_resident) < before + _KEPT


async def _wait_for_the_outcome(row: Row, hostile: Hostile, within: float) -> None:
    if row.ends is not None:
        await until(lambda: hostile.ended, "the stream ends", within=within)
    elif row.items is not None:
        wanted = row.items
        await until(lambda: hostile.ended or hostile.delivered >= wanted, "its items come", within=within)
    if row.told is not None:
        await until(lambda: hostile.was_told(row), "an event tells of it", within=within)


def _check(row: Row, hostile: Hostile) -> None:
    """Hold everything that was told and delivered against the row."""
    stats = hostile.stream.stats
    assert hostile.last + 1 == hostile.delivered <= stats.received
    assert row.items is None or hostile.delivered == row.items == stats.received
    assert not row.logs or any(re.search(row.logs, line) for line in hostile.log.lines), list(hostile.log.lines)[-9:]
    assert not row.closes or hostile.crossed[row.closes], f"{row.closes} was not called"
    if row.ends is None:
        assert hostile.error is None
        return
    error = hostile.error
    assert isinstance(error, row.ends), repr(error)
    assert "'hostile'" in error.message[:100], error.message
    assert len(error.message) < _LONGEST
    assert re.search(row.says, error.message), error.message
    assert re.search(row.remedy, error.remedy), error.remedy
    assert hostile.stream.state is StreamState.FAILED
    # The stream is named, in the log as well.
    stream = f"stream {hostile.stream.key}"
    assert stream in error.message
    failed = [line for line in hostile.log.lines if line.startswith(f"{stream}, item ") and "failed: " in line]
    assert len(failed) == 1, hostile.log.lines
    assert error.message.removeprefix(f"{stream}: ")[:_TOLD] in failed[0]
    # What a stream that was restarted may have lost was told each time.
    restarts = [event for event in hostile.events if event.kind is EventKind.RESTART]
    assert not restarts or not stats.received or stats.gaps == len(restarts)


@contextlib.asynccontextmanager
async def _watched(neighbours: Neighbours, pace: Pace) -> AsyncIterator[None]:
    """At the pace of the clock, let the neighbours go on all the time."""
    if pace is Pace.COUNTED:
        yield
        return
    going = asyncio.create_task(neighbours.go_on())
    try:
        yield
    finally:
        going.cancel()
        await asyncio.wait([going])
        if not going.cancelled():
            going.result()


def _resident() -> int:
    """Bytes of memory that this process has; Linux only."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096
