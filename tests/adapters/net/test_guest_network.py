"""A guest's sockets as its thread sees them: real ones where the network matters, a scripted one where order does."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed

from adapters.errors import StreamUsageError
from adapters.net.errors import ConnectFailedError, ConnectionLostError, NetworkDeniedError
from adapters.net.guest_limits import GuestLimits
from tests.support.guest_networks import (
    HOUR,
    HOUR_MS,
    URL,
    Jumping,
    Noting,
    ScriptedSocket,
    broken,
    echo,
    real,
    scripted,
)
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

    from tests.support.guest_networks import Bench


async def turns() -> None:
    """Let everything that is due on the event loop happen."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_guest_connects_sends_receives_and_closes() -> None:
    async with real(echo) as bench:
        connection = await bench.connect()
        assert (connection, bench.network.opened, bench.network.alive) == ("ws-1", 1, 1)
        for number in range(3):
            await bench.do(bench.network.send, connection, f"message {number}")
        assert [await bench.receive(connection) for _ in range(3)] == [f"message {number}" for number in range(3)]
        await bench.do(bench.network.close, connection)
        assert bench.network.alive == 0
        assert bench.network.lost is None
        with pytest.raises(StreamUsageError, match="no connection 'ws-1'"):
            await bench.receive(connection)


async def test_headers_and_subprotocol_are_handed_on() -> None:
    async with scripted(ScriptedSocket()) as (bench, connector):
        await bench.do(bench.network.connect, URL, {"A": "b"}, "v1")
        assert connector.asked == [(URL, {"A": "b"}, "v1")]


async def test_an_http_request_is_made_on_the_loop() -> None:
    async with scripted() as (bench, _):
        reply = await bench.do(bench.network.request, "POST", "https://api.example/", {}, b"body")
        assert (reply.status, reply.body) == (200, b"body")


async def test_a_request_that_the_network_has_let_fail_is_remembered_with_its_moment() -> None:
    clock = Jumping()
    async with scripted(clock=clock) as (bench, _):
        assert bench.network.request_failed_since(0) is None
        await bench.do(bench.network.request, "GET", "https://api.example/", {}, b"")
        assert bench.network.request_failed_since(0) is None  # it has not failed
        began = clock.time
        clock.time += 1
        failed = clock.time
        with pytest.raises(ConnectFailedError) as caught:
            await bench.do(bench.network.request, "GET", "https://api.example/down", {}, b"")
        for moment in (began, failed):
            assert bench.network.request_failed_since(moment) is caught.value
        assert bench.network.request_failed_since(failed + 0.001) is None


async def test_what_the_policy_denies_is_raised_and_remembered() -> None:
    async with scripted(clock=Jumping()) as (bench, connector):
        with pytest.raises(NetworkDeniedError) as caught:
            await bench.do(bench.network.connect, "wss://other.example/", {}, None)
        assert bench.network.lost is caught.value
        assert connector.asked == []
        assert bench.network.opened == 0


@pytest.mark.parametrize("timeout_ms", [0, HOUR_MS, 2**63 - 1, 10**300], ids=["for ever", "1 h", "int64", "absurd"])
async def test_a_receive_waits_until_it_is_told_of_the_message(timeout_ms: int) -> None:
    socket, clock = ScriptedSocket(), Noting()
    async with scripted(socket, clock=clock, limits=GuestLimits(look_every=HOUR)) as (bench, _):
        connection = await bench.connect()
        receiving = bench.start(bench.network.receive, connection, timeout_ms)
        await until(lambda: clock.waits, "it waits")
        socket.put("late")
        assert await receiving == ["late"]
        assert clock.waits == [pytest.approx(HOUR, rel=0.1)]


