"""Keepalive and ending: what is alive is kept however slow its reader, what is dead is found, nothing ends late."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import tracemalloc
from typing import TYPE_CHECKING

import attrs
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from adapters.net.errors import ConnectionLostError
from adapters.net.socket import WebSocketConnector
from compat.demo.exchange import Exchange
from tests.support.doors import QUICK, door, enter
from tests.support.rogue.behaviours import HUGE
from tests.support.rogue.certificates import serving
from tests.support.rogue.peer import Forwarder, Rogue
from tests.support.waiting import until

if TYPE_CHECKING:
    import ssl
    from pathlib import Path

    from tests.support.rogue.certificates import Authority

pytestmark = pytest.mark.usefixtures("nothing_open")

HALF_OPEN = "no answer to a ping within 0.2 s: the connection is half-open"


def port_of(server: object) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]  # type: ignore[attr-defined]
    return port


async def number(connection: ServerConnection) -> None:
    """Send numbered messages as fast as the socket takes them."""
    with contextlib.suppress(ConnectionClosed):
        for n in range(10_000):
            await connection.send(f"{n} {'x' * 10_000}")
        await connection.wait_closed()


SECURE = pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])


@SECURE
async def test_a_slow_consumer_makes_the_other_end_wait_and_loses_nothing(
    secure: bool, authority: Authority, tmp_path: Path
) -> None:
    sent: list[ServerConnection] = []

    async def flood(connection: ServerConnection) -> None:
        sent.append(connection)
        await number(connection)

    context = serving(authority.identity(), tmp_path) if secure else None
    connector = attrs.evolve(QUICK, max_message=2**20, ssl=authority.client())
    async with serve(
        flood, "127.0.0.1", 0, ssl=context, ping_interval=None, compression=None, close_timeout=0.1
    ) as server:
        url = f"{'wss' if secure else 'ws'}://127.0.0.1:{port_of(server)}"
        socket = await connector.connect(url, headers={}, subprotocol=None)
        for n in range(1_500):  # more than all buffers on the way hold
            if n in (1, 700):
                await asyncio.sleep(0.6)  # three times as long as the other end may be silent
            assert str(await socket.receive()).startswith(f"{n} ")
        await socket.close()
        sent[0].transport.abort()


async def test_a_blocked_event_loop_is_not_taken_for_silence() -> None:
    async with Exchange(ping_interval=None) as exchange:
        socket = await QUICK.connect(f"{exchange.ws_url}/ws", headers={}, subprotocol=None)
        for _ in range(3):
            time.sleep(0.5)  # noqa: ASYNC251 - that is what is tried
            await asyncio.sleep(0.03)
        with pytest.raises(TimeoutError):  # no message, and no loss
            await asyncio.wait_for(socket.receive(), 0.1)
        await socket.close()


async def test_a_quiet_connection_whose_pings_are_answered_is_kept() -> None:
    async with Exchange() as exchange:
        socket = await QUICK.connect(f"{exchange.ws_url}/ws", headers={}, subprotocol=None)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.receive(), 1.0)
        await socket.close()


async def test_bytes_are_a_sign_of_life_though_no_ping_is_answered() -> None:
    async with Rogue("drips") as peer, door(attrs.evolve(QUICK, keepalive=0.05)) as through:
        socket = await enter(through, peer.ws_url)
        for n in range(3):  # a byte every 10 ms
            assert await socket.receive() == json.dumps({"drip": n})
        with pytest.raises(ConnectionLostError, match="half-open"):
            await asyncio.wait_for(socket.receive(), 5)


async def test_without_keepalive_silence_is_borne() -> None:
    async with Rogue("stays silent") as peer, door(attrs.evolve(QUICK, keepalive=None)) as through:
        socket = await enter(through, peer.ws_url)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.receive(), 0.6)
        begun = time.monotonic()
        await socket.close()  # to an end that is deaf
        assert time.monotonic() - begun < 3


async def test_a_half_open_connection_is_found_and_one_that_thaws_in_time_is_kept() -> None:
    async with Exchange() as exchange, Forwarder(exchange.port) as between, door() as through:
        connected = await through.connect(f"{between.ws_url}/ws", headers={}, subprotocol=None)
        between.freeze()
        waiting = asyncio.create_task(connected.receive())
        await asyncio.wait([waiting], timeout=0.15)
        between.thaw()
        await asyncio.wait([waiting], timeout=0.6)
        assert not waiting.done()
        between.freeze()
        begun = time.monotonic()
        with pytest.raises(ConnectionLostError) as caught:
            await asyncio.wait_for(waiting, 5)
        assert time.monotonic() - begun < 2
        assert caught.value.problem == HALF_OPEN
        await connected.close()
        between.thaw()
        await until(lambda: exchange.connections == 0, "the exchange hears of it")


async def test_a_sender_on_a_half_open_connection_is_set_free() -> None:
    async with Exchange() as exchange, Forwarder(exchange.port) as between, door() as through:
        socket = await through.connect(f"{between.ws_url}/ws", headers={}, subprotocol=None)
        between.freeze()

        async def talk() -> None:
            while True:
                await socket.send("x" * 100_000)

        with pytest.raises(ConnectionLostError, match="half-open"):
            await asyncio.wait_for(talk(), 5)
        await socket.close()


async def test_a_connection_that_is_cut_is_told_as_a_reset() -> None:
    async with Exchange() as exchange, Forwarder(exchange.port) as between, door() as through:
        socket = await through.connect(f"{between.ws_url}/ws", headers={}, subprotocol=None)
        between.cut()
        with pytest.raises(ConnectionLostError) as caught:
            await asyncio.wait_for(socket.receive(), 5)
        assert caught.value.problem == "it broke off without a closing handshake: connection reset"
        await socket.close()
        assert (len(between.attempts), between.attempts[0] <= time.monotonic()) == (1, True)


@SECURE
@pytest.mark.parametrize("read", [0, 1_000])
async def test_a_flood_cannot_outwait_a_close(secure: bool, read: int, authority: Authority, tmp_path: Path) -> None:
    context: ssl.SSLContext | None = None
    connector = QUICK
    if secure:
        context = serving(authority.identity(), tmp_path)
        connector = attrs.evolve(QUICK, ssl=authority.client())
    async with Rogue("floods", ssl=context) as peer, door(connector) as through:
        socket = await enter(through, peer.ws_url)
        for _ in range(read):
            assert await socket.receive() == '{"flood": true}'
        await asyncio.sleep(0.1)  # for every buffer to fill, which is what makes it hard
        begun = time.monotonic()
        await socket.close()
        assert time.monotonic() - begun < 3
        await until(lambda: peer.open == 0, "the flood has ended")


async def test_messages_are_compressed_where_the_other_end_agrees() -> None:
    seen: list[str] = []

    async def tell(connection: ServerConnection) -> None:
        seen.extend(extension.name for extension in connection.protocol.extensions)
        await connection.send("x" * 5_000)
        await connection.wait_closed()

    async with serve(tell, "127.0.0.1", 0) as server, door() as through:
        socket = await enter(through, f"ws://127.0.0.1:{port_of(server)}")
        assert await socket.receive() == "x" * 5_000
        await socket.close()
    assert seen == ["permessage-deflate"]


async def test_a_bomb_takes_no_more_memory_than_a_message_may_have() -> None:
    limit = 2**20
    async with Rogue("bomb") as peer, door(WebSocketConnector(max_message=limit)) as through:
        await asyncio.sleep(0)
        tracemalloc.start()
        try:
            socket = await enter(through, peer.ws_url)
            with pytest.raises(ConnectionLostError, match=f"longer than {limit} bytes"):
                await asyncio.wait_for(socket.receive(), 5)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 * limit < HUGE / 4
        await socket.close()
