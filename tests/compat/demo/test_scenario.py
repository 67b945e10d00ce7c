"""Scripts: that they happen exactly when they should, and what a client sees of them."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from compat.demo.exchange import Exchange
from compat.demo.scenario import (
    Action,
    After,
    Close,
    Drop,
    Flood,
    Garbage,
    Gate,
    Reject,
    Scenario,
    Silence,
    Step,
)
from detectors.errors import UsageError
from tests.support.waiting import HANG

SUBSCRIBE = '{"op":"subscribe","channel":"kline","symbol":"BTC-USDT","interval":"1m"}'
SUBSCRIBE_TOO = '{"op":"subscribe","channel":"kline","symbol":"ETH-USDT","interval":"1m"}'


def dial(exchange: Exchange) -> connect:
    # Without a limit to its queue a client reads on while it closes, and so hears the answer.
    return connect(f"{exchange.ws_url}/ws", compression=None, max_queue=None, close_timeout=HANG)


def script(*steps: tuple[After, Action]) -> Scenario:
    return Scenario(tuple(Step(after, action) for after, action in steps))


async def hear(socket: ClientConnection) -> str:
    async with asyncio.timeout(HANG):
        text = await socket.recv()
        assert isinstance(text, str)
        return text


async def hear_klines(socket: ClientConnection, count: int) -> list[Any]:
    """So many candles, without the confirmations between them."""
    klines: list[Any] = []
    while len(klines) < count:
        item = json.loads(await hear(socket))
        if item["event"] == "kline":
            klines.append(item)
    return klines


async def hear_out(socket: ClientConnection) -> None:
    while True:
        await hear(socket)


def numbers(exchange: Exchange, connection: int) -> list[int]:
    return exchange.journal.connections[connection].klines.numbers("BTC-USDT", "1m")


@pytest.mark.parametrize("after", [{}, {"candles": 1, "seconds": 1.0}])
def test_a_step_waits_for_candles_or_for_seconds(after: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="candles or for seconds"):
        After(**after)


@pytest.mark.parametrize("after", [{"candles": 0}, {"seconds": -1.0}])
def test_a_step_cannot_lie_in_the_past(after: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be >="):
        After(**after)


async def test_a_gate_shuts_behind_an_exact_candle_and_opens_again() -> None:
    gate = Gate()
    gate.count()
    shut = asyncio.create_task(gate.shut_after(2))
    await asyncio.sleep(0)
    states = []
    for _ in range(2):
        gate.count()
        states.append(gate.is_open)
    assert states == [True, False]
    async with asyncio.timeout(HANG):
        await shut
        gate.open()
        await gate.wait_open()


async def test_a_drop_comes_without_a_close_frame_after_exactly_so_many_candles() -> None:
    scenario = script((After(candles=500), Drop()), (After(candles=100), Drop()))
    async with Exchange(mode="replay", rate=math.inf, scenario=scenario) as exchange:
        for connection, count in enumerate((500, 100)):
            async with dial(exchange) as socket:
                await socket.send(SUBSCRIBE)
                with pytest.raises(ConnectionClosed):
                    await hear_out(socket)
                assert socket.close_code == 1006
            assert numbers(exchange, connection) == list(range(count))


async def test_candles_are_counted_over_all_markets() -> None:
    scenario = script((After(candles=300), Close(1012, "restart")))
    async with (
        Exchange(mode="replay", rate=math.inf, scenario=scenario, close_timeout=HANG) as exchange,
        dial(exchange) as socket,
    ):
        await socket.send(SUBSCRIBE)
        await socket.send(SUBSCRIBE_TOO)
        assert len(await hear_klines(socket, 300)) == 300
        with pytest.raises(ConnectionClosed):
            await hear(socket)
        assert (socket.close_code, socket.close_reason) == (1012, "restart")
        assert exchange.journal.klines == 300


async def test_garbage_comes_between_two_candles_and_costs_none() -> None:
    scenario = script((After(candles=3), Garbage("\x00{")))
    async with Exchange(mode="replay", rate=math.inf, limit=6, scenario=scenario) as exchange, dial(exchange) as socket:
        await socket.send(SUBSCRIBE)
        heard = [await hear(socket) for _ in range(8)]
        assert heard.index("\x00{") == 4
        assert numbers(exchange, 0) == list(range(6))


async def test_a_silent_replay_goes_on_where_it_stopped() -> None:
    scenario = script((After(candles=5), Silence(seconds=0.1)))
    async with Exchange(mode="replay", rate=1_000, limit=10, scenario=scenario) as exchange, dial(exchange) as socket:
        await socket.send(SUBSCRIBE)
        await hear_klines(socket, 10)
        assert numbers(exchange, 0) == list(range(10))
        last, next_ = (exchange.journal.connections[0].klines.sent_at("BTC-USDT", "1m", n) for n in (4, 5))
        assert last is not None
        assert next_ is not None
        assert next_ - last >= 0.1


async def test_a_silent_live_market_moves_on() -> None:
    scenario = script((After(candles=5), Silence(seconds=0.1)))
    async with Exchange(rate=200, scenario=scenario) as exchange, dial(exchange) as socket:
        await socket.send(SUBSCRIBE)
        klines = await hear_klines(socket, 15)
        gaps = [(after["t"] - before["t"]) // 60 for before, after in itertools.pairwise(klines)]
        assert [gap for gap in gaps[:4] + gaps[5:] if gap != 1] == []
        assert gaps[4] > 5


@pytest.mark.parametrize("mode", ["live", "replay"])
async def test_a_flood_comes_ahead_of_its_time_and_loses_nothing(mode: Any) -> None:
    scenario = script((After(candles=1), Flood(1_000)))
    # By themselves they would take minutes.
    async with Exchange(mode=mode, rate=5, scenario=scenario) as exchange, dial(exchange) as socket:
        await socket.send(SUBSCRIBE)
        await hear_klines(socket, 1_001)
        sent = numbers(exchange, 0)
        assert sent == list(range(sent[0], sent[0] + len(sent)))


async def test_connections_are_rejected_so_many_times() -> None:
    scenario = script((After(seconds=0), Reject(2)), (After(candles=1), Reject(1, 429, 30)), (After(seconds=0), Drop()))
    async with Exchange(mode="replay", scenario=scenario) as exchange:
        await asyncio.sleep(0)
        for _ in range(2):
            with pytest.raises(InvalidStatus, match="503") as caught:
                await dial(exchange)
            assert "Retry-After" not in caught.value.response.headers
        async with dial(exchange) as socket:
            await socket.send(SUBSCRIBE)
            with pytest.raises(ConnectionClosed):
                await hear_out(socket)
        with pytest.raises(InvalidStatus, match="429") as caught:
            await dial(exchange)
        assert caught.value.response.headers["Retry-After"] == "30"
        async with dial(exchange):
            assert [request.status for request in exchange.journal.requests] == [503, 503, 429]
