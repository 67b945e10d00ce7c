"""Candles of a plugin, without asyncio.

usage: python examples/script.py [PLUGIN KEY] [--count N] [--rewrite FROM=TO]... [--allow-private]

Without a plugin, it is the built-in one for the built-in simulator of an exchange.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from anyio.from_thread import start_blocking_portal

import compat
import compat.blocking
from compat import demo

KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"


def print_candles(plugin: compat.blocking.Plugin, key: str, count: int) -> None:
    """Print the next candles of a stream, and how many items may be missing among them."""
    with plugin.stream(key) as stream:
        for item in stream:
            candle = item.candle()
            if candle is None:  # not every stream is one of candles
                print(item.data.decode(errors="replace"), flush=True)
            else:
                opened = time.strftime("%Y-%m-%d %H:%M", time.gmtime(candle.opened // 10**9))
                print(f"{opened}  {candle.low} to {candle.high}, closed at {candle.close}", flush=True)
            if item.sequence + 1 == count:
                break
        if stream.stats.gaps:
            print(f"{stream.stats.gaps} interruptions: items may be missing", file=sys.stderr)


def pair(text: str) -> tuple[str, str]:
    """Read FROM=TO."""
    prefix, _, target = text.partition("=")
    if "://" not in prefix or "://" not in target:
        raise argparse.ArgumentTypeError("it is not of the form FROM=TO with two URL prefixes")
    return prefix, target


def positive(text: str) -> int:
    """Read a number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("it is no number from 1 on")
    return int(text)


def reader_has_gone() -> None:
    """Let what is still to be printed go nowhere: into the closed pipe it would be an error at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def simulated() -> Iterator[tuple[Path, dict[str, str]]]:
    """A plugin, and where to find its exchange, which runs on a thread as long as the context lasts."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(demo.Exchange(rate=10)) as exchange:
        yield demo.plugin_path("generic"), exchange.rewrites


def main() -> int:
    """Run it. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Print the candles of a plugin.")
    parser.add_argument("plugin", nargs="?", metavar="PLUGIN", help="a .wasm file")
    parser.add_argument("key", nargs="?", metavar="KEY", default=KEY, help=f"what to stream, like {KEY}")
    parser.add_argument("--count", type=positive, default=10, help="how many (10)")
    parser.add_argument("--rewrite", type=pair, action="append", default=[], metavar="FROM=TO", help="redirect a URL")
    parser.add_argument("--allow-private", action="store_true", help="loopback and private addresses may be reached")
    options = parser.parse_args()
    try:
        with ExitStack() as stack:
            source, rewrite, allow = options.plugin, dict(options.rewrite), options.allow_private
            if source is None:
                source, rewrite, allow = *stack.enter_context(simulated()), True
            opened = compat.blocking.open_plugin(source, rewrite=rewrite, allow_private=allow)
            print_candles(stack.enter_context(opened), options.key, options.count)
    except BrokenPipeError:  # as in: script.py | head -1
        reader_has_gone()
    except (compat.CompatError, OSError) as error:  # what happened, and where something helps, what to do
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
