"""This project's host in one process with its feed: what it costs without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import compat
from benchmarks.cases import Case, Outcome
from benchmarks.feed import Feed, FeedConnector
from benchmarks.payloads import number_and_time, problems_of
from benchmarks.stopwatch import Stopwatch, Wakeups

__all__ = ["consume", "product", "twin_of", "until_stalled"]

_STALLED = 30.0  # seconds without an item, after which a stream is given up
_BATCH = 1_000  # items


def twin_of(number: int) -> compat.StreamKey:
    """The key of a stream of the feed's only market; all are fed alike."""
    return compat.StreamKey("ohlcv", "simex", "BTC-USDT", {"timeframe": "1m"}, connection_id=number)


async def consume(stream: compat.Stream, count: int, by: str, take: Callable[[list[bytes]], object]) -> None:
    """Give a stream's payloads to ``take`` until there are ``count``: in batches where it has them, or one by one."""
    batches: Any = getattr(stream, "batches", None)
    if by == "batches" and batches is not None:
        async for batch in batches(limit=_BATCH):
            take([item.data for item in batch])
            count -= len(batch)
            if count <= 0:
                return
    else:
        async for item in stream:
            take([item.data])
            count -= 1
            if count <= 0:
                return


async def until_stalled(work: Awaitable[object], done: Callable[[], int]) -> None:
    """Wait for some work for as long as it gets on."""
    task = asyncio.ensure_future(work)
    while not task.done():
        before = done()
        await asyncio.wait([task], timeout=_STALLED)
        if not task.done() and done() == before:
            task.cancel()
            await asyncio.wait([task])
            return
    task.result()


def product(case: Case) -> Outcome:
    """Run streams through ``open_plugin``, fed by a connector in the same process."""
    if case.counted:
        Wakeups.watch()
    return asyncio.run(_product(case))


async def _product(case: Case) -> Outcome:
    messages = list(Feed("constant", case.count))
    settings = compat.AdapterSettings(
        connector=FeedConnector(messages), policy=compat.NetworkPolicy(allow_private=True)
    )
    watch, kept = Stopwatch(case.count * case.streams), [list[bytes]() for _ in range(case.streams)]

    async def one(plugin: compat.Plugin, number: int) -> None:
        payloads = kept[number]

        def take(batch: list[bytes]) -> None:
            payloads.extend(batch)
            watch.add(len(batch))

        async with plugin.stream(twin_of(number)) as stream:
            await consume(stream, case.count, case.by, take)

    async with compat.open_plugin(case.path, settings=settings) as plugin:
        streams = asyncio.gather(*(one(plugin, number) for number in range(case.streams)))
        await until_stalled(streams, lambda: watch.done)
    problems = []
    for number, payloads in enumerate(kept):
        who = f"stream {number}: " if case.streams > 1 else ""
        problems += problems_of([number_and_time(payload)[0] for payload in payloads], case.count, who)
    return Outcome(watch.values(), problems)