@pytest.mark.parametrize(("timeout_ms", "waits"), [(-1, []), (60, [0.06]), (250, [0.1, 0.1, 0.05])])
async def test_a_receive_that_finds_nothing_waits_for_its_timeout_and_no_longer(
    timeout_ms: int, waits: list[float]
) -> None:
    clock = Jumping()
    async with scripted(ScriptedSocket(), clock=clock) as (bench, _):
        connection = await bench.connect()
        assert bench.network.receive(connection, timeout_ms) == []
        assert [wait for wait in clock.waits if wait > 1e-9] == pytest.approx(waits)


async def test_a_receive_that_does_not_wait_takes_what_is_there() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        socket.put("one")
        async with asyncio.timeout(HANG):
            while not (messages := bench.network.receive(connection, -1)):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0)
        assert messages == ["one"]


async def take(bench: Bench, connection: str, count: int) -> list[str]:
    """What so many receives return."""
    return await bench.do(lambda: [bench.network.receive(connection, HOUR_MS)[0] for _ in range(count)])


async def test_a_full_buffer_makes_the_socket_wait_and_nothing_is_lost() -> None:
    socket = ScriptedSocket()
    async with scripted(socket, limits=GuestLimits(buffered_messages=8)) as (bench, _):
        connection = await bench.connect()
        socket.put(*map(str, range(24)))
        await until(lambda: socket.taken == 8, "the buffer is full")
        got = await take(bench, connection, 4)
        await turns()
        assert socket.taken == 8  # it goes on when more than half of it is taken
        got += await take(bench, connection, 1)
        await until(lambda: socket.taken == 13, "it is full again")
        await turns()
        assert socket.taken == 13
        got += await take(bench, connection, 19)
        assert got == [str(number) for number in range(24)]


async def test_long_messages_fill_the_buffer_before_many_do() -> None:
    socket = ScriptedSocket()
    async with scripted(socket, limits=GuestLimits(buffered_characters=400)) as (bench, _):
        connection = await bench.connect()
        messages = [str(number) * 100 for number in range(9)]
        socket.put(*messages)
        await until(lambda: socket.taken == 4, "the buffer is full")
        got = await take(bench, connection, 2)
        await turns()
        assert socket.taken == 4
        got += await take(bench, connection, 7)
        assert got == messages


async def test_a_guest_that_does_not_read_makes_the_exchange_wait() -> None:
    sent = 0
    flooding: list[ServerConnection] = []

    async def flood(connection: ServerConnection) -> None:
        nonlocal sent
        flooding.append(connection)
        with contextlib.suppress(ConnectionClosed):
            while True:
                await connection.send(f"{sent} {'x' * 50_000}")
                sent += 1

    async with real(flood, GuestLimits(buffered_messages=4)) as bench:
        connection = await bench.connect()
        buffer = bench.network._connections[connection]
        ours = buffer.socket._socket._connection.transport  # type: ignore[attr-defined]

        def stands() -> bool:  # the buffer, the socket and the server's socket: each waits for the one before
            server_waits = flooding[0].transport.get_write_buffer_size() > 0
            return buffer.waiting_for_room and not ours.is_reading() and server_waits

        await until(stands, "the server waits")
        assert len(buffer.buffer) == 4
        count = sent + 100
        got = await take(bench, connection, count)
        assert [int(message.split()[0]) for message in got] == list(range(count))


async def test_binary_text_is_decoded_and_other_binary_is_told_and_skipped() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        socket.put("héllo".encode(), b"\xff\xfe", "after")
        assert await take(bench, connection, 2) == ["héllo", "after"]
        assert bench.undeliverable == ["a binary message of 2 bytes is no UTF-8 text"]


async def test_a_lost_connection_is_reported_after_everything_was_read() -> None:
    socket = ScriptedSocket()
    async with scripted(socket, clock=Jumping()) as (bench, _):
        connection = await bench.connect()
        lost = broken()
        socket.put("one", "two", lost)
        assert await take(bench, connection, 2) == ["one", "two"]
        for failures in (1, 2):
            with pytest.raises(ConnectionLostError) as caught:
                await bench.receive(connection, 0)
            assert caught.value is lost
            assert bench.network.failures == failures
        assert (bench.network.lost, bench.network.alive) == (lost, 0)
        await until(lambda: socket.closed == 1, "its socket is closed")


