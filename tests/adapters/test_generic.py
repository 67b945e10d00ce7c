"""The generic driver: how starting fails, configuration, what guests publish, and which failure leads to what."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from adapters.bounds import Bounds
from adapters.progress import Progress
from compat import (
    Backoff,
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    Crossing,
    Direction,
    EventKind,
    NetworkDeniedError,
    OutageError,
    PluginProtocolError,
    PluginTrapError,
    RestartsExhaustedError,
    StreamKey,
    StreamRejectedError,
    StreamState,
)
from tests.support.clocks import FOREVER, Clock
from tests.support.echo import echoed, messages, open_echo, open_module
from tests.support.guests import Answer, guest
from tests.support.plugins import candle_key
from tests.support.sockets import Connector, refused
from tests.support.waiting import HANG, drain, event_of, guest_threads, told, until

if TYPE_CHECKING:
    from compat import Stream
    from tests.support.sockets import Feed

pytestmark = pytest.mark.usefixtures("nothing_left")
KEY = candle_key()
URL = "wss://stream.simex.example/ws"
INFO = {"name": "made to order", "version": "1", "networkTargets": ["wss://stream.simex.example/*"]}
CONNECT = ("ws_connect", {"url": URL})
RECEIVE = ("ws_receive", {"connectionId": "ws-1"})
BY_SUCCESS = Answer({"success": False, "error": "no such market"})


def publish(data: object, key: StreamKey | dict[str, Any] = KEY, **fields: object) -> tuple[str, dict[str, object]]:
    wire = key.to_wire() if isinstance(key, StreamKey) else key
    return "publish_stream_data", {"key": wire, "data": data, **fields}


def made(start: Answer, **exports: Answer) -> bytes:
    """A generic guest whose start_stream does this."""
    stop = Answer({"success": True})
    return guest({"plugin_info": Answer(INFO), "start_stream": start, "stop_stream": stop} | exports)


def calls_of(crossings: list[Crossing], name: str) -> int:
    return sum(crossing.direction is Direction.CALL and crossing.name == name for crossing in crossings)


async def payloads(stream: Stream, count: int) -> list[Any]:
    return [item.json() for item in await drain(stream, count)]


# How starting fails


@pytest.mark.parametrize(
    "answer",
    [
        BY_SUCCESS,
        Answer({"success": False, "error": "no such market"}, code=1),
        Answer(error="no such market", code=1),
    ],
    ids=["success false", "code and output", "code and error memory"],
)
async def test_a_refusal_in_the_plugins_words_is_a_rejection_and_not_tried_again(answer: Answer) -> None:
    crossings: list[Crossing] = []
    async with open_module(made(answer), observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(StreamRejectedError, match="no such market") as caught:
            await anext(stream)
        assert stream.state is StreamState.FAILED
        assert (caught.value.plugin, caught.value.stream, caught.value.reason) == ("guest", str(KEY), "no such market")
    assert calls_of(crossings, "start_stream") == 1


async def test_a_trap_while_starting_surfaces_and_is_not_tried_again() -> None:
    crossings: list[Crossing] = []
    async with open_echo("traps", observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(PluginTrapError, match="start_stream trapped"):
            await anext(stream)
        assert stream.state is StreamState.FAILED
    assert calls_of(crossings, "start_stream") == 1


async def test_an_answer_that_is_no_object_is_a_breach_of_protocol() -> None:
    async with open_module(made(Answer("started"))) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(PluginProtocolError, match="start_stream is unusable: it is not JSON"):
            await anext(stream)


async def test_a_first_connection_that_fails_is_not_tried_again() -> None:
    connector = Connector(refused)
    async with open_echo("parks", connector) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(ConnectFailedError, match="connection refused"):
            await anext(stream)
    assert connector.asked == 1


async def test_an_address_that_was_not_declared_is_denied_and_named() -> None:
    elsewhere = ("ws_connect", {"url": "wss://elsewhere.example/ws?token=hidden"})
    wasm = made(Answer({"success": False, "error": "no connection"}, calls=[elsewhere], code=1))
    connector = Connector()
    async with open_module(wasm, connector) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(NetworkDeniedError, match=r"may not reach wss://elsewhere\.example/ws:") as caught:
            await anext(stream)
        assert "hidden" not in str(caught.value)
    assert connector.asked == 0


# Configuration


async def test_values_that_are_no_texts_are_given_as_json() -> None:
    crossings: list[Crossing] = []
    wasm = made(Answer({"success": True}, calls=[publish(1)]), plugin_configure=Answer())
    config = {"text": "plain", "number": 1.5, "flag": True, "list": ["a", 1]}
    async with open_module(wasm, config=config, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
    given = [crossing.data for crossing in crossings if crossing.name == "plugin_configure" and crossing.data]
    assert [json.loads(data) for data in given] == [
        {"text": "plain", "number": "1.5", "flag": "true", "list": '["a",1]'}
    ]


async def test_a_plugin_that_takes_no_configuration_says_so() -> None:
    async with open_module(made(Answer({"success": True})), config={"a": "1"}) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(ConfigurationError, match="does not export plugin_configure"):
            await anext(stream)


async def test_a_configuration_refused_in_the_output_is_refused() -> None:
    wasm = made(Answer({"success": True}), plugin_configure=Answer({"success": False, "error": "expired"}))
    async with open_module(wasm, config={"a": "1"}) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(ConfigurationError, match="plugin_configure: expired"):
            await anext(stream)


# What is published


async def test_a_publication_under_another_key_is_delivered_with_its_own() -> None:
    other = StreamKey("trades", "simex", "ETH-USDT", {"depth": "5"}, connection_id=7)
    wasm = made(Answer({"success": True}, calls=[CONNECT, publish(1), publish(2, other), publish(3), RECEIVE]))
    async with open_module(wasm) as plugin, plugin.stream(KEY) as stream:
        items = await drain(stream, 3)
    assert [(item.key, item.data_type, item.json()) for item in items] == [
        (KEY, "ohlcv", 1),
        (other, "trades", 2),
        (KEY, "ohlcv", 3),
    ]


async def test_a_publication_of_another_source_or_without_a_key_is_refused_and_counted_as_lost() -> None:
    foreign = StreamKey("ohlcv", "woox", "BTC-USDT")
    calls = [CONNECT, publish(1), publish(2, foreign), publish(3, {"type": "ohlcv"}), publish(4), RECEIVE]
    async with open_module(made(Answer({"success": True}, calls=calls))) as plugin, plugin.stream(KEY) as stream:
        assert await payloads(stream, 2) == [1, 4]
    events = await told(stream, EventKind.PLUGIN_ERROR, EventKind.GAP)
    assert [event.kind for event in events] == [EventKind.PLUGIN_ERROR, EventKind.GAP] * 2
    assert [event.lost for event in events if event.kind is EventKind.GAP] == [1, 1]
    assert "source 'woox'" in events[0].message
    assert {event.sequence for event in events} == {1}


async def test_timestamps_are_the_plugins_or_else_the_hosts_and_a_bad_one_is_told_once() -> None:
    calls = [
        CONNECT,
        publish(1, timestamp="2026-01-02T03:04:05.123456789Z"),
        publish(2, timestamp="yesterday"),
        publish(3, timestamp="tomorrow"),
        publish(4),
        RECEIVE,
    ]
    wasm = made(Answer({"success": True}, calls=calls))
    async with open_module(wasm, clock=lambda: 42) as plugin, plugin.stream(KEY) as stream:
        items = await drain(stream, 4)
    assert [item.timestamp for item in items] == [1_767_323_045_123_456_789, 42, 42, 42]
    (event,) = await told(stream, EventKind.PLUGIN_ERROR)
    assert "'yesterday'" in event.message
    assert stream.stats.gaps == 0


async def test_a_publication_that_cannot_be_read_is_told_as_a_gap() -> None:
    calls = [CONNECT, ("publish_stream_data", '{"key":'), publish(2), RECEIVE]
    async with open_module(made(Answer({"success": True}, calls=calls))) as plugin, plugin.stream(KEY) as stream:
        assert await payloads(stream, 1) == [2]
    (event,) = await told(stream, EventKind.GAP)
    assert "malformed request" in event.message


# How a running stream fails, and recovers


async def test_a_guest_that_traps_after_data_is_replaced_and_the_gap_told() -> None:
    wasm = made(Answer(calls=[CONNECT, publish(1), publish(2)], then="trap"))
    backoff = Backoff(first=0.01, highest=0.01, attempts=1, healthy_after=0)  # after healthy data it is the first again
    async with open_module(wasm, backoff=backoff) as plugin, plugin.stream(KEY) as stream:
        assert await payloads(stream, 6) == [1, 2] * 3
        restarts = [event async for event in _first(stream, EventKind.RESTART, 2)]
    assert [event.sequence for event in restarts] == [2, 4]
    assert "start_stream trapped" in restarts[0].message
    states = [event.state for event in await told(stream, EventKind.STATE)]
    assert states[:4] == [
        StreamState.STARTING,
        StreamState.STREAMING,
        StreamState.RECOVERING,
        StreamState.STREAMING,
    ]


async def _first(stream: Stream, kind: EventKind, count: int) -> Any:
    async with asyncio.timeout(HANG):
        async for event in stream.events():
            if event.kind is kind:
                yield event
                count -= 1
                if not count:
                    return


async def test_an_outage_exhausts_the_patience_and_its_reasons_are_told() -> None:
    clock = Clock()

    def feed(number: int) -> Feed:
        clock.now += 100.0
        return refused(number) if number else messages("constant", 10)

    connector = Connector(feed)
    backoff = Backoff(first=0.01, highest=0.01, patience=250, attempts=0)
    async with (
        open_echo("parks", connector, backoff=backoff, progress=Progress(lost_after=0.05), monotonic=clock) as plugin,
        plugin.stream(KEY) as stream,
    ):
        items = await drain(stream, 10)
        connector.sockets[0].drop()
        with pytest.raises(OutageError) as caught:
            await drain(stream, 1)
        assert stream.state is StreamState.FAILED
    assert [echoed(item) for item in items] == list(messages("constant", 10))
    lost, *others = caught.value.reasons
    assert "was lost" in lost
    assert ["connection refused" in reason for reason in others] == [True] * 3
    assert connector.asked == caught.value.failures == 4


async def test_a_guest_that_goes_on_trapping_exhausts_the_restarts() -> None:
    wasm = made(Answer(calls=[CONNECT, publish(1), publish(2)], then="trap"))
    backoff = Backoff(first=0.01, highest=0.01, attempts=2)
    async with open_module(wasm, backoff=backoff) as plugin, plugin.stream(KEY) as stream:
        assert await payloads(stream, 6) == [1, 2] * 3
        with pytest.raises(RestartsExhaustedError) as caught:
            await drain(stream, 1)
    assert caught.value.failures == 3
    assert all("trapped" in reason for reason in caught.value.reasons)


async def test_a_guest_that_goes_on_asking_for_a_connection_it_closed_is_replaced() -> None:
    closed = ("ws_close", {"connectionId": "ws-1"})
    wasm = made(
        Answer({"success": True}, calls=[CONNECT, publish(1), closed]), plugin_info=Answer(INFO, calls=[RECEIVE])
    )
    async with open_module(wasm, progress=Progress(dead_answers=4)) as plugin, plugin.stream(KEY) as stream:
        assert await payloads(stream, 2) == [1, 1]
        assert "it asks for a dead connection again and again" in (await event_of(stream, EventKind.RESTART)).message


@pytest.mark.parametrize(
    "progress",
    [Progress(dead_answers=4, asking_after=FOREVER), Progress(dead_answers=10**9, asking_after=0.1)],
    ids=["after some answers", "after some time"],
)
async def test_a_guest_that_goes_on_asking_for_a_lost_connection_is_replaced(progress: Progress) -> None:
    asking = ("ws_receive", {"connectionId": "ws-1", "timeoutMs": 10})  # and is made to wait no longer than that
    wasm = made(Answer({"success": True}, calls=[CONNECT, publish(1)]), plugin_info=Answer(INFO, calls=[asking]))
    connector = Connector()
    async with open_module(wasm, connector, progress=progress) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
        connector.sockets[0].drop()
        await drain(stream, 1)
        event = await event_of(stream, EventKind.RESTART)
        assert str(ConnectionLostError(URL, "it broke off")) in event.message
        assert stream.stats.gaps == 1


async def test_a_guest_that_goes_on_asking_for_a_lost_connection_is_replaced_though_it_has_another() -> None:
    asking = [("ws_receive", {"connectionId": name, "timeoutMs": 1}) for name in ("ws-1", "ws-2")]
    wasm = made(Answer({"success": True}, calls=[CONNECT, CONNECT, publish(1)]), plugin_info=Answer(INFO, calls=asking))
    connector = Connector()
    progress = Progress(told_after=0.1, lost_after=0.5, dead_answers=3)
    async with open_module(wasm, connector, progress=progress) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
        connector.sockets[0].drop()
        await drain(stream, 1)
        assert str(ConnectionLostError(URL, "it broke off")) in (await event_of(stream, EventKind.RESTART)).message
    first = (await told(stream, EventKind.PROGRESS))[0]
    assert first.message.startswith("it asks for a dead connection again and again, and has others for 0 s: ")


async def test_a_guest_that_loops_without_a_host_call_is_stopped() -> None:
    crossings: list[Crossing] = []
    others = set(guest_threads())
    async with (
        open_echo("loops", observer=crossings.append, bounds=Bounds(leave_timeout=0)) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await until(lambda: calls_of(crossings, "start_stream") == 1, "the guest loops")
        await stream.aclose()
        assert stream.state is StreamState.STOPPED
        await until(lambda: others.issuperset(guest_threads()), "it loops no longer")


async def test_a_plugin_that_returns_without_a_connection_has_ended_the_stream() -> None:
    wasm = made(Answer({"success": True}, calls=[publish(1), publish(2)]))
    async with open_module(wasm, progress=Progress(returned_after=0.05)) as plugin, plugin.stream(KEY) as stream:
        assert [item.json() async for item in stream] == [1, 2]
        assert stream.state is StreamState.STOPPED
    events = await told(stream)
    assert [event.kind for event in events] == [EventKind.STATE] * 3
    assert events[-1].message == "the plugin ended the stream"
