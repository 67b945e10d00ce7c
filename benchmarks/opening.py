"""What guests take: time to open one, memory of one and of many, and for how long opening holds the event loop."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, Iterator

import msgspec

import compat
from benchmarks.bare import BarePlugin
from benchmarks.cases import Case, Outcome, start_stream_input
from benchmarks.feed import ACKNOWLEDGEMENT, Feed, FeedConnector, resident_mib
from benchmarks.product import twin_of

__all__ = ["bare_memory", "bare_opening", "guest_memory", "many", "opening"]

_ASKED = "meta"  # what an opened plugin is asked first
_WARM = 5  # openings after the cold one
_TICK = 0.001  # seconds


def opening(case: Case) -> Outcome:
    """From a file to the first answer: once with an empty cache of compiled modules, then with a full one."""

    async def once() -> None:
        async with compat.open_plugin(case.path) as plugin:
            await plugin.call(_ASKED)

    return _openings(lambda: asyncio.run(once()))


def bare_opening(case: Case) -> Outcome:
    """The same over Extism's C interface, which reads the same cache."""

    def once() -> None:
        plugin = BarePlugin(case.path.read_bytes())
        assert plugin.call(_ASKED, b"")
        plugin.free()

    return _openings(once)


def _openings(once: Callable[[], None]) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder  # where Extism keeps what it has compiled
        cold, *warm = (_seconds(once) for _ in range(1 + _WARM))
    return Outcome({"cold": cold * 1e3, "warm": statistics.median(warm) * 1e3})


def _seconds(once: Callable[[], None]) -> float:
    begun = time.perf_counter()
    once()
    return time.perf_counter() - begun


def guest_memory(case: Case) -> Outcome:
    """The resident memory of each of some streaming guests, beyond the first, which pays for what all share."""
    return asyncio.run(_streams(case, lambda: None))


def bare_memory(case: Case) -> Outcome:
    """The same for guests in bare loops, which wait in ``ws_receive`` when their messages are at an end."""
    over, waiting = threading.Event(), threading.Semaphore(0)

    def make() -> BarePlugin:
        messages = iter([ACKNOWLEDGEMENT, *Feed("constant", case.count)])

        def receive(_: bytes) -> bytes:
            message = next(messages, None)
            if message is None:
                waiting.release()
                over.wait()
                return b'{"success":false,"error":"the end"}'
            return b'{"success":true,"message":' + msgspec.json.encode(message) + b"}"

        return BarePlugin(case.path.read_bytes(), {"ws_receive": receive})

    plugins, threads, resident = list[BarePlugin](), list[threading.Thread](), list[float]()
    for _ in range(case.streams):
        plugins.append(make())
        threads.append(threading.Thread(target=plugins[-1].call, args=("start_stream", start_stream_input("generic"))))
        threads[-1].start()
        waiting.acquire()
        resident.append(resident_mib())
    over.set()
    for thread in threads:
        thread.join()
    return Outcome(_memory(resident))


def _memory(resident: list[float]) -> dict[str, float]:
    each = (resident[-1] - resident[0]) / max(len(resident) - 1, 1)
    return {"each": each, "resident": resident[-1]}


def many(case: Case) -> Outcome:
    """Many streams opened at once: the longest that they held the loop, and the memory with all of them."""
    longest = 0.0

    async def look() -> None:
        nonlocal longest
        before = time.perf_counter()
        while True:
            await asyncio.sleep(_TICK)
            now = time.perf_counter()
            longest, before = max(longest, now - before - _TICK), now

    async def run() -> Outcome:
        looking: list[asyncio.Task[None]] = []
        try:
            outcome = await _streams(case, lambda: looking.append(asyncio.create_task(look())), at_once=True)
        finally:
            for task in looking:
                task.cancel()
        return Outcome({**outcome.values, "block": longest * 1e3}, outcome.problems)

    return asyncio.run(run())


async def _streams(case: Case, begun: Callable[[], object], *, at_once: bool = False) -> Outcome:
    settings = compat.AdapterSettings(
        connector=FeedConnector(list(Feed("constant", case.count))),
        policy=compat.NetworkPolicy(allow_private=True),
        pacing=compat.Pacing(rate=1_000, burst=1_000),
    )
    resident, came = list[float](), [0] * case.streams

    async def fill(stream: compat.Stream, number: int) -> None:
        async for _ in stream:
            came[number] += 1
            if came[number] == case.count:
                return

    async with compat.open_plugin(case.path, settings=settings) as plugin:
        streams = [plugin.stream(twin_of(number)) for number in range(case.streams)]
        begun()
        started = time.perf_counter()
        for group in [streams] if at_once else [[stream] for stream in streams]:
            await _all(stream.__aenter__() for stream in group)
            await _all(fill(stream, streams.index(stream)) for stream in group)
            resident.append(resident_mib())
        took = time.perf_counter() - started
        await _all(stream.aclose() for stream in streams)
    missing = case.count * case.streams - sum(came)
    problems = [f"{missing:,} messages are missing"] if missing else []
    return Outcome({**_memory(resident), "open": took * 1e3}, problems)


async def _all(work: Iterator[Awaitable[object]]) -> None:
    await asyncio.gather(*work)
