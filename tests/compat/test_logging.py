"""A library says nothing by itself: no output unless logging is configured, and then one logger for each plugin."""

from __future__ import annotations

import asyncio

from compat.demo.exchange import Exchange
from tests.support.plugins import FIXTURES
from tests.support.processes import end_of, lines_until, running
from tests.support.waiting import until

GOROUTINE = next(fixture for fixture in FIXTURES if fixture.id == "generic-goroutine")  # it logs what it meets

SCRIPT = """
import asyncio, logging, sys, compat
plugin, ws, http = sys.argv[1:]
rewrite = {"wss://stream.simex.example": ws, "https://api.simex.example": http}
settings = compat.AdapterSettings(
    backoff=compat.Backoff(first=0.05, highest=0.2), progress=compat.Progress(dead_answers=2)
)

async def follow():
    async with compat.StreamManager() as manager:
        await manager.register("simex", plugin, rewrite=rewrite, allow_private=True, settings=settings)
        async with manager.subscribe("ohlcv:simex:BTC-USDT?timeframe=1m") as subscription:
            async for item in subscription:
                if subscription.stream.stats.gaps:
                    break

asyncio.run(follow())
print("now it is configured", flush=True)
sys.stdin.readline()
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
asyncio.run(follow())
"""


async def test_the_library_prints_nothing_and_logs_by_plugin() -> None:
    async with Exchange(rate=50) as exchange:
        arguments = ("-c", SCRIPT, GOROUTINE.path, *exchange.rewrites.values())
        async with running(*arguments, stdin=asyncio.subprocess.PIPE) as script:
            await lose_connection(exchange)
            assert await lines_until(script.stdout, "") == ["now it is configured"]
            await until(lambda: not exchange.connections, "it has left")
            assert script.stdin is not None
            script.stdin.write(b"\n")
            await lose_connection(exchange)
            end = await end_of(script)
    assert (end.code, end.err) == (0, "")
    ours = [line for line in end.out.decode().splitlines() if line.startswith("compat")]
    assert {line.split()[0] for line in ours} == {"compat.plugin.simex"}
    told = [line.removeprefix("compat.plugin.simex ") for line in ours]
    assert any(line.startswith("WARNING receive failed: ") for line in told)  # the plugin's own words
    gap = "INFO stream ohlcv:simex:BTC-USDT?timeframe=1m, item "
    assert [line for line in told if line.startswith(gap) and ": gap: " in line]  # the stream's events


async def lose_connection(exchange: Exchange) -> None:
    """Cut the next connection once candles have been sent over it."""
    known = exchange.journal.klines
    await until(lambda: exchange.journal.klines > known + 3, "candles are sent")
    await exchange.drop_all()
