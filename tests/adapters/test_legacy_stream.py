"""The legacy driver: every action a plugin may ask for, every way it may fail, and what it is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from adapters.bounds import Bounds
from adapters.dialects import DIALECTS
from adapters.stream import AdapterStream
from compat import (
    AdapterSettings,
    Backoff,
    ConnectFailedError,
    ConnectionLostError,
    Crossing,
    EventKind,
    NetworkPolicy,
    OutageError,
    PluginProtocolError,
    PluginTimeoutError,
    PluginTrapError,
    RateLimitError,
    StreamKey,
    StreamRejectedError,
    StreamState,
    TokenBuckets,
)
from compat.demo.exchange import Exchange
from tests.support.clocks import FOREVER, Clock, hurry, in_line
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.legacy import FINE, KEY, URL, all_of, asked, at, breaking, events_of, legacy, on
from tests.support.plugins import FIXTURES, candle_key
from tests.support.simex import open_against
from tests.support.sockets import Connector, refused
from tests.support.waiting import HANG, drain, event_of, told, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from compat import StreamEvent
    from tests.support.sockets import Feed, LocalSocket

PATIENT = Bounds(farewell_timeout=HANG)
pytestmark = pytest.mark.usefixtures("nothing_left")


# What a plugin may ask for


async def test_messages_become_items_or_answers_or_nothing(dialect: str) -> None:
    script = (
        on("ping", {"success": True, "action": "send", "sendMessage": "pong"}),
        on("bare", {"success": True}),
        on("typed", {"success": True, "action": "data", "data": [1, 2.50]}),
        on("end", {"success": True, "action": "close"}),
    )
    connector = Connector(lambda _: ["other", "data", "ping", "bare", "typed", "ping", "end", "data"])
    async with (
        open_module(legacy(dialect, *script), connector, clock=lambda: 42) as plugin,
        plugin.stream(KEY) as stream,
    ):
        items = [item async for item in stream]
        assert stream.state is StreamState.STOPPED
    assert [(item.data_type, item.data) for item in items] == [("trade", b'{"price": "1.50"}'), ("ohlcv", b"[1, 2.5]")]
    assert {(item.key, item.timestamp) for item in items} == {(KEY, 42)}
    assert [item.sequence for item in items] == [0, 1]
    assert connector.sockets[0].sent == ["pong", "pong"]
    assert connector.sockets[0].closed
    assert {event.kind for event in await told(stream)} == {EventKind.STATE}


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (on("odd", {"success": True, "action": "explode"}), "unknown action 'explode'"),
        (on("odd", {"success": True, "action": "data"}), "announced data and gave none"),
        (on("odd", {"success": True, "action": "send"}), "asked to send a message and gave none"),
        (on("odd", "<html>"), "its answer is unusable"),
        (on("odd", {"success": True, "action": 7}), "its answer is unusable"),
        (on("odd", {"success": False, "error": "cannot parse it"}), "cannot parse it"),
        (on("odd", {"success": False, "error": {"code": 5}}), '{"code":5}'),
        (on("odd", {"success": False}), "failed without a reason"),
        (on("odd", {"success": False, "error": "cannot parse it"}, code=1), "cannot parse it"),
        (on("odd", error="out of memory", code=1), "out of memory"),
        (on("odd", code=3), "return code 3"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_message_that_the_plugin_fails_on_is_told_and_the_stream_goes_on(answer: Answer, problem: str) -> None:
    connector = Connector(lambda _: ["data", "odd", "data"])
    async with open_module(legacy("callback", answer), connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
    (event,) = await told(stream, EventKind.PLUGIN_ERROR)
    assert problem in event.message
    assert event.message.startswith("handle_stream_message: ")
    assert event.sequence == 1
    assert stream.stats.plugin_errors == 1
    assert stream.stats.gaps == 0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (on("again", {"success": True, "action": "reconnect"}), "asked for a new connection"),
        (on("again", {"success": False, "action": "reconnect", "error": "token expired"}, code=1), "token expired"),
    ],
    ids=["plainly", "with an error"],
)
async def test_a_plugin_may_ask_for_a_new_connection(dialect: str, answer: Answer, reason: str) -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda number: ["data", "again"] if number == 0 else ["data"])
    wasm = legacy(dialect, answer)
    async with open_module(wasm, connector, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
        assert [socket.closed for socket in connector.sockets] == [True, False]
    reconnect, gap = await told(stream, EventKind.RECONNECT, EventKind.GAP)
    assert (reconnect.kind, gap.kind, reconnect.sequence, gap.sequence) == (EventKind.RECONNECT, EventKind.GAP, 1, 1)
    assert reason in reconnect.message
    assert len(asked(crossings, DIALECTS[dialect].prepare)) == 2
    states = [event.state for event in await told(stream, EventKind.STATE)]
    assert states == [
        StreamState.STARTING,
        StreamState.STREAMING,
        StreamState.RECOVERING,
        StreamState.STREAMING,
        StreamState.STOPPED,
    ]


@pytest.mark.parametrize("code", [0, 1])
async def test_a_plugin_that_closes_with_an_error_has_rejected_the_stream(code: int) -> None:
    answer = on("bad", {"success": False, "action": "close", "error": "unknown_symbol: no market"}, code=code)
    connector = Connector(lambda _: ["data", "bad"])
    async with open_module(legacy("callback", answer), connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
        with pytest.raises(StreamRejectedError, match="unknown_symbol: no market"):
            await drain(stream, 1)
        assert stream.state is StreamState.FAILED
    assert len(connector.sockets) == 1
    assert connector.open == 0


# How a stream fails


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


# What is sent and what comes


async def test_the_handshake_and_the_first_messages_are_the_plugins(dialect: str) -> None:
    setup = {
        "websocketUrl": URL,
        "headers": {"X-Token": "t", "X-Other": "o"},
        "subprotocol": "v2.candles",
        "initialMessages": ["login", "subscribe", "go"],
    }
    answer = {"success": True, **setup}
    if dialect == "command":
        answer = {"result": True, "data": {"_stream": True, "streamID": "s", **setup}}
    connector = Connector(lambda _: ["data"])
    async with (
        open_module(legacy(dialect, prepare=Answer(answer)), connector) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
    (socket,) = connector.sockets
    assert (socket.url, socket.headers, socket.subprotocol) == (URL, setup["headers"], "v2.candles")
    assert socket.sent == ["login", "subscribe", "go"]


async def test_binary_messages_are_text_or_told_as_lost() -> None:
    connector = Connector(lambda _: [b"data", b"\xff\xfe", b"data"])
    async with open_module(legacy(), connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
    (gap,) = await told(stream, EventKind.GAP)
    assert (gap.lost, gap.sequence) == (1, 1)


async def test_every_message_carries_the_streams_identity(dialect: str) -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda number: breaking("data") if number == 0 else ["data"])
    async with (
        open_module(legacy(dialect), connector, observer=crossings.append) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 2)
    first, second = asked(crossings, "handle_stream_message")
    assert first["messageType"] == "data"
    assert first["message"] == "data"
    assert first["streamId"] == second["streamId"]
    assert first["connectionId"] != second["connectionId"]
    assert "streamContext" not in first
    if dialect == "command":
        assert first["streamId"] == "its own id"
    else:
        assert first["streamId"] == asked(crossings, "prepare_stream")[0]["streamId"]


async def test_a_streams_context_is_given_back_with_every_message() -> None:
    crossings: list[Crossing] = []
    fixture = next(fixture for fixture in FIXTURES if fixture.id == "legacy-command")
    async with Exchange(mode="replay", rate=1_000) as exchange:
        settings = AdapterSettings(observer=crossings.append)
        async with open_against(fixture, exchange, settings=settings) as plugin, plugin.stream(KEY) as stream:
            await drain(stream, 5)
    contexts = [request["streamContext"] for request in asked(crossings, "handle_stream_message")]
    assert len(contexts) >= 5
    assert all(context == {"symbol": "BTC-USDT", "interval": "1m", "opened": 1} for context in contexts)


# Connection events


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


# Preparing


@pytest.mark.parametrize(
    "answer",
    [
        Answer({"success": False, "result": False, "error": "no such market"}),
        Answer({"success": False, "result": False, "error": "no such market"}, code=1),
        Answer(error="no such market", code=1),
    ],
    ids=["by the answer", "by code and answer", "by error memory"],
)
async def test_a_stream_may_be_refused(dialect: str, answer: Answer) -> None:
    connector = Connector()
    async with open_module(legacy(dialect, prepare=answer), connector) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(StreamRejectedError) as caught:
            await drain(stream, 1)
        assert caught.value.reason == "no such market"
        assert stream.state is StreamState.FAILED
    assert connector.asked == 0


async def test_a_parameter_that_the_plugin_misses_by_its_own_word_is_told_by_the_keys(dialect: str) -> None:
    id_, word = {"callback": ("legacy-callback", "interval"), "command": ("legacy-command", "timeframe")}[dialect]
    fixture = next(fixture for fixture in FIXTURES if fixture.id == id_)
    async with (
        Exchange() as exchange,
        open_against(fixture, exchange) as plugin,
        plugin.stream(StreamKey("ohlcv", "simex", "BTC-USDT")) as stream,
    ):
        with pytest.raises(StreamRejectedError, match=f"{word} is missing") as caught:
            await drain(stream, 1)
    assert "timeframe and interval are the same" in caught.value.remedy


def marker(**fields: Any) -> dict[str, Any]:
    return {"result": True, "data": {"_stream": True, "streamID": "s", "websocketUrl": URL, **fields}}


@pytest.mark.parametrize(
    ("dialect", "answer", "problem"),
    [
        ("callback", {"success": True}, "no websocketUrl"),
        ("callback", {"success": True, "websocketUrl": 7}, "no websocketUrl"),
        ("callback", {"success": True, "websocketUrl": URL, "headers": {"a": 1}}, "headers are no object of texts"),
        ("callback", {"success": True, "websocketUrl": URL, "initialMessages": "go"}, "no list of texts"),
        ("callback", "started", "not JSON"),
        ("callback", "", "it is empty"),
        ("callback", [1], "a JSON list"),
        ("command", {"result": True, "data": {"markets": []}}, "no StreamMarker"),
        ("command", {"result": True}, "no StreamMarker"),
        ("command", marker(streamID=""), "no streamID"),
        ("command", marker(websocketUrl=None), "no websocketUrl"),
        ("command", marker(initialMessages=[1]), "no list of texts"),
    ],
)
async def test_an_answer_without_what_a_stream_needs_breaks_the_protocol(
    dialect: str, answer: Any, problem: str
) -> None:
    wasm = legacy(dialect, prepare=Answer(answer))
    connector = Connector()
    async with open_module(wasm, connector) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(PluginProtocolError, match=problem) as caught:
            await drain(stream, 1)
        assert caught.value.export == DIALECTS[dialect].prepare
    assert connector.asked == 0


# Closing, and waiting


@pytest.mark.parametrize("at_shutdown", [False, True], ids=["at the event", "at shutdown"])
async def test_closing_does_not_wait_for_a_plugin_that_hangs_at_its_farewell(at_shutdown: bool) -> None:
    hangs = Answer(then="loop")
    wasm = (
        legacy("command", shutdown=hangs)
        if at_shutdown
        else legacy("command", events=[at("disconnected", then="loop")], shutdown=FINE)
    )
    bounds = Bounds(message_timeout=FOREVER, farewell_timeout=HANG if at_shutdown else 0.05)
    async with open_module(wasm, Connector(lambda _: ["data"]), bounds=bounds) as plugin:
        async with plugin.stream(KEY) as stream:
            await drain(stream, 1)
        assert stream.state is StreamState.STOPPED
        hurry(bounds, farewell_timeout=0.05)


async def test_a_stream_is_not_held_up_by_another_ones_farewell_that_hangs() -> None:
    goes_on, asked_for, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def later() -> AsyncIterator[str]:
        yield "data"
        await goes_on.wait()
        yield "data"

    async def hang(_: httpx.Request) -> httpx.Response:
        asked_for.set()
        await release.wait()
        return httpx.Response(200)

    connector = Connector(lambda number: later() if number == 0 else ["data"])
    request = ("http_request", {"url": "https://api.simex.example/", "method": "GET"})
    wasm = legacy("command", events=[at("disconnected", {"success": True}, calls=[request])])
    async with (
        open_module(
            wasm,
            connector,
            bounds=PATIENT,
            policy=NetworkPolicy(also="https://api.simex.example/*"),
            http=lambda: httpx.AsyncClient(transport=httpx.MockTransport(hang)),
        ) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        async with plugin.stream(KEY) as leaving:
            await drain(leaving, 1)
            closing = asyncio.create_task(leaving.aclose())
            await asked_for.wait()
            goes_on.set()
            await drain(stream, 1)
            assert not closing.done()
            release.set()


async def test_closing_does_not_wait_for_a_plugin_that_hangs_at_a_message(dialect: str) -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda _: ["data", "loop"])
    wasm = legacy(dialect, on("loop", then="loop"), shutdown=FINE)
    bounds = Bounds(message_timeout=FOREVER, farewell_timeout=0.05)
    async with (
        open_module(wasm, connector, observer=crossings.append, bounds=bounds) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        await until(lambda: len(asked(crossings, "handle_stream_message")) == 2, "the plugin hangs")
        await plugin.aclose()
        assert stream.state is StreamState.STOPPED


async def test_a_slow_consumer_makes_the_socket_wait() -> None:
    connector = Connector(lambda _: ["data"] * 500)
    async with open_module(legacy(), connector, buffer=10) as plugin, plugin.stream(KEY) as stream:
        assert isinstance(stream, AdapterStream)
        await until(lambda: stream.backed_up, "an item waits for room")
        assert (connector.sockets[0].received, stream.stats.buffered) == (11, 10)
        await drain(stream, 500)
        assert stream.stats.delivered == 500


@pytest.mark.parametrize("asked_for", ["the set-up", "the configuration"])
async def test_a_plugin_that_passes_on_what_the_network_did_is_not_at_fault(asked_for: str) -> None:
    def unreachable(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route to host")

    token = ("http_request", {"url": "https://api.simex.example/token", "method": "GET"})
    failing = Answer({"success": False, "error": "no token"}, calls=[token], code=1)
    chosen: dict[str, Any] = {
        "policy": NetworkPolicy(also="https://api.simex.example/*"),
        "http": lambda: httpx.AsyncClient(transport=httpx.MockTransport(unreachable)),
    }
    if asked_for == "the set-up":
        wasm = legacy(prepare=failing)
    else:
        wasm, chosen["config"] = legacy(set_credentials=failing), {"api_key": "k"}
    async with open_module(wasm, **chosen) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(ConnectFailedError, match=r"could not connect to https://api\.simex\.example/token"):
            await drain(stream, 1)


@pytest.mark.parametrize("answer", [b'{"action":"\xff"}', b'{"data":' + b"[" * 100_000])
async def test_an_answer_that_cannot_be_read_is_told_and_the_stream_goes_on(answer: bytes) -> None:
    wasm = legacy("callback", on("odd", answer))
    connector = Connector(lambda _: ["odd", "data"])
    async with open_module(wasm, connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
    (event,) = await told(stream, EventKind.PLUGIN_ERROR)
    assert "its answer is unusable" in event.message


# Rate limits


def limited(**row: Any) -> Answer:
    return Answer([{"command": "ohlcvStream", "scope": "ip", "rps": 1e-3, "burst": 1, **row}])


async def test_the_command_that_opens_a_stream_waits_for_the_plugin_s_limits() -> None:
    crossings: list[Crossing] = []
    clock = Clock()
    buckets = TokenBuckets(clock)
    wasm = legacy("command", get_rate_limits=limited(rps=10))
    connector = Connector(lambda _: ["data"])
    async with (
        open_module(wasm, connector, observer=crossings.append, token_buckets=buckets) as plugin,
        plugin.stream(KEY) as one,
    ):
        await drain(one, 1)
        async with plugin.stream(KEY) as two:
            await until(lambda: in_line(buckets) == 1, "it waits")
            assert len(asked(crossings, "handle_command")) == 1
            clock.now += 0.1
            await drain(two, 1)
    assert len(asked(crossings, "handle_command")) == 2


async def test_a_stream_that_would_have_to_wait_too_long_for_them_is_refused_and_connects_to_nothing() -> None:
    connector = Connector(lambda _: ["data"])
    wasm = legacy("command", get_rate_limits=limited())
    async with open_module(wasm, connector, token_buckets=TokenBuckets(Clock())) as plugin:
        async with plugin.stream(KEY) as one:
            await drain(one, 1)
        async with plugin.stream(KEY) as two:
            with pytest.raises(RateLimitError, match=r"'ohlcvStream' through in 1e\+03 s, not within 120 s"):
                await drain(two, 1)
    assert len(connector.sockets) == 1


async def test_a_stream_that_connects_anew_waits_for_as_long_as_they_ask() -> None:
    connector = Connector(lambda number: breaking("data") if number == 0 else ["data"])
    clock = Clock()
    buckets = TokenBuckets(clock)
    wasm = legacy("command", get_rate_limits=limited(rps=50))
    bounds = Bounds(rate_limits_timeout=0)  # for the first connection: it need not wait
    async with (
        open_module(wasm, connector, token_buckets=buckets, bounds=bounds) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        await until(lambda: in_line(buckets) == 1, "it waits")
        clock.now += 0.02
        await drain(stream, 1)
        assert stream.state is StreamState.STREAMING
        assert stream.stats.reconnects == 1


async def test_a_stream_that_waits_for_them_can_be_closed() -> None:
    connector = Connector(lambda _: breaking("data"))
    buckets = TokenBuckets(Clock())
    wasm = legacy("command", get_rate_limits=limited())
    async with open_module(wasm, connector, token_buckets=buckets) as plugin:
        async with plugin.stream(KEY) as stream:
            await drain(stream, 1)
            await until(lambda: in_line(buckets) == 1, "it waits")
        assert stream.state is StreamState.STOPPED
    assert in_line(buckets) == 0
