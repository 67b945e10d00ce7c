"""A guest that is told to leave, or stopped: whatever it waits for ends, and no connection outlives it.

What it waits for never happens in these tests, so that they end only if stopping ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import ConnectionClosed

from adapters.errors import StreamUsageError
from adapters.net.gateway import Gateway
from adapters.net.guest_limits import GuestLimits
from adapters.net.guest_network import GuestNetwork
from adapters.net.policy import NetworkPolicy
from adapters.runtime.errors import GuestStoppedError
from tests.support.guest_networks import (
    HOUR,
    HOUR_MS,
    URL,
    Noting,
    ScriptedConnector,
    ScriptedSocket,
    http_echo,
    real,
    scripted,
)
from tests.support.waiting import until

if TYPE_CHECKING:
    from websockets.asyncio.server import ServerConnection

BLIND = GuestLimits(look_every=HOUR)  # a guest that waits has to be woken


@pytest.mark.parametrize("timeout_ms", [0, HOUR_MS])
async def test_stopping_wakes_a_receive_that_waits(timeout_ms: int) -> None:
    clock = Noting()
    async with scripted(ScriptedSocket(), clock=clock, limits=BLIND) as (bench, _):
        connection = await bench.connect()
        receiving = bench.start(bench.network.receive, connection, timeout_ms)
        await until(lambda: clock.waits, "it waits")
        bench.stop()
        with pytest.raises(GuestStoppedError):
            await receiving


@pytest.mark.parametrize("timeout_ms", [0, HOUR_MS])
async def test_a_receive_that_nobody_wakes_looks_at_the_stop_flag(timeout_ms: int) -> None:
    clock = Noting()
    async with scripted(ScriptedSocket(), clock=clock) as (bench, _):
        connection = await bench.connect()
        receiving = bench.start(bench.network.receive, connection, timeout_ms)
        await until(lambda: clock.waits, "it waits")
        bench.stopping.set()
        with pytest.raises(GuestStoppedError):
            await receiving
        assert set(clock.waits) == {0.1}


async def test_the_stop_flag_interrupts_whatever_waits_for_the_loop() -> None:
    async with scripted(ScriptedSocket()) as (bench, connector):
        connector.may_connect.clear()
        connecting = bench.start(bench.network.connect, URL, {}, None)
        await until(lambda: connector.asked, "it connects")
        assert bench.network.connecting
        bench.stop()
        with pytest.raises(GuestStoppedError):
            await connecting
        assert (bench.network.opened, bench.network.connecting) == (0, False)


async def test_a_stopped_guest_reaches_nothing_any_more() -> None:
    async with scripted(ScriptedSocket()) as (bench, connector):
        connection = await bench.connect()
        bench.stop()
        for use, *arguments in (
            (bench.network.connect, URL, {}, None),
            (bench.network.send, connection, "x"),
            (bench.network.receive, connection, -1),
            (bench.network.receive, "ws-9", -1),
            (bench.network.request, "GET", "https://api.example/", {}, b""),
        ):
            with pytest.raises(GuestStoppedError):
                await bench.do(use, *arguments)
        assert len(connector.asked) == 1


async def test_a_connection_that_opens_after_the_stop_is_closed_again() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, connector):
        connector.may_connect.clear()
        opening = asyncio.create_task(bench.network._open(URL, {}, None))
        await until(lambda: connector.asked, "it connects")
        await bench.network.aclose()
        connector.may_connect.set()
        with pytest.raises(GuestStoppedError):
            await opening
        assert socket.closed == 1


async def test_work_that_the_loop_cancels_ends_the_guests_call() -> None:
    async with scripted() as (bench, _):

        async def cancelled() -> None:
            raise asyncio.CancelledError

        with pytest.raises(GuestStoppedError):
            await bench.do(bench.network._on_loop, cancelled())


async def test_a_timeout_of_the_work_itself_is_not_taken_for_a_slice() -> None:
    async with scripted() as (bench, _):

        async def late() -> None:
            raise TimeoutError

        with pytest.raises(TimeoutError):
            await bench.do(bench.network._on_loop, late())


async def test_while_the_stream_stops_every_answer_comes_at_once_and_says_so() -> None:
    socket, clock = ScriptedSocket(), Noting()
    limits = GuestLimits(look_every=HOUR, dead_pace=HOUR, longest_pace=HOUR)  # only the pace of stopping is no hour
    async with scripted(socket, clock=clock, limits=limits) as (bench, connector):
        connection = await bench.connect()
        socket.put("unread")
        assert await bench.receive(connection, 0) == "unread"
        clock.waits.clear()
        receiving = bench.start(bench.network.receive, connection, 0)
        await until(lambda: clock.waits, "it waits")
        flags = [bench.network.draining]
        bench.network.drain()
        assert [*flags, bench.network.draining] == [False, True]
        with pytest.raises(StreamUsageError, match="the stream is being closed"):
            await receiving
        socket.put("never read")
        for use, *arguments in (
            (bench.network.receive, connection, HOUR_MS),
            (bench.network.connect, URL, {}, None),
            (bench.network.receive, "ws-9", 0),
        ):
            with pytest.raises(StreamUsageError):
                await bench.do(use, *arguments)
        assert clock.waits == [HOUR, 0.01, 0.01, 0.01]  # of the one that was woken, and of all but the attempt
        assert bench.network.failures == 1  # the unknown connection; dead answers are not counted while stopping
        assert len(connector.asked) == 1


async def test_closing_ends_every_connection_under_a_flood_that_never_ends() -> None:
    flooding: list[ServerConnection] = []

    async def flood(connection: ServerConnection) -> None:
        flooding.append(connection)
        with contextlib.suppress(ConnectionClosed):
            while True:
                await connection.send("x" * 1_000)

    async with real(flood, GuestLimits(buffered_messages=4)) as bench:
        for _ in range(3):
            await bench.connect()
        buffers = bench.network._connections.values()
        await until(lambda: all(buffer.waiting_for_room for buffer in buffers), "all buffers are full")
        bench.stop()
        await bench.network.aclose()
        assert bench.network.alive == 0
        await until(lambda: all(connection.state.name == "CLOSED" for connection in flooding), "the server knows")
    assert len(flooding) == 3


async def test_closing_twice_does_no_harm() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        await bench.connect()
        await bench.network.aclose()
        await bench.network.aclose()
        assert bench.network.alive == 0
        assert socket.closed


async def test_a_guest_on_a_closed_loop_is_told_that_it_is_stopped() -> None:
    loop = asyncio.new_event_loop()
    network = GuestNetwork(
        plugin="p",
        loop=loop,
        gateway=Gateway("p", NetworkPolicy(), (), ScriptedConnector(), http_echo),
        stopping=threading.Event(),
        undeliverable=lambda _: None,
    )
    loop.close()
    with pytest.raises(GuestStoppedError):
        network.connect(URL, {}, None)


async def test_a_connection_whose_closing_was_interrupted_is_closed_all_the_same() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        socket.may_close.clear()
        closing = bench.start(bench.network.close, connection)
        await until(lambda: bench.network.alive == 0, "it closes")
        bench.stop()
        with pytest.raises(GuestStoppedError):
            await closing
        socket.may_close.set()
        await bench.network.aclose()
        assert socket.closed == 1
