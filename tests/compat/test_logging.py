"""A library says nothing by itself: no output unless logging is configured, and then one logger for each plugin."""

from __future__ import annotations

import asyncio
import sys

import pytest

from compat.demo.exchange import Exchange
from tests.support.plugins import FIXTURES
from tests.support.waiting import until

GOROUTINE = next(fixture for fixture in FIXTURES if fixture.id == "generic-goroutine")  # it logs what it meets

SCRIPT = """
import asyncio, logging, sys, compat
plugin, ws, http, configured = sys.argv[1:]
if configured == "yes":
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(name)s %(levelname)s")
rewrite = {"wss://stream.simex.example": ws, "https://api.simex.example": http}

async def main():
    async with compat.StreamManager() as manager:
        await manager.register("simex", plugin, rewrite=rewrite, allow_private=True)
        async with manager.subscribe("ohlcv:simex:BTC-USDT?timeframe=1m") as subscription:
            async for item in subscription:
                if subscription.stream.stats.gaps:
                    break

asyncio.run(main())
"""


@pytest.mark.parametrize("configured", ["no", "yes"])
async def test_the_library_prints_nothing_and_logs_by_plugin(configured: str) -> None:
    async with Exchange(rate=50) as exchange:
        arguments = ("-c", SCRIPT, GOROUTINE.path, *exchange.rewrites.values(), configured)
        script = await asyncio.create_subprocess_exec(
            sys.executable, *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        await exchange.wait_for_connections(1, timeout=20)
        await until(lambda: exchange.journal.klines > 5, "candles are sent")
        await exchange.drop_all()
        async with asyncio.timeout(20):
            out, err = await script.communicate()
    assert (script.returncode, err) == (0, b"")
    ours = [line for line in out.decode().splitlines() if line.startswith("compat")]
    if configured == "no":
        assert out == b""
    else:
        assert "compat.plugin.simex WARNING" in ours or "compat.plugin.simex ERROR" in ours  # the plugin's own words
        assert "compat.plugin.simex INFO" in ours  # the stream's events
        assert {line.split()[0] for line in ours} == {"compat.plugin.simex"}