async def test_a_receive_that_waits_is_told_of_a_lost_connection() -> None:
    socket, clock = ScriptedSocket(), Noting()
    async with scripted(socket, clock=clock, limits=GuestLimits(look_every=HOUR)) as (bench, _):
        connection = await bench.connect()
        receiving = bench.start(bench.network.receive, connection, 0)
        await until(lambda: clock.waits, "it waits")
        socket.put(broken())
        with pytest.raises(ConnectionLostError):
            await receiving


async def test_how_long_a_connection_stood_is_known_when_it_has_ended() -> None:
    socket, clock = ScriptedSocket(), Jumping()
    async with scripted(socket, clock=clock) as (bench, _):
        await bench.connect()
        clock.time += 7
        socket.put(broken())
        await until(lambda: bench.network.alive == 0, "it is lost")
        clock.time += 5
        assert bench.network.stood == 7


async def test_a_connection_that_is_lost_at_once_is_remembered_as_lost() -> None:
    socket = ScriptedSocket()
    lost = broken("too many connections")
    socket.put(lost)
    async with scripted(socket) as (bench, _):
        await bench.connect()
        await until(lambda: bench.network.alive == 0, "it is lost")
        assert bench.network.lost is lost


async def test_a_new_connection_is_a_new_beginning() -> None:
    first, second, clock = ScriptedSocket(), ScriptedSocket(), Jumping()
    async with scripted(first, second, clock=clock) as (bench, _):
        connection = await bench.connect()
        first.put(broken())
        await until(lambda: bench.network.alive == 0, "it is lost")
        since = clock.time
        with pytest.raises(ConnectionLostError):
            await bench.receive(connection, 0)
        assert (bench.network.failures, bench.network.dead_since) == (1, since)
        assert await bench.connect() == "ws-2"
        assert (bench.network.failures, bench.network.dead_since) == (0, None)
        assert (bench.network.lost, bench.network.alive) == (None, 1)
        assert bench.reconnected == ["the connection to wss://api.example/x was lost: it broke off"]


async def test_a_guest_that_closes_its_connection_and_opens_another_has_reconnected_too() -> None:
    async with scripted(ScriptedSocket(), ScriptedSocket()) as (bench, _):
        await bench.do(bench.network.close, await bench.connect())
        assert bench.reconnected == []
        await bench.connect()
        assert bench.reconnected == ["the plugin had closed the one before"]


async def test_the_first_connection_and_one_besides_another_are_no_reconnection() -> None:
    async with scripted(clock=Jumping()) as (bench, connector):
        with pytest.raises(ConnectFailedError) as caught:
            await bench.connect()
        assert bench.network.lost is caught.value
        connector.sockets += [ScriptedSocket(), ScriptedSocket()]
        await bench.connect()
        await bench.connect()
        assert bench.reconnected == []


async def test_only_so_many_connections_may_be_open_at_once() -> None:
    async with scripted(*(ScriptedSocket() for _ in range(18))) as (bench, _):
        opened = [await bench.connect() for _ in range(16)]
        with pytest.raises(StreamUsageError, match="16 connections open, which is the limit"):
            await bench.connect()
        await bench.do(bench.network.close, opened[0])
        assert await bench.connect() == "ws-17"


async def test_connections_that_have_ended_are_forgotten_but_for_the_latest_whose_messages_may_be_unread() -> None:
    sockets = [ScriptedSocket() for _ in range(10)]
    async with scripted(*sockets) as (bench, _):
        for socket in sockets:
            socket.put("unread", broken())
            await bench.connect()
            await until(lambda: bench.network.alive == 0, "it is lost")
        assert list(bench.network._connections) == [f"ws-{number}" for number in range(6, 11)]
        assert await bench.receive("ws-6") == "unread"
