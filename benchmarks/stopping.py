"""How long stopping takes, beside the least that a client of the exchange needs to hang up.

Each row is the median of some rounds in this process, against the plain `websockets` client in the same run: connect,
take one message, close. `promise` is what the documentation says, in seconds. Nothing of this is a test: on a busy
machine everything takes longer.

    python -m benchmarks.stopping [--rounds N]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import wasmtime
from websockets.asyncio.client import connect

import compat
from compat.demo import Exchange, plugin_path

ROOT = Path(__file__).resolve().parent.parent
KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"
PLUGINS = {
    "legacy": plugin_path("legacy"),
    "generic, blocking": plugin_path("generic"),
    "generic, parked": ROOT / "fixtures" / "plugins" / "generic-goroutine" / "plugin.wasm",
    "generic, sleeping": ROOT / "fixtures" / "plugins" / "generic-sleeping" / "plugin.wasm",
    "generic, Zig": ROOT / "fixtures" / "zig" / "generic-blocking" / "plugin.wasm",
}
DEADLINE = 0.3  # seconds
LOOPS = ROOT / "fixtures" / "wat" / "loops.wat"

Measure = Callable[[], Awaitable[float]]


async def timed(work: Awaitable[object]) -> float:
    """Return the seconds that something takes."""
    begun = time.perf_counter()
    await work
    return time.perf_counter() - begun


async def plain_client(exchange: Exchange) -> float:
    """The `websockets` library alone."""
    client = await connect(f"{exchange.ws_url}/ws")
    await client.send('{"op":"subscribe","channel":"kline","symbol":"BTC-USDT","interval":"1m"}')
    await client.recv()
    return await timed(client.close())


@contextlib.asynccontextmanager
async def streaming(exchange: Exchange, path: Path) -> AsyncIterator[tuple[compat.Plugin, compat.Stream]]:
    """A plugin and a stream of it that has delivered."""
    async with (
        compat.open_plugin(path, rewrite=exchange.rewrites, allow_private=True) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await anext(stream)
        yield plugin, stream


async def close_stream(exchange: Exchange, path: Path) -> float:
    """``stream.aclose()`` while the exchange sends."""
    async with streaming(exchange, path) as (_, stream):
        return await timed(stream.aclose())


async def close_plugin(exchange: Exchange, path: Path) -> float:
    """``plugin.aclose()`` with a stream open."""
    async with streaming(exchange, path) as (plugin, _):
        return await timed(plugin.aclose())


async def close_looping() -> float:
    """``stream.aclose()`` of a guest that loops and never calls the host."""
    looping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def observe(crossing: compat.Crossing) -> None:
        if crossing.name == "start_stream":
            loop.call_soon_threadsafe(looping.set)

    settings = compat.AdapterSettings(observer=observe)
    wasm = bytes(wasmtime.wat2wasm(LOOPS.read_text()))
    async with compat.open_plugin(wasm, settings=settings) as plugin, plugin.stream(KEY) as stream:
        await looping.wait()
        return await timed(stream.aclose())


async def close_in_a_flood(exchange: Exchange, path: Path) -> float:
    """``stream.aclose()`` while the exchange sends as fast as it can, and so answers no close frame."""
    async with streaming(exchange, path) as (_, stream):
        exchange.flood(100_000)
        return await timed(stream.aclose())


async def miss_a_deadline() -> float:
    """From the deadline of a call to its error, for a guest that loops."""
    async with compat.open_plugin(bytes(wasmtime.wat2wasm(LOOPS.read_text()))) as plugin:
        begun = time.perf_counter()
        with contextlib.suppress(compat.PluginTimeoutError):
            await plugin.call("start_stream", timeout=DEADLINE)
        return time.perf_counter() - begun - DEADLINE


async def interrupt(exchange: Exchange) -> float:
    """Ctrl-C of ``plugin-compat run`` in the middle of its output, to the end of the process."""
    rewrites = [f"--rewrite={old}={new}" for old, new in exchange.rewrites.items()]
    command = [
        sys.executable,
        "-m",
        "compat",
        "run",
        str(PLUGINS["generic, blocking"]),
        KEY,
        "--allow-private",
        *rewrites,
    ]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    return await timed(process.communicate())


async def median(measure: Measure, rounds: int) -> float:
    """The median of some rounds, after one that is not counted."""
    await measure()
    return statistics.median([await measure() for _ in range(rounds)])


async def main(rounds: int) -> None:
    """Measure each and print a table."""
    async with Exchange(rate=100) as exchange:
        rows: list[tuple[str, str, Measure]] = [("plain websockets client", "", lambda: plain_client(exchange))]
        for name, path in PLUGINS.items():
            rows.append((f"stream of {name}", "2", lambda path=path: close_stream(exchange, path)))  # type: ignore[misc]
            rows.append((f"plugin, {name}", "2", lambda path=path: close_plugin(exchange, path)))  # type: ignore[misc]
        rows.append(("guest that loops", "2", close_looping))
        rows.append(("call past its deadline", "", miss_a_deadline))
        for kind in ("legacy", "generic, blocking"):
            path = PLUGINS[kind]
            rows.append((f"{kind}, in a flood", "2", lambda path=path: close_in_a_flood(exchange, path)))  # type: ignore[misc]
        rows.append(("Ctrl-C of run", "2", lambda: interrupt(exchange)))
        print(f"{'what is stopped':<32} {'ms':>8} {'x plain':>8} {'promise':>8}")
        least = 0.0
        for name, promise, measure in rows:
            seconds = await median(measure, rounds)
            least = least or seconds
            print(f"{name:<32} {seconds * 1_000:>8.1f} {seconds / least:>8.1f} {promise:>8}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    asyncio.run(main(parser.parse_args().rounds))
