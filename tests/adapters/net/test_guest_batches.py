"""Messages that a guest is given several at a time: counted as it takes them, and never lost on the way."""

from __future__ import annotations

import pytest

from adapters.net.errors import ConnectionLostError
from tests.support.guest_networks import HOUR_MS, ScriptedSocket, broken, scripted
from tests.support.waiting import until


async def test_a_guest_gets_many_at_once_and_no_more_than_it_asks_for() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        network, connection = bench.network, await bench.connect()
        socket.put(*"abcde")
        await until(lambda: network.waiting == 5, "they are there")
        assert await bench.do(network.receive, connection, HOUR_MS, 3) == ["a", "b", "c"]
        assert (network.taken, network.waiting, network.asked, network.calls) == (1, 4, 1, 2)
        network.untaken(1)
        assert (network.taken, network.waiting, network.asked, network.calls) == (2, 3, 2, 3)
        assert await bench.do(network.receive, connection, HOUR_MS, 9) == ["d", "e"]
        assert (network.taken, network.waiting, network.asked) == (4, 1, 4)


async def test_long_messages_are_handed_out_by_their_length() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        connection = await bench.connect()
        long = "x" * 200 * 2**10
        socket.put(long, "a", long, long * 2, "b")
        await until(lambda: bench.network.waiting == 5, "they are there")
        got = [await bench.do(bench.network.receive, connection, HOUR_MS, 9) for _ in range(4)]
        assert got == [[long, "a"], [long], [long * 2], ["b"]]


async def test_what_a_guest_has_not_taken_comes_again_in_order_though_the_connection_has_ended() -> None:
    socket = ScriptedSocket()
    async with scripted(socket) as (bench, _):
        network, connection = bench.network, await bench.connect()
        socket.put(*"abcde")
        await until(lambda: network.waiting == 5, "they are there")
        assert await bench.do(network.receive, connection, HOUR_MS, 4) == ["a", "b", "c", "d"]
        socket.put(broken())
        await until(lambda: network.alive == 0, "it is lost")
        network.take_back(2)
        assert (network.taken, network.waiting, network.asked) == (2, 3, 2)
        assert await bench.do(network.receive, connection, HOUR_MS, 9) == ["c", "d", "e"]
        network.untaken(0)
        assert (network.taken, network.waiting, network.asked) == (5, 0, 5)
        with pytest.raises(ConnectionLostError):
            await bench.receive(connection, -1)
