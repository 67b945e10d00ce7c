"""Ping frames: when they are sent, and what the absence of their pongs means."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Opcode

from adapters.bounds import Bounds
from compat import ConnectionLostError, Crossing, EventKind, WebSocketConnector
from tests.support.echo import open_module
from tests.support.legacy import KEY, URL, events_of
from tests.support.sockets import Connector, LocalSocket
from tests.support.waiting import HANG, drain, event_of, told, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
from tests.support.legacy import beating

pytestmark = pytest.mark.usefixtures("nothing_left")


class Silent:
    """A server that says ``data`` once on each connection and answers pings, or not."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self.pings = 0
        self.connections = 0

    async def serve(self, connection: ServerConnection) -> None:
        self.connections += 1
        receive = connection.protocol.recv_frame

        def watch(frame: Any) -> None:
            if frame.opcode is not Opcode.PING:
                receive(frame)
                return
            self.pings += 1
            if self._answers:
                receive(frame)

        connection.protocol.recv_frame = watch  # type: ignore[method-assign]
        await connection.send("data")
        await connection.wait_closed()


async def test_ping_frames_are_sent_and_their_pongs_keep_the_connection() -> None:
    server = Silent(answers=True)
    async with (
        serve(server.serve, "127.0.0.1", 0, ping_interval=None) as listening,
        open_on(listening, beating(transport={"pingIntervalMs": 50}), bounds=pong_within(HANG)) as plugin,
    ):
        async with plugin.stream(KEY) as stream:
            await drain(stream, 1)
            # No ping is sent before the pong to the one before it has come.
            await until(lambda: server.pings >= 4, "ping frames come")
        assert (server.connections, stream.stats.reconnects) == (1, 0)
        assert await told(stream, EventKind.HEARTBEAT) == []


def pong_within(seconds: float) -> Bounds:
    return Bounds(shortest_pong_timeout=seconds, longest_pong_timeout=seconds)


async def test_a_connection_without_pongs_is_lost_and_opened_anew() -> None:
    server, crossings = Silent(answers=False), list[Crossing]()
    async with serve(server.serve, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1) as listening:
        wasm = beating(transport={"pingIntervalMs": 50})
        async with (
            open_on(listening, wasm, observer=crossings.append, bounds=pong_within(0.1)) as plugin,
            plugin.stream(KEY) as stream,
        ):
            await drain(stream, 2)
            reconnect = await event_of(stream, EventKind.RECONNECT)
    assert "was lost: no pong came within 0.1 s" in reconnect.message
    assert events_of(crossings, "command")[:5] == ["connecting", "connected", "disconnected", "connecting", "connected"]


async def test_pongs_that_nobody_reads_for_the_consumer_is_slow_are_not_missed() -> None:
    pings = 0

    @attrs.define(eq=False)
    class Unanswered(LocalSocket):
        async def ping(self) -> None:
            nonlocal pings
            pings += 1
            await asyncio.Event().wait()

    class Unanswering(Connector):
        async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> LocalSocket:
            socket = await super().connect(url, headers=headers, subprotocol=subprotocol)
            made = Unanswered(socket.url, socket.headers, socket.subprotocol, socket.feed)
            self.sockets[-1] = made
            return made

    connector = Unanswering(lambda _: ["data"] * 20)
    wasm = beating(transport={"pingIntervalMs": 50})
    async with (
        open_module(wasm, connector, buffer=2, bounds=pong_within(0.05)) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await until(lambda: pings >= 4, "pings are sent, and given up")
        assert stream.stats.reconnects == 0
        await drain(stream, 20)
        # Now somebody listens, and it is silence.
        reconnect = await event_of(stream, EventKind.RECONNECT)
        assert "no pong came" in reconnect.message
        assert reconnect.sequence == 20


async def test_a_connector_whose_sockets_cannot_ping_works_as_before_and_that_is_told() -> None:
    connector = Connector(lambda _: ["data"])
    wasm = beating(transport={"pingIntervalMs": 50})
    async with open_module(wasm, connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
        event = await event_of(stream, EventKind.HEARTBEAT)
    assert "none are sent: the injected connector's sockets have no ping()" in event.message
    assert stream.stats.reconnects == 0


@pytest.mark.parametrize("problem", [ValueError("broken"), ConnectionLostError(URL, "it broke off")])
async def test_a_ping_that_fails_does_not_end_a_connection_on_which_messages_come(problem: Exception) -> None:
    pinged = asyncio.Event()

    @attrs.define(eq=False)
    class Broken(LocalSocket):
        async def ping(self) -> None:
            pinged.set()
            raise problem

    class Breaks(Connector):
        async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> LocalSocket:
            return Broken(url, headers, subprotocol, late())

    async def late() -> AsyncIterator[str]:
        await pinged.wait()
        await asyncio.sleep(0)
        yield "data"

    async with (
        open_module(beating(transport={"pingIntervalMs": 50}), Breaks()) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        assert stream.stats.reconnects == 0


def open_on(listening: Any, wasm: bytes, **chosen: Any) -> Any:
    """Open a module whose address leads to a server."""

    async def opens(_: str, headers: Mapping[str, str], __: str | None) -> Any:
        port = listening.sockets[0].getsockname()[1]
        return await connect(f"ws://127.0.0.1:{port}/", ping_interval=None, close_timeout=0.1)

    return open_module(wasm, WebSocketConnector(opens=opens), **chosen)  # type: ignore[arg-type]
