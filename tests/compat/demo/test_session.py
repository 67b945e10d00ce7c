"""The protocol as a client meets it, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import time
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from compat.demo import wire
from compat.demo.exchange import Exchange
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

BTC = {"channel": "kline", "symbol": "BTC-USDT", "interval": "1m"}
ETH = {"channel": "kline", "symbol": "ETH-USDT", "interval": "5m"}


@contextlib.asynccontextmanager
async def dial(exchange: Exchange) -> AsyncIterator[ClientConnection]:
    """A client that hangs up in the end: a closing handshake would wait behind candles that it does not read."""
    socket = await connect(f"{exchange.ws_url}/ws", compression=None, close_timeout=HANG)
    try:
        yield socket
    finally:
        socket.transport.abort()
        await socket.wait_closed()


async def tell(socket: ClientConnection, **fields: object) -> None:
    await socket.send(json.dumps(fields))


async def hear(socket: ClientConnection) -> Any:
    async with asyncio.timeout(HANG):
        return json.loads(await socket.recv())


async def hear_klines(socket: ClientConnection, count: int) -> list[Any]:
    return [await hear(socket) for _ in range(count)]


async def subscribe(socket: ClientConnection, market: dict[str, str] = BTC) -> None:
    await tell(socket, op="subscribe", **market)
    assert (await hear(socket))["event"] == "subscribed"


async def hear_out(socket: ClientConnection) -> None:
    while True:
        await hear(socket)


async def closing(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Listen to the end, then tell how it ended."""
    with pytest.raises(ConnectionClosed):
        await hear_out(socket)
    return socket.close_code, socket.close_reason


def expected(exchange: Exchange, numbers: Sequence[int], market: dict[str, str] = BTC) -> list[Any]:
    candle = exchange.market.candle
    return [json.loads(wire.kline(candle(market["symbol"], market["interval"], n))) for n in numbers]


async def test_a_subscription_is_confirmed_with_its_id_before_its_first_candle() -> None:
    async with Exchange(mode="replay", rate=math.inf, limit=1) as exchange, dial(exchange) as socket:
        await tell(socket, op="subscribe", id=7, **BTC)
        assert await hear(socket) == {"event": "subscribed", "id": 7, **BTC}
        assert await hear(socket) == expected(exchange, [0])[0]


async def test_a_replay_starts_at_candle_0_for_every_subscription_and_stops_at_the_limit() -> None:
    async with Exchange(seed=3, mode="replay", rate=math.inf, limit=100) as exchange:
        for _ in range(2):
            async with dial(exchange) as socket:
                await subscribe(socket)
                assert await hear_klines(socket, 100) == expected(exchange, range(100))
                await tell(socket, op="ping", ts=1)
                assert await hear(socket) == {"event": "pong", "ts": 1}


async def test_a_replay_keeps_its_rate() -> None:
    async with Exchange(mode="replay", rate=100) as exchange, dial(exchange) as socket:
        began = time.monotonic()  # before its clock has
        await subscribe(socket)
        assert await hear_klines(socket, 11) == expected(exchange, range(11))
        assert time.monotonic() - began >= 0.1


async def test_live_subscribers_see_the_same_candles_without_gaps() -> None:
    async with Exchange(rate=200, history=10) as exchange, dial(exchange) as first, dial(exchange) as second:
        await subscribe(first)
        mine = await hear_klines(first, 5)
        await subscribe(second)
        theirs = await hear_klines(second, 5)
        mine += await hear_klines(first, 20)
        while theirs[-1] not in mine:  # on a busy machine the second comes late
            mine += await hear_klines(first, 20)
        start = exchange.journal.connections[0].klines.numbers("BTC-USDT", "1m")[0]
        assert start >= 10
        assert mine == expected(exchange, range(start, start + len(mine)))
        assert theirs[0] not in mine[:4]
        assert all(candle in mine for candle in theirs)


