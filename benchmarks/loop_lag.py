"""How long the event loop is blocked while many streams of one plugin open in parallel.

    python -m benchmarks.loop_lag [--kind generic] [--streams 100] [--rounds 3]

The simulated exchange runs in a process of its own, so that only what the library does is measured. A task sleeps for a
millisecond again and again; by how much it wakes late is the loop's lag. At most 50 ms are wanted while 100 generic
streams open. The garbage of the streams of one round is collected before the next, and not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import math
import sys
import time
from collections.abc import AsyncIterator

import attrs

import compat
from benchmarks.feed import resident_mib
from compat.demo.bundled import plugin_path

__all__ = ["Lag", "Opened", "exchange_in_process", "open_streams", "watched_loop"]

_TICK = 0.001  # seconds
_WANTED = 0.05  # seconds
_KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"
_WIRED = "wss://stream.simex.example"  # the address that the plugin has
_RATE = 5  # candles a second
_PATIENCE = 120.0  # seconds


@attrs.define
class Lag:
    """How late the event loop was.

    Attributes:
        longest: Seconds by which it was late at most.
        at: Seconds after the beginning when that was.
        over: How often it was late by more than 50 ms.
        ticks: How often it was looked at.
    """

    longest: float = 0.0
    at: float = 0.0
    over: int = 0
    ticks: int = 0


@contextlib.asynccontextmanager
async def watched_loop() -> AsyncIterator[Lag]:
    """Measure the running loop's lag until the block ends."""
    lag = Lag()

    async def look() -> None:
        begun = time.perf_counter()
        while True:
            slept = time.perf_counter()
            await asyncio.sleep(_TICK)
            now = time.perf_counter()
            late = now - slept - _TICK
            lag.ticks += 1
            lag.over += late > _WANTED
            if late > lag.longest:
                lag.longest, lag.at = late, slept - begun

    looking = asyncio.create_task(look(), name="loop lag")
    await asyncio.sleep(0)
    try:
        yield lag
    finally:
        await asyncio.sleep(_TICK)  # what blocked last is seen, too
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking


@contextlib.asynccontextmanager
async def exchange_in_process(rate: float = _RATE) -> AsyncIterator[str]:
    """The simulated exchange in a child process.

    Args:
        rate: Candles a second.

    Yields:
        The address of its WebSocket.
    """
    program = f"""
import asyncio, sys
from compat.demo.exchange import Exchange
async def serve():
    async with Exchange(rate={rate}) as exchange:
        print(exchange.ws_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(serve())
"""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        yield (await child.stdout.readline()).decode().strip()
    finally:
        child.stdin.close()
        await child.wait()


@attrs.frozen
class Opened:
    """What opening so many streams came to.

    Attributes:
        lag: The loop's, from the first stream's opening until each has delivered an item.
        seconds: How long that took.
        cpu: Seconds of processor time that it took.
        resident: MiB by which the process's resident memory has grown.
        told: The events of all streams that are neither a connection nor a change of state.
    """

    lag: Lag
    seconds: float
    cpu: float
    resident: float
    told: tuple[str, ...]


async def open_streams(kind: str, count: int, url: str) -> Opened:
    """Open streams of one plugin in parallel and read one item from each.

    Args:
        kind: ``legacy`` or ``generic``.
        count: How many streams.
        url: Where the exchange is.
    """
    told: list[str] = []
    usual = {compat.EventKind.STATE}

    def note(event: compat.StreamEvent) -> None:
        if event.kind not in usual:
            told.append(f"{event.kind}: {event.message}")

    settings = compat.AdapterSettings(pacing=compat.Pacing(rate=math.inf))
    async with compat.open_plugin(
        plugin_path(kind), rewrite={_WIRED: url}, allow_private=True, settings=settings
    ) as plugin:
        before, wall, cpu = resident_mib(), time.perf_counter(), time.process_time()
        async with contextlib.AsyncExitStack() as stack:

            async def one() -> None:
                stream = plugin.stream(_KEY)
                stream.follow(note)
                stack.push_async_exit(stream)
                await stream.__aenter__()
                await anext(aiter(stream))

            async with watched_loop() as lag, asyncio.timeout(_PATIENCE), asyncio.TaskGroup() as group:
                for _ in range(count):
                    group.create_task(one())
            seconds, cpu = time.perf_counter() - wall, time.process_time() - cpu
            return Opened(lag, seconds, cpu, resident_mib() - before, tuple(told))


async def measure(kind: str, streams: int, rounds: int) -> None:
    """Print a line for each round."""
    async with exchange_in_process() as url:
        for number in range(rounds):
            gc.collect()
            done = await open_streams(kind, streams, url)
            print(
                f"{number}: {streams} {kind} streams: "
                f"longest block {done.lag.longest * 1e3:.0f} ms (at {done.lag.at:.2f} s), "
                f"{done.lag.over} over 50 ms; {done.seconds:.1f} s, {done.cpu:.1f} s of processor time, "
                f"{done.resident:.0f} MiB; {len(done.told)} events {sorted(set(done.told))[:3]}",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loop_lag", description=__doc__.splitlines()[0])
    parser.add_argument("--kind", choices=("legacy", "generic"), default="generic")
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    asyncio.run(measure(options.kind, options.streams, options.rounds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
