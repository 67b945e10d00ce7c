"""Keepalive and ending: what is alive is kept however slow its reader, what is dead is found, nothing ends late.

A connection looks at itself 8 times between two pings, and gives itself up at the 8th look after a ping since which
nothing came. Where that is tried, the test lets it take each look.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from adapters.net.errors import ConnectionLostError
from adapters.net.socket import WebSocketConnector
from compat.demo.exchange import Exchange
from tests.support.doors import QUICK, Looks, door, enter, kept
from tests.support.rogue.behaviours import HUGE
from tests.support.rogue.certificates import serving
from tests.support.rogue.peer import Forwarder, Peer, Rogue
from tests.support.rogue.wire import CLOSE, Wire, frame
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    from pathlib import Path

    from adapters.net.connection import KeptConnection
    from adapters.net.gateway import GuardedSocket
    from tests.support.rogue.certificates import Authority

pytestmark = pytest.mark.usefixtures("nothing_open")

HALF_OPEN = "no answer to a ping within 0.2 s: the connection is half-open"


def port_of(server: object) -> int:
    port: int = next(iter(server.sockets)).getsockname()[1]  # type: ignore[attr-defined]
    return port


async def lost(socket: GuardedSocket) -> str:
    """How a connection ends of which nothing more is to come."""
    with pytest.raises(ConnectionLostError) as caught:
        async with asyncio.timeout(HANG):
            await socket.receive()
    return caught.value.problem


async def alive(socket: GuardedSocket) -> None:
    """Nothing has ended it: there and back, something still comes."""
    async with asyncio.timeout(HANG):
        await socket.ping()


async def talk(socket: GuardedSocket) -> None:
    """Send until the connection is lost."""
    while True:
        await socket.send("x" * 100_000)


class Telling(Peer):
    """Accepts a WebSocket, sends what bytes it is told to, and answers nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: asyncio.Queue[bytes] = asyncio.Queue()

    async def serve(self, wire: Wire) -> None:
        await wire.upgrade()
        while True:
            await wire.send(await self.bytes.get())


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
    looks = Looks(ssl=authority.client() if secure else None)
    async with serve(
        flood, "127.0.0.1", 0, ssl=context, ping_interval=None, compression=None, close_timeout=0.1
    ) as server:
        url = f"{'wss' if secure else 'ws'}://127.0.0.1:{port_of(server)}"
        socket = await looks.connector.connect(url, headers={}, subprotocol=None)
        for n in range(1_500):  # more than all buffers on the way hold
            if n in (1, 700):
                await until(lambda: not looks.connection.transport.is_reading(), "the other end waits")
                await looks.take(24)  # three times as many as the other end may be silent for
            assert str(await socket.receive()).startswith(f"{n} ")
        await socket.close()
        sent[0].transport.abort()


async def test_a_blocked_event_loop_is_not_taken_for_silence() -> None:
    looks = Looks()
    async with Telling() as peer, door(looks.connector) as through:
        socket = await enter(through, peer.ws_url)
        await looks.take(8)  # a ping
        time.sleep(0.3)  # noqa: ASYNC251 - longer than the other end may be silent
        await looks.take(7)
        assert not looks.connection.half_open
        peer.bytes.put_nowait(frame(b"{}"))
        assert await socket.receive() == "{}"
        await socket.close()


async def test_a_quiet_connection_whose_pings_are_answered_is_kept() -> None:
    looks = Looks()
    async with Exchange() as exchange, door(looks.connector) as through:
        socket = await through.connect(f"{exchange.ws_url}/ws", headers={}, subprotocol=None)
        for _ in range(5):
            await looks.take(8)
            await looks.hear()  # the answer to the ping of the 8th
        await alive(socket)
        await socket.close()


async def test_bytes_are_a_sign_of_life_though_no_ping_is_answered() -> None:
    looks = Looks()
    async with Telling() as peer, door(looks.connector) as through:
        socket = await enter(through, peer.ws_url)
        await looks.take(7)
        for n in range(2):
            for byte in frame(json.dumps({"drip": n}).encode()):
                peer.bytes.put_nowait(bytes([byte]))
                await looks.hear()
                await looks.take(8)  # a ping, and 7 after which nothing has come
                assert not looks.connection.half_open
            assert await socket.receive() == json.dumps({"drip": n})
        await looks.take(1)
        assert looks.connection.half_open
        assert await lost(socket) == HALF_OPEN
        await socket.close()


async def opened_by(connector: WebSocketConnector, url: str) -> KeptConnection:
    """The connection below a socket that it opens and closes."""
    socket: Any = await connector.connect(url, headers={}, subprotocol=None)
    connection: KeptConnection = socket._connection
    await socket.close()
    return connection


async def test_a_connection_has_the_bounds_of_its_connector() -> None:
    async with Exchange() as exchange:
        connection = await opened_by(QUICK, f"{exchange.ws_url}/ws")
    assert (connection.ping_interval, connection.close_timeout) == (0.2, 1.0)


