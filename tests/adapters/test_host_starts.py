"""Guests that are made together: the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters import host
from adapters.runtime.guest import Guest
from compat import Plugin
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.hosts import CONNECT, INFO, RECEIVE, module
from tests.support.plugins import candle_key
from tests.support.sockets import Connector
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("nothing_left")

KEY = candle_key()


async def test_guests_that_are_made_together_start_one_in_a_turn_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    turn, started = 0, []

    class Noted(Guest):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            started.append(turn)
            super().__init__(*arguments, **named)

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def run(plugin: Plugin) -> None:
        async with plugin.stream(KEY):
            await until(lambda: connector.open == 5, "all streams run")

    connector = Connector()
    wasm = module(plugin_info=Answer(INFO), start_stream=Answer({"success": True}, calls=[CONNECT, RECEIVE]))
    async with open_module(wasm, connector) as plugin:
        await plugin.info()
        monkeypatch.setattr(host, "Guest", Noted)
        counting = asyncio.create_task(count())
        await asyncio.gather(*(run(plugin) for _ in range(5)))
        counting.cancel()
    assert len(set(started)) == len(started) == 5
