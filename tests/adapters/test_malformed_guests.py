"""Guests whose requests nobody can read, or whose publications are refused: what is told, and what follows."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from adapters.progress import Progress
from compat import EventKind, MalformedRequestsError, RestartsExhaustedError, StreamKey
from tests.support.clocks import FOREVER
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.hosts import INFO, module
from tests.support.legacy import legacy, on
from tests.support.plugins import candle_key
from tests.support.sockets import Connector
from tests.support.waiting import HANG, drain, event_of, told

if TYPE_CHECKING:
    from compat import StreamEvent

pytestmark = pytest.mark.usefixtures("nothing_left")

KEY = candle_key()
ITEM = ("publish_stream_data", {"key": KEY.to_wire(), "data": 1})
ELSEWHERE = ("publish_stream_data", {"key": StreamKey("ohlcv", "elsewhere", "X").to_wire(), "data": 1})
SHORT = Progress(malformed_free=1, malformed_pace=0.0, malformed_most=3)
FUNCTIONS = ["ws_connect", "ws_send", "ws_receive", "ws_close", "publish_stream_data", "http_request"]


def streaming(*calls: tuple[str, Any], then: str = "loop") -> bytes:
    """A generic guest whose start_stream makes these calls, and then spins (or returns)."""
    return module(plugin_info=Answer(INFO), start_stream=Answer({"success": True}, calls=calls, then=then))


def messages(events: list[StreamEvent]) -> list[str]:
    return [event.message for event in events]


@pytest.mark.parametrize("name", [*FUNCTIONS, "log_record"])
async def test_a_malformed_request_is_told_once_whatever_the_function(name: str) -> None:
    async with open_module(streaming(ITEM, (name, "{"), (name, "{"), ITEM)) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
    [error] = await told(stream, EventKind.PLUGIN_ERROR)
    assert error.message.startswith(f"a malformed request to {name}: ")
    lost = messages(await told(stream, EventKind.GAP))
    assert len(lost) == (2 if name == "publish_stream_data" else 0)
    assert all(message.startswith("an item may be missing: malformed request: ") for message in lost)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        *((pytest.param((name, "{"), f"4 malformed requests to {name} in a row", id=name)) for name in FUNCTIONS),
        pytest.param(ELSEWHERE, "4 refused requests to publish_stream_data in a row", id="refused"),
    ],
)
async def test_too_many_in_a_row_end_the_guests_call(call: tuple[str, Any], text: str) -> None:
    async with open_module(streaming(*[call] * 4), progress=SHORT) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(MalformedRequestsError, match=text):
            await drain(stream, 1)


@pytest.mark.parametrize("call", [("ws_receive", "{"), ELSEWHERE], ids=["malformed", "refused"])
async def test_a_guest_that_has_delivered_is_replaced_within_its_budget(call: tuple[str, Any]) -> None:
    async with open_module(streaming(ITEM, *[call] * 4), progress=SHORT) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(RestartsExhaustedError, match="in a row, of 3 that it may") as caught:
            await drain(stream, 10**6)
    restarts = await told(stream, EventKind.RESTART)
    assert len(restarts) == caught.value.failures - 1 > 0
    assert stream.stats.received == caught.value.failures


@pytest.mark.parametrize("call", [("ws_receive", "{"), ELSEWHERE], ids=["malformed", "refused"])
async def test_a_good_request_in_between_ends_the_row(call: tuple[str, Any]) -> None:
    good = ITEM if call is ELSEWHERE else ("ws_receive", {"connectionId": "none"})
    calls = [call, call, call, good] * 3
    async with open_module(streaming(*calls, ITEM), progress=SHORT) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 4 if call is ELSEWHERE else 1)
        assert stream.stats.restarts == 0


@pytest.mark.parametrize("call", [("ws_send", "{"), ELSEWHERE], ids=["malformed", "refused"])
async def test_closing_does_not_wait_for_the_pace(call: tuple[str, Any]) -> None:
    slow = Progress(malformed_free=0, malformed_pace=FOREVER)
    wasm = streaming(call)
    async with asyncio.timeout(HANG), open_module(wasm, progress=slow) as plugin, plugin.stream(KEY) as stream:
        await event_of(stream, EventKind.PLUGIN_ERROR)


async def test_many_malformed_log_records_neither_wait_nor_end() -> None:
    progress = Progress(malformed_free=0, malformed_pace=FOREVER, malformed_most=1)
    wasm = streaming(*[("log_record", "{")] * 10, ITEM)
    async with open_module(wasm, progress=progress) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
    first, tenth = messages(await told(stream, EventKind.PLUGIN_ERROR))
    assert first.startswith("a malformed request to log_record: ")
    assert tenth.startswith("10 malformed requests to log_record in a row, last: ")


async def test_where_there_is_no_stream_the_plugins_logger_is_told(caplog: pytest.LogCaptureFixture) -> None:
    wasm = module(plugin_info=Answer(INFO, calls=[("log_record", "{")]), get_name=Answer("x", calls=[("ws_send", "{")]))
    with caplog.at_level(logging.WARNING, "compat.plugin.guest"):
        async with open_module(wasm) as plugin:
            await plugin.call("get_name")
    record, send = [record.getMessage() for record in caplog.records]
    assert record.startswith("a malformed request to log_record: ")
    assert send.startswith("a malformed request to ws_send: ")


async def test_a_shared_guest_of_a_legacy_plugin_is_replaced_too() -> None:
    wasm = legacy("callback", on("bad", {"success": True, "action": "ignore"}, calls=[("ws_send", "{")] * 4))
    connector = Connector(lambda number: ["data", "bad"] if number == 0 else ["data"])
    async with open_module(wasm, connector, progress=SHORT) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
    [reconnect] = messages(await told(stream, EventKind.RECONNECT))
    assert "4 malformed requests to ws_send in a row" in reconnect


async def test_a_plugin_of_both_kinds_that_publishes_while_it_is_used_as_legacy_is_left_alone() -> None:
    wasm = legacy("callback", on("both", {"success": True, "action": "data", "data": 2}, calls=[ITEM] * 10))
    connector = Connector(lambda _: ["both", "both"])
    async with open_module(wasm, connector, progress=SHORT) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
    assert await told(stream, EventKind.PLUGIN_ERROR, EventKind.RECONNECT) == []


async def test_payloads_cut_within_an_emoji_arrive_as_they_were_written(dialect: str) -> None:
    script = on("cut", '{"success":true,"action":"data","data":{"note":"\\ud83d", "price":1.10}}')
    connector = Connector(lambda _: ["cut"])
    async with open_module(legacy(dialect, script), connector) as plugin, plugin.stream(KEY) as stream:
        [item] = await drain(stream, 1)
    assert item.data == b'{"note":"\\ud83d", "price":1.10}'
    assert item.json() == {"note": "\ufffd", "price": 1.1}


async def test_a_key_with_numbers_is_the_streams_own() -> None:
    key = KEY.to_wire() | {"parameters": {"depth": 20, "raw": True}, "connectionId": None}
    wasm = streaming(("publish_stream_data", {"key": key, "data": 1, "timestamp": 1_735_689_600_000}))
    async with open_module(wasm) as plugin, plugin.stream(KEY) as stream:
        [item] = await drain(stream, 1)
    assert item.key.parameters == {"depth": "20", "raw": "true"}
    assert item.timestamp == 1_735_689_600 * 10**9
