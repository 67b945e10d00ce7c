"""The demo's plot: reading both spellings of a candle, and a verdict that can go against it."""

from __future__ import annotations

import gc
import re
from decimal import Decimal

import attrs
import pytest

from compat import PluginKind, StreamData, StreamKey, StreamRejectedError, inspect
from compat.demo import comparison
from compat.demo.comparison import Ohlcv, compare, plugin_bytes, read_candle

KEY = StreamKey("ohlcv", "simex", "BTC-USDT")
PRICES = tuple(map(Decimal, ("1.10", "2", "0.5", "1.30", "9")))


def item(data: str) -> StreamData:
    return StreamData(KEY, 0, "ohlcv", data.encode(), 0)


@pytest.mark.parametrize(
    "data",
    [
        '{"timestamp":1735689600,"open":1.10,"high":2,"low":0.5,"close":1.30,"volume":9}',
        '{"openTime":1735689600,"open":"1.10","high":"2","low":"0.5","close":"1.30","volume":"9"}',
        '{"timestamp":"2025-01-01T00:00:00Z","open":"1.10","high":"2","low":"0.5","close":"1.30","volume":"9"}',
    ],
    ids=["callback", "command", "generic"],
)
def test_every_spelling_of_a_candle_is_read_as_the_same(data: str) -> None:
    assert read_candle(item(data)) == Ohlcv(1_735_689_600 * 10**9, PRICES)


def test_prices_are_read_to_the_last_digit() -> None:
    one, other = (
        read_candle(item(f'{{"timestamp":1,"open":{price},"high":2,"low":0.5,"close":1.30,"volume":9}}'))
        for price in ("0.1000000000000000055", "0.1000000000000000056")
    )
    assert one != other


def test_both_demo_plugins_are_shipped() -> None:
    kinds = [inspect(plugin_bytes(kind)).kind for kind in ("legacy", "generic")]
    assert kinds == [PluginKind.LEGACY, PluginKind.GENERIC]


async def test_both_plugins_deliver_the_same_candles() -> None:
    told: list[str] = []
    assert await compare(2, 7, told.append)
    assert re.match(r"result +[2-9] candles the same from both plugins", told[-1])
    assert not any(line.startswith("different") for line in told)


async def test_a_difference_in_one_price_is_found_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_with_a_difference(item: StreamData) -> Ohlcv:
        candle = read_candle(item)
        if item.key.source == "legacy":
            return candle
        return attrs.evolve(candle, prices=(*candle.prices[:4], candle.prices[4] + Decimal("0.0001")))

    monkeypatch.setattr(comparison, "read_candle", read_with_a_difference)
    told: list[str] = []
    assert not await compare(1, 7, told.append)
    assert sum(line.startswith("different  legacy: ") for line in told) >= 1
    assert sum(line.startswith("different  generic: ") for line in told) >= 1


async def test_candles_that_only_one_plugin_delivers_are_not_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_another_time(item: StreamData) -> Ohlcv:
        candle = read_candle(item)
        return candle if item.key.source == "legacy" else attrs.evolve(candle, opened=candle.opened + 1)

    monkeypatch.setattr(comparison, "read_candle", read_another_time)
    monkeypatch.setattr(comparison, "_PATIENCE", 0.7)
    told: list[str] = []
    assert not await compare(1, 7, told.append)
    assert told[-1].startswith("result     0 candles in common of 1 wanted, 0 different, in ")


async def test_a_failure_is_raised_even_if_both_plugins_fail_and_nothing_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_with_a_failure(item: StreamData) -> Ohlcv:
        raise StreamRejectedError(item.key.source, str(item.key), "no more")

    monkeypatch.setattr(comparison, "read_candle", read_with_a_failure)
    with pytest.raises(StreamRejectedError, match="no more"):
        await compare(1, 7, lambda _: None)
    gc.collect()  # a task whose exception nobody has looked at complains when it is collected
    assert not [record for record in caplog.records if record.name == "asyncio"]
