"""How a guest is held back that asks for what is not there again and again: by the seconds that it is made to wait."""

from __future__ import annotations

import pytest

from adapters.errors import StreamUsageError
from adapters.net.errors import ConnectFailedError, ConnectionLostError
from adapters.net.guest_limits import GuestLimits
from compat import CompatError
from tests.support.guest_networks import Bench, Jumping, Noting, ScriptedSocket, broken, scripted
from tests.support.waiting import until


async def lose(bench: Bench, socket: ScriptedSocket) -> str:
    """Open a connection that is lost then; its name."""
    connection = await bench.connect()
    socket.put(broken())
    await until(lambda: bench.network.alive == 0, "it is lost")
    return connection


@pytest.mark.parametrize(
    ("timeout_ms", "seconds"),
    [(-1, 0.05), (20, 0.05), (150, 0.15), (1_200, 1.2), (60_000, 60.0), (0, 1.0), (10**300, 10.0**9)],
)
async def test_a_guest_hears_of_a_dead_connection_at_once_and_again_no_sooner_than_it_would_wait(
    timeout_ms: int, seconds: float
) -> None:
    socket, clock = ScriptedSocket(), Jumping()
    async with scripted(socket, clock=clock) as (bench, _):
        connection = await lose(bench, socket)
        for expected in (0.05, seconds, seconds):
            begun = clock.time
            with pytest.raises(ConnectionLostError):
                await bench.receive(connection, timeout_ms)
            assert clock.time - begun == pytest.approx(expected)


async def test_a_guest_that_waits_on_a_dead_connection_hears_that_its_stream_stops() -> None:
    socket, clock = ScriptedSocket(), Noting()
    async with scripted(socket, clock=clock) as (bench, _):
        connection = await lose(bench, socket)
        with pytest.raises(ConnectionLostError):
            await bench.receive(connection, -1)
        receiving = bench.start(bench.network.receive, connection, 10**300)  # it would wait for 31 years
        await until(lambda: clock.waits[-1] > 1_000, "it waits")
        bench.network.drain()
        with pytest.raises(ConnectionLostError):
            await receiving
        assert bench.network.failures == 2


async def test_attempts_to_connect_that_fail_are_answered_ever_more_slowly() -> None:
    clock = Jumping()
    async with scripted(clock=clock) as (bench, connector):
        since = clock.time
        for _ in range(7):
            with pytest.raises(ConnectFailedError):
                await bench.connect()
        assert clock.waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
        assert (bench.network.failures, bench.network.dead_since) == (0, since)
        connector.sockets.append(ScriptedSocket())
        await bench.connect()
        with pytest.raises(ConnectFailedError):
            await bench.connect()
        assert clock.waits[7:] == [0.05]


@pytest.mark.parametrize("use", ["send", "receive", "close"])
async def test_a_connection_that_never_was_is_answered_slowly_and_counted(use: str) -> None:
    clock = Jumping()
    async with scripted(clock=clock) as (bench, _):
        arguments = {"send": ("ws-9", "x"), "receive": ("ws-9", -1), "close": ("ws-9",)}[use]
        with pytest.raises(StreamUsageError, match="no connection 'ws-9'"):
            await bench.do(getattr(bench.network, use), *arguments)
        assert clock.waits == [0.05]
        assert bench.network.failures == 1


@pytest.mark.parametrize("url", ["https://api.example/down", "https://other.example/"], ids=["down", "denied"])
async def test_requests_that_fail_are_answered_ever_more_slowly(url: str) -> None:
    clock = Jumping()
    async with scripted(clock=clock) as (bench, _):
        for _ in range(7):
            with pytest.raises(CompatError):
                await bench.do(bench.network.request, "GET", url, {}, b"")
        assert clock.waits == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
        await bench.do(bench.network.request, "GET", "https://api.example/", {}, b"")
        assert len(clock.waits) == 7
        with pytest.raises(CompatError):
            await bench.do(bench.network.request, "GET", url, {}, b"")
        assert clock.waits[7:] == [0.05]


async def test_one_that_wants_more_connections_than_it_may_have_is_answered_slowly_and_told_of_once() -> None:
    clock = Jumping()
    async with scripted(*(ScriptedSocket() for _ in range(2)), limits=GuestLimits(connections=2), clock=clock) as (
        bench,
        _,
    ):
        for _ in range(2):
            await bench.connect()
        for _ in range(3):
            with pytest.raises(StreamUsageError, match="it has 2 connections open, which is the limit"):
                await bench.connect()
        assert clock.waits == [0.05] * 3
        assert bench.troubled == ["it has 2 connections open, which is the limit, and asks for more"]


async def test_sending_on_a_dead_connection_is_answered_slowly_and_counted() -> None:
    socket, clock = ScriptedSocket(), Jumping()
    async with scripted(socket, clock=clock) as (bench, _):
        connection = await lose(bench, socket)
        for _ in range(2):
            with pytest.raises(ConnectionLostError):
                await bench.do(bench.network.send, connection, "x")
        assert clock.waits == pytest.approx([0.05, 0.05])
        assert bench.network.failures == 2
        assert bench.network.dead_since is not None
