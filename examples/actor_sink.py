"""Feeding an actor, or anything else that is a callable: ``sink(item)``. No actor framework is needed to read it.

usage: python examples/actor_sink.py [COUNT]

The mailbox is bounded, and a full one holds everything back: the sink waits, so the stream is not iterated, its buffer
fills, and the plugin and its socket wait. Nothing is dropped on the way.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from decimal import Decimal

import compat
from compat import demo

MAILBOX = 16
PATIENCE = 5.0  # seconds; an actor that takes nothing for so long is taken for dead


async def feed(stream: compat.Stream, sink: Callable[[compat.StreamData], object], count: int) -> None:
    """Give the next items of a stream to a sink that may wait, but not on the event loop."""
    async for item in stream:
        await asyncio.to_thread(sink, item)
        if item.sequence + 1 == count:
            return


class Highest:
    """An actor: a mailbox and a thread that is the only one to touch its state, the highest price so far."""

    def __init__(self) -> None:
        self.fullest = 0
        self.failure: Exception | None = None
        self._highest = Decimal(0)
        self._handled = 0
        self._mailbox = queue.Queue[compat.StreamData | None](MAILBOX)
        self._thread = threading.Thread(target=self._run, name="actor")
        self._thread.start()

    def tell(self, item: compat.StreamData) -> None:
        """Put an item into the mailbox; wait while it is full. Raises ``queue.Full``, or what the actor failed with."""
        if self.failure is not None:
            raise self.failure
        self._mailbox.put(item, timeout=PATIENCE)
        self.fullest = max(self.fullest, self._mailbox.qsize())

    def stop(self) -> None:
        """Handle what is in the mailbox, and end. Raises what the actor failed with."""
        self._mailbox.put(None)
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            self._handle()
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits for it
            self.failure = error
            while self._mailbox.get() is not None:  # whoever waits for room must not wait for ever
                pass

    def _handle(self) -> None:
        while (item := self._mailbox.get()) is not None:
            time.sleep(0.002)  # slower than the exchange
            self._handled += 1
            candle = item.candle()
            if candle is not None and candle.high > self._highest:
                self._highest = candle.high
                print(f"item {item.sequence}: a new high of {candle.high}", flush=True)
        print(f"handled {self._handled} items, never more than {self.fullest} in the mailbox", flush=True)


async def run(count: int) -> None:
    """Stream from the simulator into the actor."""
    path = demo.plugin_path("generic")
    actor = Highest()
    try:
        async with (
            demo.Exchange(rate=2_000) as exchange,
            compat.open_plugin(path, rewrite=exchange.rewrites, allow_private=True) as plugin,
            # With StreamManager, subscribe(..., overflow="block") does the same, to all who subscribe to that key.
            plugin.stream("ohlcv:simex:BTC-USDT?timeframe=1m") as stream,
        ):
            await feed(stream, actor.tell, count)
    finally:
        actor.stop()


def reader_has_gone() -> None:
    """Let what is still to be printed go nowhere: into the closed pipe it would be an error at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(count: str = "500") -> int:
    """Run it. Returns the exit code."""
    if not count.isdecimal() or int(count) < 1:
        print(f"COUNT is a number from 1 on, and {count!r} is none", file=sys.stderr)
        return 2
    try:
        asyncio.run(run(int(count)))
    except BrokenPipeError:  # as in: actor_sink.py | head -1
        reader_has_gone()
    except (compat.CompatError, queue.Full) as error:
        print(error or "the actor takes nothing any more", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
