"""Reading many messages at once: all that is there, a fair share in a turn of the event loop, and nothing lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio import client
from websockets.asyncio.server import serve
from websockets.protocol import State

from adapters.net.errors import ConnectionLostError
from adapters.net.socket import BatchSocket, WebSocketConnector
from tests.support.doors import NoConnector, door, enter, kept
from tests.support.guest_networks import ScriptedSocket
from tests.support.rogue.peer import Peer
from tests.support.rogue.wire import CLOSE, Wire, frame, reset
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from websockets.asyncio.server import ServerConnection

    from adapters.net.connection import KeptConnection
    from adapters.net.gateway import GuardedSocket
    from adapters.net.socket import Socket

pytestmark = pytest.mark.usefixtures("nothing_open")

SHARE = 256


class Saying(Peer):
    """Accepts a WebSocket, says the given bytes and leaves when it may."""

    def __init__(self, said: bytes, *, resets: bool = False) -> None:
        super().__init__()
        self.may_leave = asyncio.Event()
        self._said, self._resets = said, resets

    async def serve(self, wire: Wire) -> None:
        await wire.upgrade()
        await wire.send(self._said)
        await self.may_leave.wait()
        if self._resets:
            reset(wire.writer)


async def read(socket: GuardedSocket, count: int, most: int = 10_000) -> tuple[list[str | bytes], list[int]]:
    """So many messages, and in how large batches they came."""
    batches: list[list[str | bytes]] = []
    async with asyncio.timeout(HANG):
        while sum(map(len, batches)) < count:
            batches.append(await socket.receive_many(most))
    return [message for batch in batches for message in batch], [len(batch) for batch in batches]


async def test_what_is_there_comes_at_once_and_no_more_than_asked_for() -> None:
    async with Saying(b"".join(frame(b"%d" % n) for n in range(100))) as peer, door() as through:
        socket = await enter(through, peer.ws_url)
        assert await socket.receive() == "0"
        messages, batches = await read(socket, 99, most=40)
        assert messages == [str(n) for n in range(1, 100)]
        assert max(batches) <= 40
        peer.may_leave.set()
        await socket.close()


async def test_a_loss_is_raised_after_what_came_before_it() -> None:
    said = frame(b"one") + frame(b"\xff", opcode=2) + frame(b"\x03\xe8bye", opcode=CLOSE)
    async with Saying(said) as peer, door() as through:
        socket = await enter(through, peer.ws_url)
        messages, _ = await read(socket, 2)
        assert messages == ["one", b"\xff"]
        peer.may_leave.set()
        for _ in range(2):
            with pytest.raises(ConnectionLostError, match="closed it with code 1000 'bye'"):
                await socket.receive_many(9)
        await socket.close()


async def test_a_wait_that_is_cancelled_loses_nothing() -> None:
    async with serve(echo, "127.0.0.1", 0) as server, door() as through:
        socket = await enter(through, f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
        for n in range(50):
            waiting = asyncio.create_task(socket.receive_many(9))
            await socket.send(str(n))
            for _ in range(n % 7):
                await asyncio.sleep(0)
            waiting.cancel()
            try:
                got = await waiting
            except asyncio.CancelledError:
                got, _ = await read(socket, 1)
            assert got == [str(n)]
        await socket.close()


async def echo(connection: ServerConnection) -> None:
    """Send back what comes."""
    async for message in connection:
        await connection.send(message)


async def test_a_connection_that_breaks_while_much_is_unread_loses_nothing_of_what_had_come() -> None:
    made: list[KeptConnection] = []
    said = b"".join(frame(b"%d" % n) for n in range(5_000))
    async with Saying(said, resets=True) as peer, door(kept(opened=made.append)) as through:
        socket = await enter(through, peer.ws_url)
        await until(lambda: not made[0].transport.is_reading(), "a share is read")
        assert len(made[0].inbox.messages) == SHARE
        peer.may_leave.set()
        messages, _ = await read(socket, 5_000)
        assert messages == [str(n) for n in range(5_000)]
        with pytest.raises(ConnectionLostError, match="broke off"):
            await socket.receive()
        await socket.close()


@pytest.mark.parametrize("payload", [b"", b"x" * 100, b"x" * 5_000], ids=len)
async def test_a_connection_reads_no_more_than_its_share_in_a_turn_of_the_loop(payload: bytes) -> None:
    made: list[KeptConnection] = []
    count = 20_000 if len(payload) < 1_000 else 500
    async with Saying(frame(payload) * count) as peer, door(kept(opened=made.append)) as through:
        socket = await enter(through, peer.ws_url)
        inbox, turns, got = made[0].inbox, 0, 0
        async with asyncio.timeout(HANG):
            while got < count:
                await asyncio.sleep(0)  # a turn
                turns += 1
                came = inbox.take(10_000)
                assert len(came) <= SHARE
                got += len(came)
        assert turns >= count / SHARE
        peer.may_leave.set()
        await socket.close()


async def test_the_other_connections_are_heard_while_one_is_flooded() -> None:
    async with Saying(frame(b"") * 200_000) as flood, door() as through:
        flooded = await enter(through, flood.ws_url)
        async with serve(echo, "127.0.0.1", 0) as server:
            quiet = await enter(through, f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}")
            reading = asyncio.create_task(read(flooded, 200_000))
            for n in range(10):
                await quiet.send(str(n))
                assert await quiet.receive() == str(n)
            await quiet.close()
        _, batches = await reading
        assert max(batches) <= SHARE
        flood.may_leave.set()
        await flooded.close()


async def test_connections_of_a_function_of_ones_own_come_message_by_message() -> None:
    async def opens(url: str, _: Mapping[str, str], __: str | None) -> client.ClientConnection:
        return await client.connect(url)

    async with Saying(frame(b"a") + frame(b"b")) as peer:
        socket = await WebSocketConnector(opens=opens).connect(peer.ws_url, headers={}, subprotocol=None)
        assert isinstance(socket, BatchSocket)
        assert [await socket.receive_many(9) for _ in range(2)] == [["a"], ["b"]]
        peer.may_leave.set()
        await socket.close()


class Odd(NoConnector):
    """A connector whose sockets hand out the given things."""

    def __init__(self, *things: object) -> None:
        super().__init__()
        self.things = things

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        class Handing(ScriptedSocket):
            async def receive_many(self, _: int) -> object:
                return things.pop(0)

        things = list(self.things)
        return Handing()


@pytest.mark.parametrize(("thing", "named"), [(["a", 5], "int"), ([], "list"), (None, "NoneType"), ("abc", "str")])
async def test_batches_that_are_none_count_as_a_loss(thing: object, named: str) -> None:
    async with door(Odd(["a"], thing)) as through:
        socket = await enter(through, "ws://127.0.0.1:1")
        assert await socket.receive_many(9) == ["a"]
        with pytest.raises(ConnectionLostError, match=f"its socket returned {named}"):
            await socket.receive_many(9)
        await socket.close()


async def test_frames_in_pieces_do_not_lift_the_bound_of_what_waits() -> None:
    made: list[KeptConnection] = []
    async with Saying(b"") as peer, door(kept(opened=made.append)) as through:
        socket = await enter(through, peer.ws_url)
        connection = made[0]
        whole = frame(b"x" * 70_000)
        for piece in (frame(b"") * (SHARE - 1) + whole[:20], whole[20:] + whole[:20], whole[20:], frame(b"") * 20_000):
            connection.data_received(piece)  # as the transport does while it is read
            if not connection.transport.is_reading():
                break
        assert len(connection.inbox.messages) <= SHARE + 1
        peer.may_leave.set()
        await socket.close()


async def test_a_message_that_cannot_be_read_fails_its_connection_before_anybody_takes_it() -> None:
    made: list[KeptConnection] = []
    said = frame(b"good") + frame(b"\xff") + frame(b"") * 1_000
    async with Saying(said) as peer, door(kept(opened=made.append)) as through:
        socket = await enter(through, peer.ws_url)
        await until(lambda: made[0].state is not State.OPEN, "it is failed")
        assert await socket.receive_many(9) == ["good"]
        with pytest.raises(ConnectionLostError, match="UTF-8"):
            await socket.receive_many(9)
        peer.may_leave.set()
        await socket.close()
