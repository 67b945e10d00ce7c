"""The legacy driver: every way in which a stream or its plugin may fail, and what follows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from adapters.bounds import Bounds
from adapters.dialects import DIALECTS
from compat import (
    Backoff,
    ConnectFailedError,
    ConnectionLostError,
    Crossing,
    EventKind,
    OutageError,
    PluginTimeoutError,
    PluginTrapError,
    StreamRejectedError,
    StreamState,
)
from tests.support.clocks import Clock, hurry
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.legacy import KEY, URL, at, breaking, events_of, legacy, on
from tests.support.plugins import candle_key
from tests.support.sockets import Connector, refused
from tests.support.waiting import HANG, drain, event_of, told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from compat import StreamEvent
    from tests.support.sockets import Feed, LocalSocket

PATIENT = Bounds(farewell_timeout=HANG)
pytestmark = pytest.mark.usefixtures("nothing_left")


async def test_a_plugin_that_fails_on_a_hundred_messages_in_a_row_has_failed() -> None:
    answer = on("odd", {"success": False, "error": "cannot parse it"}, code=1)
    connector = Connector(lambda _: [*["odd"] * 99, "data", *["odd"] * 100, "data"])
    async with open_module(legacy("callback", answer), connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
        with pytest.raises(StreamRejectedError, match="failed on 100 messages in a row, last: cannot parse it"):
            await drain(stream, 1)
        assert stream.stats.plugin_errors == 199


async def test_a_guest_that_traps_is_replaced_and_all_its_streams_go_on() -> None:
    crossings: list[Crossing] = []
    quiet = asyncio.Event()

    async def slowly() -> Any:
        yield "data"
        await quiet.wait()
        yield "data"

    def feed(connection: int) -> Feed:
        feeds: list[Feed] = [slowly(), ["data", "trap"]]
        return feeds[connection] if connection < 2 else ["data", "data"]

    connector = Connector(feed)
    wasm = legacy("command", on("trap", then="trap"))
    async with (
        open_module(wasm, connector, observer=crossings.append, guests=1) as plugin,
        plugin.stream(KEY) as bystander,
    ):
        await drain(bystander, 1)
        async with plugin.stream(candle_key("ETH-USDT")) as culprit:
            await drain(culprit, 3)
            assert culprit.stats.restarts == culprit.stats.gaps == culprit.stats.reconnects == 1
            assert "handle_stream_message trapped" in (await event_of(culprit, EventKind.RESTART)).message
        quiet.set()
        await drain(bystander, 2)
        assert bystander.stats.restarts == bystander.stats.gaps == 1
    guests = {crossing.guest for crossing in crossings if crossing.name == "handle_stream_message"}
    assert len(guests) == 2


async def test_a_message_that_takes_too_long_costs_the_guest() -> None:
    bounds = Bounds()

    def feed(number: int) -> Iterator[str]:
        yield "data"
        if number == 0:
            hurry(bounds, message_timeout=0.1)
            yield "loop"

    def wait_again(event: StreamEvent) -> None:
        if event.kind is EventKind.RESTART:
            hurry(bounds, message_timeout=HANG)

    wasm = legacy("callback", on("loop", then="loop"))
    async with open_module(wasm, Connector(feed), bounds=bounds) as plugin:
        async with plugin.stream(KEY) as stream:
            stream.follow(wait_again)
            await drain(stream, 2)
        (restart,) = await told(stream, EventKind.RESTART)
    assert "did not return within 0.1 s" in restart.message


@pytest.mark.parametrize(
    ("then", "kind", "bounds"),
    [("trap", PluginTrapError, Bounds()), ("loop", PluginTimeoutError, Bounds(prepare_timeout=0.1))],
    ids=["trap", "loop"],
)
async def test_a_plugin_that_cannot_even_prepare_fails_the_stream_at_once(
    dialect: str, then: str, kind: type[Exception], bounds: Bounds
) -> None:
    connector = Connector()
    wasm = legacy(dialect, prepare=Answer(then=then))
    async with open_module(wasm, connector, bounds=bounds) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(kind, match=DIALECTS[dialect].prepare):
            await drain(stream, 1)
    assert connector.asked == 0


async def test_a_first_connection_that_fails_is_not_tried_again(dialect: str) -> None:
    crossings: list[Crossing] = []
    connector = Connector(refused)
    wasm = legacy(dialect, events=[at("error", {"success": True, "action": "reconnect"})])
    async with open_module(wasm, connector, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(ConnectFailedError, match="connection refused"):
            await drain(stream, 1)
        assert stream.state is StreamState.FAILED
    assert connector.asked == 1
    assert events_of(crossings, dialect)[:2] == ["connecting", "error"]


async def test_connections_that_keep_breaking_before_the_first_item_exhaust_the_attempts() -> None:
    connector = Connector(lambda _: breaking())
    backoff = Backoff(first=0.01, highest=0.02, attempts=3)
    async with open_module(legacy(), connector, backoff=backoff) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(OutageError) as caught:
            await drain(stream, 1)
    assert len(caught.value.reasons) == caught.value.failures == 4
    assert all("it broke off" in reason for reason in caught.value.reasons)
    assert len(connector.sockets) == 4


async def test_connections_that_keep_breaking_after_items_exhaust_the_patience() -> None:
    clock = Clock()

    def feed(number: int) -> Iterator[str | bytes]:
        clock.now += 60.0
        return breaking("data") if number == 0 else breaking()

    connector = Connector(feed)
    backoff = Backoff(first=0.001, highest=0.002, attempts=0, patience=600)
    async with (
        open_module(legacy(), connector, backoff=backoff, monotonic=clock) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        with pytest.raises(OutageError) as caught:
            await drain(stream, 1)
    assert caught.value.failures == len(connector.sockets) == 11  # the first, and one in each minute of ten
    assert "without being healthy in between, last: the connection to" in str(caught.value)


async def test_healthy_data_in_between_begins_the_count_anew() -> None:
    clock = Clock()

    def feed(_: int) -> Iterator[str | bytes]:
        clock.now += 60.0
        return breaking("data")

    backoff = Backoff(first=0.001, highest=0.001, patience=60, healthy_after=0.0)
    async with (
        open_module(legacy(), Connector(feed), backoff=backoff, monotonic=clock) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 5)
    assert stream.stats.reconnects >= 4


async def test_a_connection_that_fails_later_is_tried_again(dialect: str) -> None:
    crossings: list[Crossing] = []

    def feed(number: int) -> Feed:
        return refused(number) if number in (1, 2) else breaking("data")

    connector = Connector(feed)
    wasm = legacy(dialect, events=[at("error", {"success": True, "action": "reconnect"})])
    async with open_module(wasm, connector, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
    assert connector.asked >= 4
    assert events_of(crossings, dialect).count("error") == 2


class Breaking(Connector):
    """Every connection from number ``first`` to ``last`` is lost before anything can be sent."""

    first, last = 0, 0

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> LocalSocket:
        socket = await super().connect(url, headers=headers, subprotocol=subprotocol)
        if self.first <= self.asked - 1 <= self.last:
            socket.drop()
        return socket


async def test_a_first_message_that_cannot_be_sent_is_a_lost_connection() -> None:
    prepare = Answer({"success": True, "websocketUrl": URL, "initialMessages": ["subscribe"]})
    connector = Breaking(lambda _: ["data"])
    async with open_module(legacy(prepare=prepare), connector) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(ConnectionLostError):
            await drain(stream, 1)
    assert connector.asked == 1
    crossings: list[Crossing] = []
    connector = Breaking(lambda number: ["data"] if number else breaking("data"))
    connector.first = connector.last = 1
    async with (
        open_module(legacy(prepare=prepare), connector, observer=crossings.append, bounds=PATIENT) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 2)
    assert connector.asked == 3
    assert connector.sockets[2].sent == ["subscribe"]
    assert events_of(crossings) == ["connecting", "connected", "disconnected"] * 3
