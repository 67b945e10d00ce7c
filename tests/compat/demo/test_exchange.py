"""The server: HTTP, TLS, commands, waiting, and a quick end whatever its clients do."""

from __future__ import annotations

import asyncio
import json
import math
import socket as sockets
import ssl
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trustme
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from compat.demo import wire
from compat.demo.exchange import Exchange
from compat.demo.scenario import Reject
from detectors.errors import UsageError
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = 3_600.0
NEVER = 1e-6  # candles a second: none in the time of a test
SUBSCRIBE = '{"op":"subscribe","channel":"kline","symbol":"BTC-USDT","interval":"1m"}'


def dial(exchange: Exchange, **options: Any) -> connect:
    # Without a limit to its queue a client reads on while it closes, and so hears the answer.
    return connect(f"{exchange.ws_url}/ws", compression=None, max_queue=None, close_timeout=HANG, **options)


async def hear(socket: ClientConnection) -> Any:
    async with asyncio.timeout(HANG):
        return json.loads(await socket.recv())


async def hear_out(socket: ClientConnection) -> None:
    while True:
        await hear(socket)


async def closing(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Listen to the end, then tell how it ended."""
    with pytest.raises(ConnectionClosed):
        await hear_out(socket)
    return socket.close_code, socket.close_reason


@pytest.fixture(scope="module")
def server_tls() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize("rate", [0, -1, math.nan])
def test_a_rate_that_sends_nothing_is_refused(rate: float) -> None:
    with pytest.raises(UsageError, match="candles a second"):
        Exchange(rate=rate)


def test_a_limit_on_a_live_market_is_refused() -> None:
    with pytest.raises(UsageError, match="no limit"):
        Exchange(limit=5)


async def test_it_lists_markets_and_intervals() -> None:
    async with Exchange(symbols=("BTC-USDT", "ETH-EUR")) as exchange, httpx.AsyncClient() as http:
        reply = await http.get(f"{exchange.http_url}/api/v1/markets")
        assert reply.headers.get_list("Content-Type") == ["application/json"]
        assert reply.json() == {
            "markets": [
                {"symbol": "BTC-USDT", "base": "BTC", "quote": "USDT"},
                {"symbol": "ETH-EUR", "base": "ETH", "quote": "EUR"},
            ]
        }
        reply = await http.get(f"{exchange.http_url}/api/v1/intervals")
        assert reply.json() == {"intervals": ["1m", "5m"]}


async def test_it_serves_the_latest_candles() -> None:
    async with Exchange(seed=1, rate=NEVER, history=500) as exchange, httpx.AsyncClient() as http:
        query = {"symbol": "ETH-USDT", "interval": "5m", "limit": "3"}
        reply = await http.get(f"{exchange.http_url}/api/v1/klines", params=query)
        candle = exchange.market.candle
        assert reply.json() == {
            "klines": [json.loads(wire.kline(candle("ETH-USDT", "5m", n))) for n in (497, 498, 499)]
        }


async def test_it_serves_a_hundred_candles_unless_told_otherwise_and_no_more_than_there_are() -> None:
    async with Exchange(rate=NEVER, history=150) as exchange, httpx.AsyncClient(base_url=exchange.http_url) as http:
        query = {"symbol": "ETH-USDT", "interval": "5m"}
        assert len((await http.get("/api/v1/klines", params=query)).json()["klines"]) == 100
        assert len((await http.get("/api/v1/klines", params=query | {"limit": "1000"})).json()["klines"]) == 150


async def test_the_stream_begins_where_the_latest_candles_end() -> None:
    async with (
        Exchange(rate=NEVER, history=20) as exchange,
        httpx.AsyncClient(base_url=exchange.http_url) as http,
        dial(exchange) as socket,
    ):
        await socket.send(SUBSCRIBE)
        assert (await hear(socket))["event"] == "subscribed"
        past = (await http.get("/api/v1/klines?symbol=BTC-USDT&interval=1m")).json()["klines"]
        exchange.flood(1)
        present = await hear(socket)
        assert present["t"] - past[-1]["t"] == 60
        assert Decimal(present["o"]) == Decimal(past[-1]["c"])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("symbol=X-Y&interval=1m", "unknown_symbol"),
        ("", "unknown_symbol"),
        ("symbol=BTC-USDT&interval=9m", "unknown_interval"),
        ("symbol=BTC-USDT&interval=1m&limit=0", "bad_request"),
        ("symbol=BTC-USDT&interval=1m&limit=1001", "bad_request"),
        ("symbol=BTC-USDT&interval=1m&limit=many", "bad_request"),
    ],
)
async def test_a_wrong_query_is_refused(query: str, code: str) -> None:
    async with Exchange() as exchange, httpx.AsyncClient() as http:
        reply = await http.get(f"{exchange.http_url}/api/v1/klines?{query}")
        assert (reply.status_code, reply.json()["code"]) == (400, code)


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/api/v1/trades"), ("DELETE", "/api/v1/markets")])
async def test_anything_else_is_not_found(method: str, path: str) -> None:
    async with Exchange() as exchange, httpx.AsyncClient() as http:
        reply = await http.request(method, f"{exchange.http_url}{path}", headers={"X-Mark": "1"})
        assert (reply.status_code, reply.json()["code"]) == (404, "not_found")
        (request,) = exchange.journal.requests
        assert (request.path, request.status) == (path, 404)
        assert ("x-mark", "1") in [(name.lower(), value) for name, value in request.headers]


async def test_a_websocket_elsewhere_is_not_found() -> None:
    async with Exchange() as exchange:
        with pytest.raises(InvalidStatus, match="404"):
            await connect(f"{exchange.ws_url}/elsewhere")


async def test_plain_http_on_the_websocket_path_is_told_to_upgrade() -> None:
    async with Exchange() as exchange, httpx.AsyncClient() as http:
        assert (await http.get(f"{exchange.http_url}/ws")).status_code == 426
        assert exchange.journal.requests[0].status == 426


async def test_everything_works_over_tls(server_tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, client = server_tls
    async with (
        Exchange(ssl=server, mode="replay", rate=math.inf, limit=200, close_timeout=HANG) as exchange,
        httpx.AsyncClient(verify=client) as http,
    ):
        assert exchange.ws_url == f"wss://127.0.0.1:{exchange.port}"
        assert (await http.get(f"{exchange.http_url}/api/v1/intervals")).json() == {"intervals": ["1m", "5m"]}
        for end, code in ((exchange.drop_all, 1006), (exchange.close_all, 1001)):
            async with dial(exchange, ssl=client) as socket:
                await socket.send(SUBSCRIBE)
                assert (await hear(socket))["event"] == "subscribed"
                times = [(await hear(socket))["t"] for _ in range(200)]
                assert times == [exchange.market.candle("BTC-USDT", "1m", n).t for n in range(200)]
                await end()
                assert (await closing(socket))[0] == code


async def test_a_port_that_is_asked_for_is_used() -> None:
    async with Exchange() as first:
        port = first.port
    async with Exchange(port=port) as second:
        assert second.port == port
        assert second.http_url == f"http://127.0.0.1:{port}"


async def test_a_dropped_client_sees_no_close_frame_and_can_come_back() -> None:
    async with Exchange() as exchange:
        async with dial(exchange) as one, dial(exchange) as two:
            await exchange.wait_for_connections(2, timeout=HANG)
            await exchange.drop_all()
            assert exchange.connections == 0
            assert [(await closing(socket))[0] for socket in (one, two)] == [1006, 1006]
        async with dial(exchange):
            await exchange.wait_for_connections(1, timeout=HANG)
            assert [record.id for record in exchange.journal.connections] == [0, 1, 2]


async def test_closing_all_tells_code_and_reason_to_both_sides() -> None:
    async with Exchange(close_timeout=HANG) as exchange, dial(exchange) as socket:
        await exchange.wait_for_connections(1, timeout=HANG)
        await exchange.close_all(4001, "maintenance")
        assert await closing(socket) == (4001, "maintenance")
        closure = exchange.journal.connections[0].closed
        assert closure is not None
        assert (closure.code, closure.reason) == (4001, "maintenance")


async def test_the_journal_keeps_request_headers_and_when_it_was_open() -> None:
    async with Exchange() as exchange:
        async with dial(exchange, additional_headers={"X-Key": "abc"}):
            await exchange.wait_for_connections(1, timeout=HANG)
            record = exchange.journal.connections[0]
            assert ("X-Key", "abc") in record.headers
            assert record.path == "/ws"
            before = record.closed
        await exchange.wait_for_disconnect(timeout=HANG)
        after = record.closed
        assert before is None
        assert after is not None
        assert record.opened <= after.at
        assert after.code == 1000


async def test_a_broadcast_reaches_everybody_in_a_silence_too() -> None:
    async with Exchange() as exchange, dial(exchange) as one, dial(exchange) as two:
        await exchange.wait_for_connections(2, timeout=HANG)
        exchange.silence()
        await exchange.broadcast('{"event":"reconnect"}')
        assert await hear(one) == await hear(two) == {"event": "reconnect"}


async def test_a_broadcast_passes_over_a_connection_that_is_closing() -> None:
    async with Exchange(close_timeout=0.05) as exchange, dial(exchange) as leaving, dial(exchange) as staying:
        await exchange.wait_for_connections(2, timeout=HANG)
        leaving.transport.pause_reading()  # so that it never answers the close frame
        closed = asyncio.create_task(exchange.close_all())
        await asyncio.sleep(0)
        async with asyncio.timeout(HANG):
            await exchange.broadcast("{}")
            await closed
        assert await closing(staying) == (1001, "going away")
        assert [record.sent for record in exchange.journal.connections] == [0, 0]
        leaving.transport.abort()


async def test_in_a_silence_nothing_is_said_and_afterwards_replies_come() -> None:
    async with Exchange(rate=1_000, ping_interval=0.001) as exchange, dial(exchange) as socket:
        exchange.silence()
        await socket.send(SUBSCRIBE)
        await until(lambda: exchange.journal.connections[0].received == [SUBSCRIBE], "it has heard the command")
        await asyncio.sleep(0.01)  # in which it would have to ping
        await exchange.broadcast('{"event":"mark"}')  # which is said in a silence, too, and comes first all the same
        events = [(await hear(socket))["event"]]
        exchange.resume()
        while not {"ping", "subscribed", "kline"} <= set(events):
            events.append((await hear(socket))["event"])
        assert events[0] == "mark"


async def test_a_client_that_leaves_in_a_silence_is_gone() -> None:
    async with Exchange() as exchange:
        exchange.silence()
        async with dial(exchange) as socket:
            await socket.send(SUBSCRIBE)
            await exchange.wait_for_connections(1, timeout=HANG)
        await exchange.wait_for_disconnect(timeout=HANG)
        assert exchange.connections == 0


@pytest.mark.parametrize(
    "wait",
    [lambda exchange: exchange.wait_for_connections(2, 0.05), lambda exchange: exchange.wait_for_disconnect(0.05)],
    ids=["connections", "disconnect"],
)
async def test_waiting_in_vain_times_out(wait: Callable[[Exchange], Any]) -> None:
    async with Exchange() as exchange, dial(exchange):
        await exchange.wait_for_connections(1, timeout=HANG)
        with pytest.raises(TimeoutError):
            await wait(exchange)


async def test_waiting_for_a_disconnect_is_over_at_once_when_nobody_is_there() -> None:
    async with Exchange() as exchange:
        await exchange.wait_for_disconnect(timeout=0)


async def test_it_ends_under_a_flood_without_waiting_for_clients_that_hang() -> None:
    async with Exchange(mode="replay", rate=math.inf, open_timeout=HOUR, close_timeout=0.05) as exchange:
        hanging = await dial(exchange)
        await hanging.send(SUBSCRIBE)
        await exchange.wait_for_connections(1, timeout=HANG)
        hanging.transport.pause_reading()
        silent = sockets.create_connection(("127.0.0.1", exchange.port), timeout=HANG)
        await until(lambda: len(exchange._transports) == 2, "both are connected")
    assert exchange.connections == 0
    assert silent.recv(1) == b""
    silent.close()
    hanging.transport.abort()
    await hanging.wait_closed()


async def test_a_script_that_fails_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("compat.demo.exchange.play", fail)
    with pytest.raises(ZeroDivisionError):
        async with Exchange():
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ((-1,), "count must be a whole number, 0 or more, not -1"),
        (("3",), "count must be a whole number, 0 or more, not '3'"),
        ((3, 700), "status must be an HTTP status from 200 on that is registered, not 700"),
        ((3, 101), "status must be an HTTP status from 200 on that is registered, not 101"),
    ],
)
def test_clients_are_turned_away_so_many_times_and_with_a_status_that_there_is(given: Any, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        Exchange().reject(*given)
    assert caught.value.message == f"an exchange: {problem}"
    with pytest.raises(UsageError) as caught:
        Reject(*given)
    assert caught.value.message == f"Reject: {problem}"
