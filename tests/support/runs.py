"""``plugin-compat run`` against the simulated exchange, and what is read of what it prints."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from compat.demo.exchange import Exchange
from tests.support.plugins import PluginFixture, candle_key
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command, Outcome

__all__ = ["KEY", "Event", "events", "redirected", "run", "told"]

KEY = str(candle_key())


def redirected(exchange: Exchange) -> list[str]:
    return [part for source, target in exchange.rewrites.items() for part in ("--rewrite", f"{source}={target}")]


async def run(
    command: Command, exchange: Exchange, fixture: PluginFixture, *options: object, key: str = KEY
) -> Outcome:
    """Run in a thread, while the exchange trades on the loop."""
    arguments = ("run", fixture.path, key, *redirected(exchange), *options)
    async with asyncio.timeout(HANG):
        return await asyncio.to_thread(command, *arguments)


def told(err: str) -> list[str]:
    """What is told on stderr, without the time of day that each line begins with."""
    lines = [line.partition(" ") for line in err.splitlines() if line.strip()]
    assert all(datetime.strptime(time, "%H:%M:%S") for time, _, _ in lines)  # noqa: DTZ007 - a time of day
    return [what for _, _, what in lines]


class Event(msgspec.Struct, forbid_unknown_fields=True):
    """An event of ndjson: exactly these fields."""

    event: str
    sequence: int
    timestamp: int
    message: str
    state: str = ""
    lost: int | None = None
    items: int | None = None
    gaps: int | None = None


def events(err: str) -> list[Event]:
    return [msgspec.json.decode(line, type=Event) for line in err.splitlines() if line]  # on Ctrl-C an empty one