async def test_a_live_flood_stands_still_while_nobody_listens_and_goes_on_where_it_was() -> None:
    async with Exchange(rate=math.inf, history=10) as exchange:
        position = 10
        for _ in range(2):
            async with dial(exchange) as socket:
                await subscribe(socket)
                klines = await hear_klines(socket, 500)
                assert klines == expected(exchange, range(position, position + 500))
                socket.transport.abort()
                await exchange.wait_for_disconnect(HANG)
            position = exchange._clocks["BTC-USDT", "1m"].position


async def test_a_live_market_moves_on_while_nobody_listens() -> None:
    async with Exchange(rate=200, history=0) as exchange, dial(exchange) as socket:
        await subscribe(socket)
        before = (await hear(socket))["t"]
        await tell(socket, op="unsubscribe", **BTC)
        while (await hear(socket))["event"] != "unsubscribed":
            pass
        clock = exchange._clocks["BTC-USDT", "1m"]
        await clock.reach(clock.position + 5)
        await subscribe(socket)
        assert (await hear(socket))["t"] - before > 5 * 60


async def test_after_unsubscribing_no_candle_comes_and_the_other_market_goes_on() -> None:
    async with Exchange(mode="replay", rate=500) as exchange, dial(exchange) as socket:
        await subscribe(socket, ETH)
        await tell(socket, op="subscribe", **BTC)
        while (await hear(socket))["symbol"] != "BTC-USDT":
            pass
        await tell(socket, op="unsubscribe", id="u", **BTC)
        while (heard := await hear(socket))["event"] != "unsubscribed":
            pass
        assert heard == {"event": "unsubscribed", "id": "u", **BTC}
        assert {candle["symbol"] for candle in await hear_klines(socket, 20)} == {"ETH-USDT"}


async def test_a_second_subscription_to_a_market_is_confirmed_but_does_not_double_it() -> None:
    async with Exchange(mode="replay", rate=math.inf, limit=50) as exchange, dial(exchange) as socket:
        await subscribe(socket)
        klines = await hear_klines(socket, 50)
        await subscribe(socket)
        await tell(socket, op="ping", ts=0)
        assert (await hear(socket))["event"] == "pong"
        assert klines == expected(exchange, range(50))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ({"op": "subscribe", **BTC, "symbol": "X-Y"}, "unknown_symbol"),
        ({"op": "subscribe", **BTC, "interval": "9m"}, "unknown_interval"),
        ({"op": "subscribe", **BTC, "channel": "trades"}, "bad_request"),
        ({"op": "subscribe", "channel": "kline", "symbol": "BTC-USDT"}, "bad_request"),
        ({"op": "unsubscribe", "channel": "kline", "interval": "1m"}, "bad_request"),
        ({"op": "unsubscribe", **BTC}, "bad_request"),
        ({"op": "dance"}, "bad_request"),
    ],
)
async def test_a_wrong_command_is_refused_with_its_id(text: dict[str, object], code: str) -> None:
    async with Exchange() as exchange, dial(exchange) as socket:
        await tell(socket, **text, id=5)
        refusal = await hear(socket)
        assert refusal.pop("message")
        assert refusal == {"event": "error", "code": code, "id": 5}


@pytest.mark.parametrize("text", ["{", "[]", b"\xff\x00"])
async def test_nonsense_is_refused_and_the_connection_lives_on(text: str | bytes) -> None:
    async with Exchange() as exchange, dial(exchange) as socket:
        await socket.send(text)
        refusal = await hear(socket)
        assert (refusal["event"], refusal["code"]) == ("error", "bad_request")
        await tell(socket, op="ping", ts=9)
        assert await hear(socket) == {"event": "pong", "ts": 9}


async def test_candles_are_padded_to_the_size_asked_for() -> None:
    sizes = {0: 0, 1: 10, 2: 100_000}
    async with (
        Exchange(mode="replay", rate=math.inf, limit=3, pad=sizes.__getitem__) as exchange,
        dial(exchange) as socket,
    ):
        await subscribe(socket)
        assert [len(candle.get("pad", "")) for candle in await hear_klines(socket, 3)] == list(sizes.values())


