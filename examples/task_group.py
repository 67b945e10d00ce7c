"""One stream manager, both kinds of plugin, and several consumers in a task group.

usage: python examples/task_group.py [COUNT [SYMBOL]...]

A consumer that fails ends the others, as usual in a task group: try the symbol NOPE-USDT.
"""

from __future__ import annotations

import asyncio
import os
import sys

import compat
from compat import demo

SOURCES = ("legacy", "generic")


async def follow(
    manager: compat.StreamManager, group: asyncio.TaskGroup, key: compat.StreamKey, count: int, begun: asyncio.Barrier
) -> None:
    """Print the next candles of a stream."""
    async with manager.subscribe(key) as subscription:
        # Events end with their stream, and the stream with its last subscription: the task needs no cancelling.
        group.create_task(tell(subscription.stream))
        for taken in range(count):
            candle = (await anext(subscription)).candle()
            print(f"{key.source:<8} {key.identifier:<9} {candle.close if candle else 'no candle'}", flush=True)
            if not taken:
                await begun.wait()


async def tell(stream: compat.Stream) -> None:
    """Print what happens to a stream besides its items: connections lost, items missing."""
    async for event in stream.events():
        if event.kind is not compat.EventKind.STATE:
            print(f"{stream.key.source:<8} {stream.key.identifier:<9} {event.kind}: {event.message}", flush=True)


async def interfere(exchange: demo.Exchange, begun: asyncio.Barrier) -> None:
    """Cut all connections once, as soon as everybody has an item, so that there is something to tell."""
    await begun.wait()
    await exchange.drop_all()


async def run(count: int, symbols: list[str]) -> None:
    """Follow each symbol through each plugin."""
    async with demo.Exchange(rate=20) as exchange, compat.StreamManager() as manager:
        for source in SOURCES:
            # The plugins' addresses are hard-wired; the simulator is on loopback.
            await manager.register(source, demo.plugin_path(source), rewrite=exchange.rewrites, allow_private=True)
        async with asyncio.TaskGroup() as group:
            begun = asyncio.Barrier(len(SOURCES) * len(symbols) + 1)
            group.create_task(interfere(exchange, begun))
            for source in SOURCES:
                for symbol in symbols:
                    key = compat.StreamKey("ohlcv", source, symbol, {"timeframe": "1m"})
                    group.create_task(follow(manager, group, key, count, begun))


def reader_has_gone() -> None:
    """Let what is still to be printed go nowhere: into the closed pipe it would be an error at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(count: str = "30", *symbols: str) -> int:
    """Run it. Returns the exit code."""
    if not count.isdecimal() or int(count) < 1:
        print(f"COUNT is a number from 1 on, and {count!r} is none", file=sys.stderr)
        return 2
    code = 0
    try:
        asyncio.run(run(int(count), list(symbols) or ["BTC-USDT", "ETH-USDT"]))
    except* compat.CompatError as failures:
        for failure in failures.exceptions:
            print(failure, file=sys.stderr)
        code = 1
    except* BrokenPipeError:  # as in: task_group.py | head -1
        reader_has_gone()
    except* KeyboardInterrupt:
        code = 130
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
