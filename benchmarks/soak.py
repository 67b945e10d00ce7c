"""Streams of both kinds on an exchange that misbehaves for hours, and whether they always told the truth.

Every few seconds something goes wrong at random: connections are dropped or closed, callers are turned away, the
exchange talks nonsense or floods. A line is printed every so often; in the end every stream must have
delivered rising candles with a gap told wherever one is missing, and nothing may have grown. Exits with 1 if not.

    python -m benchmarks.soak [--seconds N] [--streams N] [--seed N] [--every SECONDS]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs

import compat
from benchmarks.feed import resident_mib
from compat.demo import Exchange, plugin_path
from compat.demo.audit import Audit, number_of

KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"
KINDS = ("legacy", "generic")
IDLE_LIMIT = 4.0  # seconds
SETTLING = 30.0  # seconds: what is still growing then is growing
RECOVERY = 12.0  # seconds, six times the longest wait before an attempt
GROWTH = 1.25  # of memory, that is no leak yet: buffers fill in floods
SPREAD = 30  # threads and files that come and go with connections


class Soaked:
    """One stream, read for as long as it lives."""

    def __init__(self, stream: compat.Stream) -> None:
        self.stream = stream
        self.audit = Audit()
        self.broken: Exception | None = None

    async def read(self) -> None:
        """Read to the end."""
        try:
            async for item in self.stream:
                candle = item.candle()
                if candle is not None:
                    self.audit.note_item(item.sequence, number_of(candle.opened // 10**9, "1m"))
        except compat.CompatError as error:
            self.broken = error

    async def listen(self) -> None:
        """Hear of every gap."""
        async for event in self.stream.events():
            if event.kind is compat.EventKind.GAP:
                self.audit.note_gaps(event.places)


class Mishaps:
    """What goes wrong, by name."""

    def __init__(self, exchange: Exchange, seed: int) -> None:
        self._exchange = exchange
        self._random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self._all: dict[str, Callable[[], Awaitable[None]]] = {
            "drop": exchange.drop_all,
            "close": exchange.close_all,
            "garbage": lambda: exchange.broadcast("<html>502 Bad Gateway</html>"),
            "flood": self._flood,
            "reject": self._reject,
        }

    async def go_on(self) -> None:
        """One after the other, for ever."""
        while True:
            await asyncio.sleep(self._random.uniform(0.5, 5))
            name = self._random.choice(list(self._all))
            self.counts[name] += 1
            await self._all[name]()

    async def _flood(self) -> None:
        self._exchange.flood(self._random.randint(100, 5_000))

    async def _reject(self) -> None:
        self._exchange.reject(self._random.randint(1, 40), self._random.choice((429, 500, 503)))
        await self._exchange.drop_all()


def open_files() -> int:
    """How many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@attrs.frozen
class Holdings:
    """What this process holds."""

    memory: float  # MiB
    threads: int
    files: int

    @classmethod
    def now(cls) -> Holdings:
        """At this moment."""
        gc.collect()
        return cls(resident_mib(), threading.active_count(), open_files())

    def grown_since(self, before: Holdings) -> list[str]:
        """What is more than it may be, after ``before``."""
        limits = (before.memory * GROWTH, before.threads + SPREAD, before.files + SPREAD)
        found = zip(("MiB", "threads", "files"), attrs.astuple(self), attrs.astuple(before), limits, strict=True)
        return [f"{now:.0f} {what}, {was:.0f} before" for what, now, was, limit in found if now > limit]

    def __str__(self) -> str:
        return f"{self.memory:.0f} MiB, {self.threads} threads, {self.files} files"


def line(begun: float, soaked: list[Soaked], exchange: Exchange) -> str:
    """What it has come to."""
    stats, audits = [each.stream.stats for each in soaked], [each.audit for each in soaked]
    states = Counter(str(each.stream.state) for each in soaked)
    parts = (
        f"{time.monotonic() - begun:7.0f} s",
        f"{sum(one.received for one in stats):>10,} items",
        f"{sum(one.missing for one in audits):>9,} missing in {sum(one.holes for one in audits):>6,} gaps",
        f"{sum(one.reconnects for one in stats):>6,} reconnects",
        f"{sum(one.restarts for one in stats):>6,} restarts",
        f"{resident_mib():7.1f} MiB",
        f"{threading.active_count():>3} threads",
        f"{open_files():>3} files",
        f"{exchange.connections:>3} connected",
        ", ".join(f"{count} {state}" for state, count in states.items()),
    )
    return "  ".join(parts)


async def soak(seconds: float, streams: int, seed: int, every: float) -> int:
    """Run it. Returns the exit code."""
    print(f"{streams} streams of two kinds; missing is what the exchange says while they are away")
    begun = time.monotonic()
    settled: Holdings | None = None
    backoff = compat.Backoff(first=0.1, highest=2.0, healthy_after=5.0)
    settings = compat.AdapterSettings(backoff=backoff, idle_limit=IDLE_LIMIT)
    async with Exchange(seed=seed, rate=20) as exchange, contextlib.AsyncExitStack() as stack:
        plugins = [
            await stack.enter_async_context(
                compat.open_plugin(plugin_path(kind), rewrite=exchange.rewrites, allow_private=True, settings=settings)
            )
            for kind in KINDS
        ]
        opened = [plugins[number % len(plugins)].stream(KEY) for number in range(streams)]
        soaked = [Soaked(await stack.enter_async_context(stream)) for stream in opened]
        tasks = [asyncio.create_task(work()) for each in soaked for work in (each.read, each.listen)]
        mishaps = Mishaps(exchange, seed)
        misbehaving = asyncio.create_task(mishaps.go_on())
        while (left := seconds - (time.monotonic() - begun)) > 0:
            await asyncio.sleep(min(left, every))
            print(line(begun, soaked, exchange), flush=True)
            if settled is None and time.monotonic() - begun > SETTLING:
                settled = Holdings.now()
        misbehaving.cancel()
        exchange.reject(0)
        await asyncio.sleep(RECOVERY)
        before = [each.audit.delivered for each in soaked]
        await asyncio.sleep(1)
        print(line(begun, soaked, exchange), flush=True)
        ended = Holdings.now()
        silent = sum(each.audit.delivered == count for each, count in zip(soaked, before, strict=True))
    await asyncio.gather(*tasks)
    print("went wrong at the exchange:", ", ".join(f"{name} {count}" for name, count in sorted(mishaps.counts.items())))
    checks = (
        ("each gap was told; nothing came twice", [problem for each in soaked for problem in each.audit.problems]),
        ("no stream broke", [str(each.broken) for each in soaked if each.broken is not None]),
        (f"{RECOVERY:.0f} s after the last mishap all deliver", [f"{silent} do not"] if silent else []),
        (f"nothing grew: {ended}", ended.grown_since(settled) if settled else [f"too short: give it {SETTLING:.0f} s"]),
        ("no guest lingers", [f"{count} do" for count in [compat.lingering_guests()] if count]),
    )
    for claim, problems in checks:
        print("\n           ".join([f"{'FAILED' if problems else 'passed':<10} {claim}", *problems[:5]]))
    return 1 if any(problems for _, problems in checks) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3_600)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, default=60.0, help="Seconds between two lines.")
    options = parser.parse_args()
    sys.exit(asyncio.run(soak(options.seconds, options.streams, options.seed, options.every)))
