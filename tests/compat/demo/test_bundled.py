"""What comes with the package to try things on."""

from __future__ import annotations

import asyncio

import pytest

import compat.demo
from compat import PluginKind, UsageError, inspect, open_plugin
from tests.support.waiting import HANG


def test_there_is_a_plugin_of_each_kind() -> None:
    kinds = [inspect(compat.demo.plugin_path(kind)).kind for kind in ("legacy", "generic")]
    assert kinds == [PluginKind.LEGACY, PluginKind.GENERIC]


def test_a_kind_of_which_there_is_none_is_told_with_those_that_there_are() -> None:
    with pytest.raises(UsageError, match=r"'polled' comes with the package\. There are legacy, generic"):
        compat.demo.plugin_path("polled")


@pytest.mark.parametrize("kind", ["legacy", "generic"])
async def test_the_exchange_says_how_its_plugins_are_led_to_it(kind: str) -> None:
    async with (
        compat.demo.Exchange(rate=50) as exchange,
        open_plugin(
            compat.demo.plugin_path(kind),
            rewrite=exchange.rewrites,
            allow_private=True,
        ) as plugin,
        plugin.stream("ohlcv:simex:BTC-USDT?timeframe=1m") as stream,
        asyncio.timeout(HANG),
    ):
        candle = (await anext(stream)).candle()
        assert candle is not None
        assert candle.low <= candle.open <= candle.high
