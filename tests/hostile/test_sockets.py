"""Hostile plugins on real WebSockets: what the other end sees of them, and that nothing stays open."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from compat import Crossing, Direction, PluginError, open_plugin
from compat.demo.exchange import Exchange
from tests.hostile.guests import CHURN, DEEP, KEY, LOOP, TRAP, URL, again, call, exits, generic, legacy
from tests.hostile.neighbours import neighbourhood, patient
from tests.hostile.rows import hasty
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    from compat import Stream
    from tests.hostile.neighbours import Neighbours

pytestmark = pytest.mark.usefixtures("all_given_back")

_CONNECT = call("ws_connect", {"url": URL})

#: Plugins that break with a connection open, at the first message of the exchange or before.
BREAKING = {
    "generic: traps": generic(connected=TRAP),
    "generic: exits": generic(connected=exits(0)),
    "generic: recurses for ever": generic(connected=DEEP),
    "generic: fails with many open": generic(connected=_CONNECT * 7 + TRAP),
    "legacy: traps": legacy(message=TRAP),
    "legacy: loops": legacy(message=LOOP),
}


@contextlib.asynccontextmanager
async def streaming(wasm: bytes, crossed: Counter[str]) -> AsyncIterator[tuple[Neighbours, Exchange, Stream]]:
    """A stream of a hostile plugin beside its neighbours, against an exchange that pings all who connect.

    Afterwards no connection is open there.
    """

    def observe(crossing: Crossing) -> None:
        if crossing.direction is Direction.HOST_CALL:
            crossed[crossing.name] += 1

    settings = patient(observer=observe, bounds=hasty(message_timeout=0.2))
    async with (
        neighbourhood() as neighbours,
        Exchange(ping_interval=0.02) as exchange,
    ):
        neighbours.work = crossed.total
        rewrite = {"wss://hostile.example": exchange.ws_url}
        opening = open_plugin(wasm, name="hostile", rewrite=rewrite, allow_private=True, settings=settings)
        async with opening as plugin, plugin.stream(KEY) as stream:
            yield neighbours, exchange, stream
            await neighbours.exchange(20)
        await until(lambda: exchange.connections == 0, "the exchange sees all connections closed")


@pytest.mark.parametrize("wasm", BREAKING.values(), ids=BREAKING)
async def test_a_plugin_that_breaks_leaves_no_connection_behind(wasm: bytes) -> None:
    async with streaming(wasm, Counter()) as (neighbours, exchange, stream):
        await neighbours.exchange(20)
        async with asyncio.timeout(HANG):
            with pytest.raises(PluginError, match="'hostile'"):
                await anext(stream)
        await until(lambda: exchange.connections == 0, "the exchange sees its connections closed")
        assert exchange.journal.connections


async def test_one_that_connects_without_end_has_sixteen_connections() -> None:
    crossed: Counter[str] = Counter()
    async with streaming(generic(connected=again(_CONNECT)), crossed) as (neighbours, exchange, _):
        await until(lambda: crossed["ws_connect"] >= 50, "it asks for more than it gets")
        await neighbours.exchange(20)
        assert exchange.connections == len(exchange.journal.connections) == 16


async def test_one_that_connects_and_closes_without_end_keeps_none() -> None:
    crossed: Counter[str] = Counter()
    async with streaming(generic(start_stream=CHURN), crossed) as (neighbours, exchange, _):
        await until(lambda: len(exchange.journal.connections) >= 10, "it has connected often")
        await neighbours.exchange(20)
        # One that is closed counts until the exchange has seen it.
        await until(lambda: exchange.connections <= 1, "all but one of them are closed")
