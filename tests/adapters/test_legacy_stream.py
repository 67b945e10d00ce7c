"""The legacy driver: every action a plugin may ask for, what is sent and what comes, and how a stream closes."""

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
    ConnectFailedError,
    Crossing,
    EventKind,
    NetworkPolicy,
    StreamRejectedError,
    StreamState,
)
from compat.demo.exchange import Exchange
from tests.support.clocks import FOREVER, hurry
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.legacy import FINE, KEY, URL, asked, at, breaking, legacy, on
from tests.support.plugins import FIXTURES
from tests.support.simex import open_against
from tests.support.sockets import Connector
from tests.support.waiting import HANG, drain, told, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


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
        await until(lambda: stream._channel.backed_up, "an item waits for room")
        assert stream.stats.buffered == 10
        assert 11 <= connector.sockets[0].received < 400  # a few batches on their way
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


@pytest.mark.parametrize("answer", [b'{"action":"\xff}', b'{"data":' + b"[" * 100_000])
async def test_an_answer_that_cannot_be_read_is_told_and_the_stream_goes_on(answer: bytes) -> None:
    wasm = legacy("callback", on("odd", answer))
    connector = Connector(lambda _: ["odd", "data"])
    async with open_module(wasm, connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
    (event,) = await told(stream, EventKind.PLUGIN_ERROR)
    assert "its answer is unusable" in event.message


async def test_a_message_that_is_answered_with_nothing_is_a_failure_and_a_gap() -> None:
    connector = Connector(lambda _: ["data", "odd", "data"])
    async with open_module(legacy("callback", on("odd")), connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
    failure, gap = await told(stream, EventKind.PLUGIN_ERROR, EventKind.GAP)
    assert failure.message == "handle_stream_message: it answered nothing"
    assert "answered nothing to a message" in gap.message
    assert (failure.sequence, gap.sequence) == (1, 1)
