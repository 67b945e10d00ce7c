"""Heartbeats: what a StreamMarker may ask for, what is answered, and when the host pings."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import heartbeat as heartbeat_module
from adapters.heartbeat import AppHeartbeat, Heartbeat, read_heartbeat
from compat import AdapterSettings, ConnectionLostError, Crossing, EventKind, PluginProtocolError
from compat.demo.exchange import Exchange
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.legacy import KEY, URL, asked, breaking, legacy
from tests.support.plugins import FIXTURES
from tests.support.simex import QUICK, open_against
from tests.support.sockets import Connector, LocalSocket
from tests.support.waiting import HANG, drain, told, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
from tests.support.legacy import beating

pytestmark = pytest.mark.usefixtures("nothing_left")

APP = {"matchJsonField": "event", "pingValue": "ping", "pongValue": "pong"}
PLUGIN = next(fixture for fixture in FIXTURES if fixture.id == "legacy-command")


# What a marker may ask for


@pytest.mark.parametrize(
    ("asked_for", "heartbeat"),
    [
        (None, Heartbeat()),
        ({}, Heartbeat()),
        ({"app": None, "transport": {}}, Heartbeat()),
        ({"app": APP}, Heartbeat(AppHeartbeat("event", "ping", "pong"))),
        ({"app": APP | {"clientPingIntervalMs": 0}}, Heartbeat(AppHeartbeat("event", "ping", "pong"))),
        ({"app": APP | {"clientPingIntervalMs": 1500}}, Heartbeat(AppHeartbeat("event", "ping", "pong", 1.5))),
        ({"app": APP | {"pongValue": "ping"}}, Heartbeat(AppHeartbeat("event", "ping", "ping"))),
        ({"transport": {"pingIntervalMs": 0}}, Heartbeat()),
        ({"transport": {"pingIntervalMs": 50}}, Heartbeat(transport=0.05)),
        ({"transport": {"pingIntervalMs": 20_000}, "more": 1}, Heartbeat(transport=20.0)),
    ],
)
def test_a_heartbeat_is_read(asked_for: object, heartbeat: Heartbeat) -> None:
    assert read_heartbeat(asked_for) == heartbeat


@pytest.mark.parametrize(("asked_for", "given_ms"), [(1, 50), (0.001, 50), (49, 50), (10**400, 86_400_000)])
def test_an_interval_out_of_bounds_is_bounded_and_told(asked_for: float, given_ms: int) -> None:
    heartbeat = read_heartbeat(
        {"app": APP | {"clientPingIntervalMs": asked_for}, "transport": {"pingIntervalMs": asked_for}}
    )
    assert heartbeat.app is not None
    assert heartbeat.app.interval == heartbeat.transport == given_ms / 1_000
    assert len(heartbeat.changes) == 2
    for change, name in zip(heartbeat.changes, ("transport.ping", "app.clientPing"), strict=True):
        assert change == f"heartbeat.{name}IntervalMs is out of bounds: pings are sent every {given_ms} ms"


NONSENSE = [
    ([], "heartbeat is no object"),
    ({"app": "ping"}, r"heartbeat\.app is no object"),
    ({"transport": 20_000}, r"heartbeat\.transport is no object"),
    ({"app": {"matchJsonField": "event"}}, r"app\.pingValue is no text"),
    ({"app": APP | {"matchJsonField": ""}}, r"app\.matchJsonField is no text, or empty"),
    ({"app": APP | {"pongValue": 1}}, r"app\.pongValue is no text"),
    ({"app": APP | {"clientPingIntervalMs": -1}}, r"clientPingIntervalMs is no number of milliseconds, 0 or more"),
    ({"app": APP | {"clientPingIntervalMs": True}}, "clientPingIntervalMs is no number"),
    ({"app": APP | {"pongValue": "ping", "clientPingIntervalMs": 5_000}}, "nobody can tell from pongs"),
    ({"transport": {"pingIntervalMs": "20s"}}, r"transport\.pingIntervalMs is no number"),
    ({"transport": {"pingIntervalMs": -0.5}}, r"transport\.pingIntervalMs is no number"),
]


@pytest.mark.parametrize(("asked_for", "problem"), NONSENSE)
async def test_nonsense_breaks_the_protocol_before_anything_is_opened(asked_for: Any, problem: str) -> None:
    marker = {"_stream": True, "streamID": "s", "websocketUrl": URL, "heartbeat": asked_for}
    wasm = legacy("command", prepare=Answer({"result": True, "data": marker}))
    connector = Connector()
    async with open_module(wasm, connector) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(PluginProtocolError, match=problem):
            await drain(stream, 1)
    assert connector.asked == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = (*APP, "clientPingIntervalMs", "pingIntervalMs")


@given(json_values | st.fixed_dictionaries({"app": st.dictionaries(st.sampled_from(FIELDS), json_values)}))
def test_any_heartbeat_is_read_or_a_value_error_and_no_interval_is_out_of_bounds(value: object) -> None:
    try:
        heartbeat = read_heartbeat(value)
    except ValueError:
        return
    intervals = [heartbeat.transport, *([heartbeat.app.interval] if heartbeat.app else [])]
    assert all(interval is None or 0.05 <= interval <= 86_400 for interval in intervals)


# What is answered


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ('{"event":"ping"}', '{"event":"pong"}'),
        (' {"ts": 12345678901234567890, "event" : "ping", "x": 1.50}', None),
        ('{"event":"pong"}', None),
        ('{"event":"kline","note":"ping"}', None),
        ('{"op":"ping"}', None),
        ('["event","ping"]', None),
        ('{"x":{"event":"ping"}}', None),
        ('{"event":["ping"]}', None),
        ('{"event":"ping"', None),
        ("event ping", None),
        ('{"event":"ping","x":' + "[" * 100_000, None),
    ],
)
def test_only_an_object_whose_field_has_the_value_is_a_ping(message: str, answer: str | None) -> None:
    found = AppHeartbeat("event", "ping", "pong").answer(message)
    if message.startswith(" "):
        assert found == '{"ts":12345678901234567890,"event":"pong","x":1.50}'  # digit for digit
    else:
        assert found == answer


def test_a_pong_is_the_hosts_only_if_the_host_pings() -> None:
    assert AppHeartbeat("event", "ping", "pong").answer('{"event":"pong"}') is None
    assert AppHeartbeat("event", "ping", "pong", 5.0).answer('{"event":"pong","ts":1}') == ""


@given(st.text(min_size=1, max_size=6), st.text(min_size=1, max_size=6), st.booleans())
def test_any_field_and_value_are_found_however_json_writes_them(field: str, value: str, ascii_only: bool) -> None:
    app = AppHeartbeat(field, value, "pong")
    answer = app.answer(json.dumps({"a": 1, field: value}, ensure_ascii=ascii_only))
    assert answer is not None
    assert json.loads(answer) == {"a": 1, field: "pong"}
    assert json.loads(app.own_ping()) == {field: value}


def test_a_message_without_the_field_or_its_values_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_module, "_decode_message", lambda _: pytest.fail("it was parsed"))
    app = AppHeartbeat("event", "ping", "pong", 5.0)
    for text in ('{"e":"ping"}', '{"event":"kline"}', "x" * 1_000):
        assert app.answer(text) is None


async def test_pings_are_answered_in_order_and_the_plugin_does_not_see_them() -> None:
    crossings: list[Crossing] = []
    messages: list[str | bytes] = [
        "data",
        '{"event":"ping","ts":1}',
        b'{"event":"ping","ts":2}',
        '{"event":"pong"}',
        "data",
    ]
    connector = Connector(lambda _: messages)
    async with (
        open_module(beating(app=APP), connector, observer=crossings.append) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 2)
    assert connector.sockets[0].sent == ['{"event":"pong","ts":1}', '{"event":"pong","ts":2}']
    seen = [request["message"] for request in asked(crossings, "handle_stream_message")]
    assert seen == ["data", '{"event":"pong"}', "data"]
    assert stream.stats.plugin_errors == 0


async def test_without_a_heartbeat_pings_are_the_plugins() -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda _: ['{"event":"ping"}', "data"])
    async with (
        open_module(legacy("command"), connector, observer=crossings.append) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
    assert [request["message"] for request in asked(crossings, "handle_stream_message")] == ['{"event":"ping"}', "data"]


# The host's own pings


async def test_the_host_pings_at_the_interval_and_no_longer_than_the_connection_lasts() -> None:
    crossings: list[Crossing] = []

    async def feed(number: int) -> AsyncIterator[str]:
        yield "data"
        if number == 0:
            await until(lambda: len(connector.sockets[0].sent) >= 3, "three pings")
            yield '{"event":"pong"}'
            raise ConnectionLostError(URL, "it broke off")

    connector, before = Connector(feed), asyncio.all_tasks()
    wasm = beating(app=APP | {"clientPingIntervalMs": 50})
    begun = time.monotonic()
    async with open_module(wasm, connector, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
        assert time.monotonic() - begun >= 0.15  # for three pings: a bound that a busy machine keeps as well
        first, second = connector.sockets
        said = len(first.sent)
        await until(lambda: len(second.sent) >= 2, "pings on the second connection")
        assert len(first.sent) == said
    assert set(first.sent) == set(second.sent) == {'{"event":"ping"}'}
    assert {request["message"] for request in asked(crossings, "handle_stream_message")} == {"data"}
    await until(lambda: asyncio.all_tasks() <= before, "nobody is left who could send another")
    assert await told(stream, EventKind.HEARTBEAT) == []


async def test_messages_that_came_before_a_loss_are_delivered_although_a_ping_could_not_be_sent() -> None:
    failing = asyncio.Event()

    @attrs.define(eq=False)
    class Deaf(LocalSocket):
        async def send(self, message: str) -> None:
            failing.set()
            raise ConnectionLostError(self.url, "it broke off")

    class Deafening(Connector):
        async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> LocalSocket:
            return Deaf(url, headers, subprotocol, late())

    async def late() -> AsyncIterator[str]:
        await failing.wait()
        await asyncio.sleep(0)
        for _ in range(5):
            yield "data"

    wasm = beating(app=APP | {"clientPingIntervalMs": 50})
    async with open_module(wasm, Deafening()) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 5)
        assert stream.stats.reconnects == 0


async def test_an_interval_that_is_too_small_is_told_once() -> None:
    connector = Connector(lambda number: breaking("data") if number == 0 else ["data"])
    wasm = beating(app=APP | {"clientPingIntervalMs": 1})
    async with open_module(wasm, connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
    (event,) = await told(stream, EventKind.HEARTBEAT)
    assert event.message == "heartbeat.app.clientPingIntervalMs is out of bounds: pings are sent every 50 ms"


# A real plugin at the exchange


async def test_the_plugin_from_go_stays_at_an_exchange_that_pings_without_seeing_a_ping() -> None:
    crossings: list[Crossing] = []
    settings = AdapterSettings(backoff=QUICK, observer=crossings.append)
    exchange = Exchange(mode="replay", rate=200, ping_interval=0.05, pong_deadline=HANG)
    async with (
        exchange,
        open_against(PLUGIN, exchange, settings=settings) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 5)
        (record,) = exchange.journal.connections
        await until(lambda: sum('"pong"' in text for text in record.received) >= 5, "pongs reach the exchange")
        await drain(stream, 5)
        assert stream.stats.reconnects == 0
    pongs = [json.loads(text) for text in record.received if "pong" in text]
    assert all(set(pong) == {"event", "ts"} for pong in pongs)
    assert not any('"ping"' in request["message"] for request in asked(crossings, "handle_stream_message"))
