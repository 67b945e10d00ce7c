"""Every way in which a peer can misbehave, seen through the one door: the exact error, no secret, nothing left open."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import attrs
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.protocol import State

from adapters.net.errors import ConnectFailedError, ConnectionLostError
from adapters.net.socket import WebSocketConnector
from detectors.errors import NetworkError
from tests.support.doors import HASTY, QUICK, SECRET, door, enter, kept
from tests.support.rogue.behaviours import BEHAVIOURS
from tests.support.rogue.peer import Peer, Rogue, closed_port
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    from adapters.net.connection import KeptConnection

pytestmark = pytest.mark.usefixtures("nothing_open")

UNREACHABLE = "Check that it can be reached from here, or redirect the plugin to another address by a rewrite"
AGAIN = "If it goes on, the exchange may bar this address, or is overloaded"
SPEAKS_TLS = "If the server speaks TLS, lead there with wss://"
NO_WEBSOCKET = "Check that the address is that of a WebSocket"
HUNG_UP = "the server closed the connection during the handshake"
LESS_OFTEN = "The exchange asks to be called less often: open fewer streams, or come back later"
RAISE = "If that is a message as it should be, raise max_message"


@attrs.frozen
class Refusal:
    """How a connection comes to nothing.

    Attributes:
        problem: What is told.
        or_else: What is told instead if the end of the connection is here before our request is there.
    """

    problem: str
    remedy: str = ""
    status: int | None = None
    retry_after: float | None = None
    or_else: str = ""


@attrs.frozen
class Loss:
    """What is received, and how the connection ends then."""

    problem: str
    remedy: str = ""
    received: tuple[str, ...] = ()


def breach(words: str) -> Loss:
    return Loss(f"what came breaks the WebSocket protocol: {words}")


HALF_OPEN = "no answer to a ping within 0.2 s: the connection is half-open"

REFUSALS = {
    "says nothing": Refusal("no answer in time", UNREACHABLE),
    "leaves at once": Refusal("connection reset", f"{AGAIN}. {SPEAKS_TLS}", or_else=HUNG_UP),
    "leaves once asked": Refusal(HUNG_UP, f"{AGAIN}. {SPEAKS_TLS}"),
    "resets once asked": Refusal("connection reset", f"{AGAIN}. {SPEAKS_TLS}"),
    "429 with seconds": Refusal(
        "the server answered with HTTP status 429, and asks for 7 s of patience", LESS_OFTEN, 429, 7.0
    ),
    "429 with a date that has passed": Refusal("the server answered with HTTP status 429", LESS_OFTEN, 429, 0.0),
    "429 with nonsense": Refusal("the server answered with HTTP status 429", LESS_OFTEN, 429),
    "503": Refusal(
        "the server answered with HTTP status 503", "Check whether the exchange is in service, or come back later", 503
    ),
    "401": Refusal(
        "the server answered with HTTP status 401", "Check the credentials in the plugin's configuration", 401
    ),
    "302": Refusal(
        "the server answered with HTTP status 302",
        "Redirects are not followed: lead the plugin to the new address by a rewrite",
        302,
    ),
    "200": Refusal("the server answered with HTTP status 200", NO_WEBSOCKET, 200),
    "no HTTP": Refusal("the handshake failed: did not receive a valid HTTP response", f"{NO_WEBSOCKET}. {SPEAKS_TLS}"),
    "no key": Refusal("the header Sec-WebSocket-Accept is missing or unusable"),
}
LOSSES = {
    "stays silent": Loss(HALF_OPEN),
    "leaves in mid-message": Loss("it broke off without a closing handshake"),
    "resets in mid-message": Loss("it broke off without a closing handshake: connection reset"),
    "invalid opcode": breach("invalid opcode"),
    "invalid opcode, then deaf": breach("invalid opcode"),
    "masked frame": breach("incorrect masking"),
    "reserved bits": breach("reserved bits must be 0"),
    "continuation of nothing": breach("unexpected continuation frame"),
    "invalid UTF-8": Loss("a text message that came is not UTF-8: invalid start byte at position 0"),
    "text that is no JSON": Loss(HALF_OPEN, received=("<html>502 Bad Gateway</html>",)),
    "too long a message": Loss("a message is longer than 10000 bytes", RAISE),
    "too long a message in parts": Loss("a message is longer than 10000 bytes", RAISE),
    "bomb": Loss("a message is longer than 10000 bytes", RAISE),
    "closes often": Loss("the other end closed it with code 1001 'going away'"),
    "closes, then deaf": Loss("the other end closed it with code 1000"),
    "refuses by a close": Loss("the other end closed it with code 1008 'no *** for you'"),
}
ELSEWHERE = {"drips", "floods", "no TLS"}  # below, in test_connection and in test_tls
DEAF = kept(close_timeout=0.1)  # for peers that never answer a close


def test_every_behaviour_is_looked_at() -> None:
    assert REFUSALS.keys() | LOSSES.keys() | ELSEWHERE == BEHAVIOURS.keys()


def check(error: NetworkError, peer: Peer, wanted: Refusal | Loss) -> None:
    assert isinstance(error, ConnectFailedError if isinstance(wanted, Refusal) else ConnectionLostError)
    assert (error.problem, error.remedy) == (wanted.problem, wanted.remedy)
    assert error.url == f"{peer.ws_url}/x"
    assert SECRET not in f"{error!s} {error!r} {vars(error)} {error.__cause__!r}"


@pytest.mark.parametrize("behaviour", REFUSALS)
async def test_a_peer_that_opens_no_websocket(behaviour: str) -> None:
    wanted = REFUSALS[behaviour]
    connector = HASTY if behaviour == "says nothing" else QUICK
    async with Rogue(behaviour) as peer, door(connector) as through:
        with pytest.raises(ConnectFailedError) as caught:
            await enter(through, peer.ws_url)
        if caught.value.problem == wanted.or_else:
            wanted = attrs.evolve(wanted, problem=wanted.or_else)
        check(caught.value, peer, wanted)
        assert (caught.value.status, caught.value.retry_after) == (wanted.status, wanted.retry_after)
        assert len(peer.attempts) == 1


async def test_a_port_on_which_nobody_listens() -> None:
    async with door() as through:
        with pytest.raises(ConnectFailedError) as caught:
            await enter(through, f"ws://127.0.0.1:{closed_port()}")
    assert (caught.value.problem, caught.value.remedy) == ("connection refused", UNREACHABLE)


@pytest.mark.parametrize("behaviour", LOSSES)
async def test_a_peer_that_loses_its_connection(behaviour: str) -> None:
    wanted = LOSSES[behaviour]
    async with Rogue(behaviour) as peer, door(DEAF if behaviour.endswith("deaf") else QUICK) as through:
        socket = await enter(through, peer.ws_url)
        for message in wanted.received:
            assert await socket.receive() == message
        with pytest.raises(ConnectionLostError) as caught:
            async with asyncio.timeout(HANG):  # one that is deaf never ends anything by itself
                await socket.receive()
        check(caught.value, peer, wanted)
        for use in (socket.receive, lambda: socket.send("x"), socket.ping):  # it is told as often as one asks
            with pytest.raises(ConnectionLostError) as again:
                await use()
            assert again.value.problem == wanted.problem
        await socket.close()


async def test_a_peer_that_behaves_after_a_time_is_connected_to() -> None:
    async with Rogue("drips") as good, Rogue("leaves once asked", times=2, upstream=good.port) as peer:
        async with door() as through:
            for _ in range(2):
                with pytest.raises(ConnectFailedError):
                    await enter(through, peer.ws_url)
            socket = await enter(through, peer.ws_url)
            assert await socket.receive() == '{"drip": 0}'
            await socket.close()
        assert (len(peer.attempts), len(good.attempts)) == (3, 1)


async def test_a_refusal_by_an_injected_connector_keeps_its_status_and_how_long_to_wait() -> None:
    class Refusing:
        async def connect(self, url: str, **_: object) -> object:
            raise ConnectFailedError(url, f"no {SECRET}", remedy="Wait", status=429, retry_after=0.5)

    async with door(Refusing()) as through:  # type: ignore[arg-type]
        with pytest.raises(ConnectFailedError) as caught:
            await enter(through, "ws://a.example:1")
    found = caught.value
    assert (found.problem, found.remedy, found.status, found.retry_after) == ("no ***", "Wait", 429, 0.5)
    assert found.url == "ws://a.example:1/x"


async def test_what_a_server_repeats_of_what_it_was_sent_is_not_shown() -> None:
    async def refuse(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        await connection.close(4401, f"{request.headers['X-Key']} for {request.path} is no good")

    async with serve(refuse, "127.0.0.1", 0) as server, door() as through:
        port = next(iter(server.sockets)).getsockname()[1]
        headers = {"X-Key": "k3y-of-mine"}
        socket = await through.connect(f"ws://127.0.0.1:{port}/x?listenKey=l1sten", headers=headers, subprotocol=None)
        with pytest.raises(ConnectionLostError) as caught:
            await socket.receive()
        assert "'*** for /x?listenKey=*** is no good'" in caught.value.problem
        await socket.close()


async def test_a_peer_that_never_reads_is_given_up() -> None:
    async with Rogue("floods") as peer, door(WebSocketConnector(send_timeout=0.3)) as through:
        socket = await enter(through, peer.ws_url)

        async def send_for_ever() -> None:
            while True:
                await socket.send("x" * 100_000)

        with pytest.raises(ConnectionLostError, match=r"has read nothing for 0\.3 s"):
            async with asyncio.timeout(HANG):
                await send_for_ever()
        await socket.close()


async def test_closing_that_is_interrupted_leaves_nothing_open() -> None:
    opened: list[KeptConnection] = []
    async with Rogue("stays silent") as peer, door(kept(opened=opened.append, close_timeout=3_600.0)) as through:
        socket = await enter(through, peer.ws_url)
        closing = asyncio.create_task(socket.close())
        await until(lambda: opened[0].state is State.CLOSING, "it waits for the other end, which is deaf")
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        await until(lambda: opened[0].state is State.CLOSED, "the connection is given up")