async def test_without_keepalive_nothing_looks_for_silence() -> None:
    looks: list[bool] = []

    def note(connection: KeptConnection) -> None:
        looks.append(connection.keepalive_task is not None)

    async with Exchange() as exchange:
        url = f"{exchange.ws_url}/ws"
        assert (await opened_by(attrs.evolve(QUICK, keepalive=None), url)).ping_interval is None
        await opened_by(kept(ping_interval=None, opened=note), url)
        await opened_by(kept(ping_interval=0.2, opened=note), url)
    assert looks == [False, True]


async def test_a_half_open_connection_is_found_and_one_that_thaws_in_time_is_kept() -> None:
    looks = Looks()
    async with Exchange() as exchange, Forwarder(exchange.port) as between, door(looks.connector) as through:
        socket = await through.connect(f"{between.ws_url}/ws", headers={}, subprotocol=None)
        between.freeze()
        await looks.take(8 + 7)
        between.thaw()
        await looks.hear()
        await looks.take(1)
        await looks.hear()  # the answer to the next ping
        await looks.take(7)
        await alive(socket)
        between.freeze()
        waiting = asyncio.create_task(lost(socket))
        await looks.take(8 + 8)
        assert await waiting == HALF_OPEN
        await socket.close()
        between.thaw()
        await until(lambda: exchange.connections == 0, "the exchange hears of it")


async def test_a_sender_on_a_half_open_connection_is_set_free() -> None:
    looks = Looks()
    async with Exchange() as exchange, Forwarder(exchange.port) as between, door(looks.connector) as through:
        socket = await through.connect(f"{between.ws_url}/ws", headers={}, subprotocol=None)
        between.freeze()
        talking = asyncio.create_task(talk(socket))
        await until(lambda: looks.connection.transport.get_write_buffer_size() > 2**15, "the sender waits")
        await looks.take(8 + 8)
        with pytest.raises(ConnectionLostError, match="half-open"):
            await talking
        await socket.close()


async def test_a_connection_that_is_cut_is_told_as_a_reset() -> None:
    async with Exchange() as exchange, Forwarder(exchange.port) as between, door() as through:
        socket = await through.connect(f"{between.ws_url}/ws", headers={}, subprotocol=None)
        between.cut()
        assert await lost(socket) == "it broke off without a closing handshake: connection reset"
        await socket.close()
        assert len(between.attempts) == 1


@SECURE
@pytest.mark.parametrize("read", [0, 1_000])
async def test_a_flood_that_never_ends_cannot_outwait_a_close(
    secure: bool, read: int, authority: Authority, tmp_path: Path
) -> None:
    context = serving(authority.identity(), tmp_path) if secure else None
    looks = Looks(ssl=authority.client() if secure else None)
    async with Rogue("floods", ssl=context) as peer, door(looks.connector) as through:
        socket = await enter(through, peer.ws_url)
        for _ in range(read):
            assert await socket.receive() == '{"flood": true}'
        # Every buffer is full then, which is what makes it hard.
        await until(lambda: not looks.connection.transport.is_reading(), "nothing is read any more")
        await socket.close()
        await until(lambda: peer.open == 0, "the flood has ended")


async def test_a_sender_that_waits_for_ever_cannot_outwait_a_close() -> None:
    looks = Looks()
    async with Rogue("stays silent") as peer, door(looks.connector) as through:
        socket = await enter(through, peer.ws_url)
        talking = asyncio.create_task(talk(socket))
        await until(lambda: looks.connection.transport.get_write_buffer_size() > 2**15, "the sender waits")
        await socket.close()
        with pytest.raises(ConnectionLostError):
            await talking


class Reserved(Peer):
    """Accepts a WebSocket, hears its close, and answers that once it may."""

    def __init__(self) -> None:
        super().__init__()
        self.heard, self.may_answer = asyncio.Event(), asyncio.Event()

    async def serve(self, wire: Wire) -> None:
        await wire.upgrade()
        await wire.stay()
        self.heard.set()
        gone = asyncio.create_task(wire.listen())
        answering = asyncio.create_task(self.may_answer.wait())
        await asyncio.wait([gone, answering], return_when=asyncio.FIRST_COMPLETED)
        if self.may_answer.is_set():
            await wire.send(frame(b"\x03\xe8", opcode=CLOSE))
        for task in (gone, answering):
            task.cancel()


async def test_closing_waits_for_the_answer_of_the_other_end() -> None:
    async with Reserved() as peer, door(kept(close_timeout=3_600.0)) as through:
        socket = await enter(through, peer.ws_url)
        closing = asyncio.create_task(socket.close())
        await peer.heard.wait()
        assert not closing.done()
        peer.may_answer.set()
        await closing
        assert await lost(socket) == "closed by us (1000 (OK))"


async def test_closing_does_not_wait_for_ever_for_an_answer() -> None:
    async with Reserved() as peer, door(kept(close_timeout=0.1)) as through:
        socket = await enter(through, peer.ws_url)
        await socket.close()
        await until(lambda: peer.open == 0, "the other end knows")
        assert await lost(socket) == "closed by us (1000 (OK))"


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
            assert await lost(socket) == f"a message is longer than {limit} bytes"
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 * limit < HUGE / 4
        await socket.close()
