"""Feeding an actor of Pykka (``pip install pykka``) from a script without asyncio.

usage: python examples/actor_pykka.py [COUNT]

The mailbox of a Pykka actor is unbounded: with ``tell`` alone, an actor that is slower than the exchange would hold
ever more items. So every so many items one is asked instead of told. When its answer is there, everything before it
has been handled: the mailbox never holds more than that, and meanwhile the stream's own, bounded buffer makes the
plugin and its socket wait. An actor that has died raises ``ActorDeadError`` either way.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from anyio.from_thread import start_blocking_portal

import compat
import compat.blocking
from compat import demo

try:
    import pykka
except ModuleNotFoundError:
    sys.exit("this example needs Pykka: pip install pykka")

WINDOW = 64
PATIENCE = 10.0  # seconds for an answer


class Average(pykka.ThreadingActor):
    """Knows the average closing price. Its state is touched by its own thread only."""

    def __init__(self) -> None:
        super().__init__()
        self.candles = 0
        self.total = Decimal(0)

    def on_receive(self, message: object) -> int:
        """Take an item. Returns how many candles there were."""
        candle = message.candle() if isinstance(message, compat.StreamData) else None
        if candle is not None:
            time.sleep(0.001)  # slower than the exchange
            self.candles += 1
            self.total += candle.close
        return self.candles

    def on_stop(self) -> None:
        """Tell the result."""
        if self.candles:
            try:
                print(f"{self.candles} candles, {self.total / self.candles:.2f} on average", flush=True)
            except BrokenPipeError:
                reader_has_gone()


def feed(
    stream: compat.blocking.Stream, actor: pykka.ActorRef[Average], count: int, interrupted: threading.Event
) -> None:
    """Give the next items of a stream to an actor, until there were enough or Ctrl-C was pressed."""
    for item in stream:
        if item.sequence % WINDOW == WINDOW - 1:
            print(f"{actor.ask(item, timeout=PATIENCE)} candles so far, none waits", flush=True)
        else:
            actor.tell(item)
        if item.sequence + 1 == count or interrupted.is_set():
            break


@contextmanager
def hearing_ctrl_c() -> Iterator[threading.Event]:
    """Let Ctrl-C set an event, and raise nothing: in the middle of a mailbox's lock, it would leave that locked."""
    interrupted = threading.Event()
    before = signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def simulated() -> Iterator[compat.blocking.Plugin]:
    """A plugin whose exchange is simulated, on a thread."""
    path = demo.plugin_path("legacy")
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(demo.Exchange(rate=5_000)) as exchange,
        compat.blocking.open_plugin(path, rewrite=exchange.rewrites, allow_private=True) as plugin,
    ):
        yield plugin


def reader_has_gone() -> None:
    """Let what is still to be printed go nowhere: into the closed pipe it would be an error at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(count: str = "500") -> int:
    """Run it. Returns the exit code."""
    if not count.isdecimal() or int(count) < 1:
        print(f"COUNT is a number from 1 on, and {count!r} is none", file=sys.stderr)
        return 2
    actor = Average.start()
    try:
        with (
            simulated() as plugin,
            plugin.stream("ohlcv:simex:BTC-USDT?timeframe=1m") as stream,
            hearing_ctrl_c() as interrupted,
        ):
            feed(stream, actor, int(count), interrupted)
            if interrupted.is_set():
                return 130
    except BrokenPipeError:  # as in: actor_pykka.py | head -1
        reader_has_gone()
    except (compat.CompatError, pykka.ActorDeadError, pykka.Timeout) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        actor.stop()  # after what is in its mailbox
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
