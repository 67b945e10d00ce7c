"""Generic guests whose connection is dead, and that do not do about it what they should."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.progress import Progress
from compat import ConnectFailedError, ConnectionLostError, Crossing, Direction, EventKind, StreamState
from tests.support.clocks import FOREVER
from tests.support.echo import open_module
from tests.support.guests import Answer, guest
from tests.support.sockets import Connector, Feed, refused
from tests.support.standing import ALLOWING, CONNECT, KEY, PUBLISH, SEND, STARTED, entries, starting, written_in
from tests.support.waiting import drain, event_of, told, until

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "wss://stream.simex.example/ws"
REQUEST = ("http_request", {"url": "https://elsewhere.example/"})  # which is denied
FIRST, SECOND = (("ws_receive", {"connectionId": name, "timeoutMs": 20}) for name in ("ws-1", "ws-2"))

pytestmark = pytest.mark.usefixtures("nothing_left")


def lost_after(*messages: str) -> Iterator[str]:
    """A feed that breaks after these messages."""
    yield from messages
    raise ConnectionLostError(URL, "it broke off")


def looping(*calls: tuple[str, object]) -> bytes:
    """A guest whose ``start_stream`` makes these calls, the whole row, for ever."""
    return guest({"start_stream": Answer(calls=calls, then="again"), "stop_stream": Answer(STARTED)})


async def test_one_that_only_sends_is_told_of_the_loss_and_replaced() -> None:
    connector = Connector(lambda number: lost_after() if not number else ())
    once = guest(
        {
            "start_stream": Answer(STARTED, calls=[CONNECT, PUBLISH]),
            "stop_stream": Answer(STARTED),
            "get_name": Answer("sends", calls=[SEND]),
        }
    )
    progress = Progress(asking_after=0.1, lost_after=FOREVER, unasked_after=FOREVER, returned_after=FOREVER)
    once = written_in("TinyGo", once)  # so that it is not given up at once
    async with open_module(once, connector, policy=ALLOWING, progress=progress) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)  # the second is of another guest
        assert "it broke off" in (await event_of(stream, EventKind.RESTART)).message


async def test_one_that_fails_to_connect_again_and_again_is_given_up() -> None:
    connector = Connector(refused)
    progress = Progress(lost_after=0.3)
    async with (
        open_module(looping(CONNECT), connector, policy=ALLOWING, progress=progress) as plugin,
        plugin.stream(KEY) as stream,
    ):
        with pytest.raises(ConnectFailedError, match="connection refused"):
            await anext(stream)
    assert connector.asked > 1


async def test_one_that_parked_and_never_asked_for_what_came_before_the_loss_is_replaced() -> None:
    connector = Connector(lambda number: lost_after("an error") if not number else ())
    wasm = starting(CONNECT, PUBLISH, meta=Answer({}))
    progress = Progress(standing_after=0.2, unasked_after=FOREVER)
    async with open_module(wasm, connector, policy=ALLOWING, progress=progress) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
        assert "it broke off" in (await event_of(stream, EventKind.RESTART)).message


async def test_messages_that_wait_on_another_connection_than_the_one_that_is_asked_are_told() -> None:
    def feed(number: int) -> Feed:
        return ["one", "two"] if number == 1 else ()

    connected = guest(
        {
            "start_stream": Answer(STARTED, calls=[CONNECT, CONNECT, PUBLISH]),
            "stop_stream": Answer(STARTED),
            "get_name": Answer("asks", calls=[FIRST]),
        }
    )
    progress = Progress(told_after=0.2)
    async with (
        open_module(connected, Connector(feed), policy=ALLOWING, progress=progress) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        event = await event_of(stream, EventKind.PROGRESS)
        assert event.message.startswith("it takes none of the messages that wait for 0 s: ")
        assert "2 waiting" in event.message
    assert stream.stats.restarts == 0


async def test_what_nobody_will_take_of_a_connection_that_has_ended_does_not_count() -> None:
    connector = Connector(lambda number: lost_after("one", "two") if not number else ())
    wasm = starting(CONNECT, CONNECT, PUBLISH, get_name=Answer("asks", calls=[SECOND]))
    progress = Progress(told_after=0.1, standing_after=0.1, unasked_after=0.1)
    crossings: list[Crossing] = []
    async with (
        open_module(wasm, connector, policy=ALLOWING, observer=crossings.append, progress=progress) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        await until(lambda: len(entries(crossings, "get_name")) > 30, "it is entered")
        assert stream.stats.restarts == 0
    assert await told(stream, EventKind.PROGRESS) == []


async def test_one_that_goes_on_without_a_connection_recovers_once_and_not_between_any_two_items() -> None:
    async with (
        open_module(looping(CONNECT, PUBLISH), Connector(refused), policy=ALLOWING) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 6)  # with ever more time between them, as its attempts fail
    states = [event.state for event in await told(stream, EventKind.STATE)]
    assert states.count(StreamState.RECOVERING) <= 1


async def test_a_door_that_makes_requests_of_its_own_is_not_taken_for_the_guest() -> None:
    crossings: list[Crossing] = []
    wasm = starting(CONNECT, FIRST, FIRST, PUBLISH, plugin_info=Answer({}, calls=[REQUEST]), meta=Answer({}))
    progress = Progress(standing_after=0.5)
    connector = Connector(lambda _: ["one", "two", "three"])
    async with (
        open_module(wasm, connector, policy=ALLOWING, observer=crossings.append, progress=progress) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 2)  # of two guests
        assert "takes none of the messages that wait" in (await event_of(stream, EventKind.RESTART)).message
    called = [crossing.name for crossing in crossings if crossing.direction is Direction.CALL]
    assert called[called.index("start_stream") + 1] == "meta"  # before the other, which is busy by itself
