"""The legacy driver: what a plugin is told of its connection, and what it may do then."""

from __future__ import annotations

import pytest

from adapters.bounds import Bounds
from adapters.dialects import DIALECTS
from compat import (
    Backoff,
    ConnectionLostError,
    Crossing,
    EventKind,
    StreamRejectedError,
    StreamState,
)
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.legacy import KEY, URL, all_of, asked, at, breaking, events_of, legacy
from tests.support.sockets import Connector
from tests.support.waiting import HANG, drain, event_of, told

PATIENT = Bounds(farewell_timeout=HANG)
pytestmark = pytest.mark.usefixtures("nothing_left")


async def test_a_plugin_is_told_of_its_connection_from_beginning_to_end(dialect: str) -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda number: breaking("data") if number == 0 else ["data"])
    async with (
        open_module(legacy(dialect), connector, observer=crossings.append, bounds=PATIENT) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 2)
    export = DIALECTS[dialect].connection_event
    told_events = [
        (event["eventType"], event["connectionId"][-1], event.get("error")) for event in asked(crossings, export)
    ]
    lost = str(ConnectionLostError(URL, "it broke off"))
    assert told_events == [
        ("connecting", "1", None),
        ("connected", "1", None),
        ("disconnected", "1", lost),
        ("connecting", "2", None),
        ("connected", "2", None),
        ("disconnected", "2", None),
    ]


async def test_a_stream_closed_between_two_connections_tells_the_loss_once(dialect: str) -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda _: breaking("data"))
    wasm, backoff = legacy(dialect), Backoff(first=1e12, highest=1e12)
    async with open_module(wasm, connector, observer=crossings.append, backoff=backoff) as plugin:
        async with plugin.stream(KEY) as stream:
            await drain(stream, 1)
            await event_of(stream, EventKind.RECONNECT)
        assert stream.state is StreamState.STOPPED
    assert events_of(crossings, dialect) == ["connecting", "connected", "disconnected"]


@pytest.mark.parametrize("event", ["connecting", "connected"])
async def test_a_plugin_may_end_the_stream_at_an_event(event: str) -> None:
    connector = Connector(lambda _: ["data"])
    wasm = legacy("callback", events=[at(event, {"success": True, "action": "close"})])
    async with open_module(wasm, connector) as plugin, plugin.stream(KEY) as stream:
        assert await all_of(stream) == []
        assert stream.state is StreamState.STOPPED
    assert connector.open == 0


async def test_an_event_that_the_plugin_fails_on_or_does_not_answer_changes_nothing() -> None:
    events = [at("connecting", error="no idea", code=1), at("connected")]
    connector = Connector(lambda _: ["data"])
    async with open_module(legacy("callback", events=events), connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
    (event,) = await told(stream, EventKind.PLUGIN_ERROR)
    assert event.message == "stream_connection_event: no idea"


async def test_a_plugin_that_takes_no_events_is_not_told_any(dialect: str) -> None:
    connector = Connector(lambda number: breaking("data") if number == 0 else ["data"])
    async with open_module(legacy(dialect, events=None), connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
    assert stream.stats.plugin_errors == 0


async def test_a_trap_at_the_news_of_a_lost_connection_costs_the_guest_and_not_the_stream() -> None:
    connector = Connector(lambda number: breaking("data") if number == 0 else ["data"])
    wasm = legacy("callback", events=[at("disconnected", then="trap")])
    async with open_module(wasm, connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
        assert stream.stats.restarts == 1


async def test_a_refused_stream_hears_of_no_connection(dialect: str) -> None:
    crossings: list[Crossing] = []
    refusal = Answer({"success": False, "result": False, "error": "no such market"})
    wasm = legacy(dialect, prepare=refusal)
    async with open_module(wasm, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(StreamRejectedError, match="no such market"):
            await drain(stream, 1)
    assert events_of(crossings, dialect) == []
