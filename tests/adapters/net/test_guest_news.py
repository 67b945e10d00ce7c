"""What ends the pause of a parked guest: a message, the end of a connection, and that it is to stop."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.guest_networks import HOUR, Bench, Noting, ScriptedSocket, broken, scripted
from tests.support.waiting import until


async def pausing(bench: Bench, clock: Noting) -> asyncio.Task[None]:
    """A guest that pauses for an hour, and does so already."""
    pause = bench.start(bench.network.wait_for_news, HOUR)
    await until(lambda: HOUR in clock.waits, "it waits")
    return pause


@pytest.mark.parametrize("news", ["a message", broken()], ids=["a message", "the end"])
async def test_what_comes_on_a_connection_ends_the_pause(news: str | Exception) -> None:
    socket, clock = ScriptedSocket(), Noting()
    async with scripted(socket, clock=clock) as (bench, _):
        await bench.connect()
        pause = await pausing(bench, clock)
        socket.put(news)
        await pause
        assert bench.network.waiting == (news == "a message")


async def test_being_told_to_stop_ends_the_pause() -> None:
    clock = Noting()
    async with scripted(ScriptedSocket(), clock=clock) as (bench, _):
        await bench.connect()
        pause = await pausing(bench, clock)
        bench.network.drain()
        await pause
        await bench.do(bench.network.wait_for_news, HOUR)  # nor is there another


async def test_whoever_has_something_to_take_does_not_pause() -> None:
    socket = ScriptedSocket()
    socket.put("a message")
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        await until(lambda: bench.network.waiting, "it has come")
        await bench.do(bench.network.wait_for_news, HOUR)
        assert await bench.receive(connection) == "a message"
        assert (bench.network.asked, bench.network.taken) == (1, 1)


async def test_what_the_guest_does_is_counted() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        assert await bench.receive(connection, -1) is None
        await bench.do(bench.network.request, "GET", "https://api.example/x", {}, b"")
        network = bench.network
        assert (network.opened, network.asked, network.taken, network.requests, network.calls) == (1, 1, 0, 1, 2)
