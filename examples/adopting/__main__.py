"""The owner's program: ten ticks through either manager, against the built-in simulator.

usage: python -m examples.adopting before|after [legacy|generic]
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time

import extism

import compat
from compat import demo
from examples.adopting import after, before
from examples.adopting.owner import CompanyConnector, Manager, Market, Tick

TICKS = 10


async def run(which: str, kind: str) -> None:
    """Print so many ticks."""
    market = Market(kind, "BTC-USDT", "1m")
    ticks: asyncio.Queue[Tick] = asyncio.Queue()
    logger = logging.getLogger("company")
    async with demo.Exchange(rate=10) as exchange:
        connector = CompanyConnector(routes=exchange.rewrites)
        sink, clock = ticks.put_nowait, time.time_ns
        manager: Manager
        if which == "before":
            manager = before.StreamManager(connector=connector, sink=sink, clock=clock, logger=logger)
        else:  # the simulator is on loopback, and its host name exists for our connector only
            settings = compat.AdapterSettings(policy=compat.NetworkPolicy(allow_private=True))
            manager = after.StreamManager(connector=connector, sink=sink, clock=clock, logger=logger, settings=settings)
        try:
            await manager.load(market.source, demo.plugin_path(kind).read_bytes())
            manager.start(market)
            for _ in range(TICKS):
                tick = await ticks.get()
                print(*tick.market, time.strftime("%H:%M", time.gmtime(tick.opened)), tick.close, flush=True)
        finally:
            await manager.aclose()


def main(which: str = "", kind: str = "legacy") -> int:
    """Run it. Returns the exit code."""
    if which not in {"before", "after"} or kind not in {"legacy", "generic"}:
        print(__doc__, file=sys.stderr)
        return 2
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("company").setLevel(logging.INFO)
    try:
        asyncio.run(run(which, kind))
    except BrokenPipeError:  # whoever read has seen enough; what is still to be printed goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (compat.CompatError, extism.Error) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