async def test_a_filler_that_fails_closes_the_connection_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    sizes: dict[int, int] = {}
    async with Exchange(mode="replay", pad=sizes.__getitem__) as exchange, dial(exchange) as socket:
        with caplog.at_level(logging.ERROR):
            await subscribe(socket)
            assert await closing(socket) == (1011, "internal error")
        assert "a feed failed" in caplog.text


async def test_a_client_that_answers_pings_stays() -> None:
    async with Exchange(ping_interval=0.01, pong_deadline=HANG) as exchange, dial(exchange) as socket:
        for _ in range(5):
            ping = await hear(socket)
            assert ping["event"] == "ping"
            await tell(socket, op="pong", ts=ping["ts"])
        assert exchange.connections == 1


async def test_a_client_that_answers_no_ping_is_closed() -> None:
    async with (
        Exchange(ping_interval=0.01, pong_deadline=0.05, close_timeout=HANG) as exchange,
        dial(exchange) as socket,
    ):
        assert await closing(socket) == (1008, "no pong")
        await exchange.wait_for_disconnect(HANG)
        closure = exchange.journal.connections[0].closed
        assert closure is not None
        assert (closure.code, closure.reason) == (1008, "no pong")


async def test_a_client_that_does_not_even_read_is_cut_off() -> None:
    async with (
        Exchange(mode="replay", rate=math.inf, ping_interval=0.01, pong_deadline=0.05, close_timeout=0.05) as exchange,
        dial(exchange) as socket,
    ):
        socket.transport.pause_reading()
        await tell(socket, op="subscribe", **BTC)
        await exchange.wait_for_disconnect(HANG)
        closure = exchange.journal.connections[0].closed
        assert closure is not None
        assert closure.code == 1006
        socket.transport.abort()


async def test_a_pong_for_another_ping_does_not_count() -> None:
    async with Exchange(ping_interval=0.01, pong_deadline=0.05) as exchange, dial(exchange) as socket:
        await tell(socket, op="pong", ts=1)
        ping = await hear(socket)
        await tell(socket, op="pong", ts=ping["ts"] - 1)
        assert await closing(socket) == (1008, "no pong")


async def test_the_journal_is_what_the_client_got() -> None:
    async with Exchange(mode="replay", rate=math.inf, limit=300) as exchange, dial(exchange) as socket:
        await tell(socket, op="subscribe", **BTC)
        await tell(socket, op="subscribe", **ETH)
        heard = [await hear(socket) for _ in range(602)]
        candle = exchange.market.candle
        record = exchange.journal.connections[0]
        got = [(item["symbol"], item["t"]) for item in heard if item["event"] == "kline"]
        assert got == [(symbol, candle(symbol, interval, n).t) for symbol, interval, n in record.klines]
        assert record.klines.counts() == {("BTC-USDT", "1m"): 300, ("ETH-USDT", "5m"): 300}
        assert exchange.journal.klines == 600
        assert record.sent == 602
        assert [json.loads(text) for text in record.received] == [
            {"op": "subscribe", **BTC},
            {"op": "subscribe", **ETH},
        ]


async def test_a_feed_waits_for_a_client_that_does_not_read_and_others_do_not() -> None:
    async with (
        Exchange(mode="replay", rate=math.inf, pad=lambda _: 10_000) as exchange,
        dial(exchange) as idle,
        dial(exchange) as eager,
    ):
        await tell(idle, op="subscribe", **BTC)
        await subscribe(eager)
        for _ in range(3_000):
            await eager.recv()
        stuck, flowing = exchange.journal.connections
        assert len(stuck.klines) < 3_000 <= len(flowing.klines)
        idle.transport.abort()
        eager.transport.abort()
        await exchange.wait_for_disconnect(HANG)


async def test_a_client_that_leaves_in_a_flood_without_reading_its_close_is_cut_off() -> None:
    async with Exchange(mode="replay", rate=math.inf, close_timeout=0.05) as exchange, dial(exchange) as socket:
        await subscribe(socket)
        leaving = asyncio.create_task(socket.close())
        await exchange.wait_for_disconnect(HANG)
        socket.transport.abort()
        await leaving
