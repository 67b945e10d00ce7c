"""One guest's life in a generic stream: parking and re-entering, sleeping, being stopped."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
import wasmtime

from adapters.bounds import Bounds
from adapters.runtime import compiling
from adapters.runtime.engine import Instance
from compat import (
    AdapterSettings,
    Crossing,
    Direction,
    EventKind,
    NetworkPolicy,
    PluginProtocolError,
    PluginTrapError,
    StreamState,
    lingering_guests,
)
from compat.demo.exchange import Exchange
from tests.support.clocks import FOREVER
from tests.support.echo import echoed, messages, open_echo, open_module
from tests.support.guests import Answer, guest
from tests.support.plugins import FIXTURES, candle_key, wat_text
from tests.support.simex import open_against
from tests.support.sockets import Connector
from tests.support.waiting import HANG, drain, event_of, told, until

if TYPE_CHECKING:
    from tests.support.sockets import LocalSocket

KEY = candle_key()
SLEEPING = next(fixture for fixture in FIXTURES if fixture.id == "generic-sleeping")
CONNECT = ("ws_connect", {"url": "wss://stream.simex.example/ws"})
PUBLISH = ("publish_stream_data", {"key": KEY.to_wire(), "data": 1})
ALLOWING = NetworkPolicy(also="wss://stream.simex.example/*", allow_private=True)  # for guests that declare nothing
LOG = ("log_record", {"pluginId": "guest", "eventType": "debug", "timestamp": "", "message": "asked"})
STARTED = {"success": True, "data": {"status": "started"}}

nothing_left = pytest.mark.usefixtures("nothing_left")


def parking(*, calls: tuple[tuple[str, object], ...] = (CONNECT,), **doors: Answer) -> bytes:
    """A guest that starts with these host calls and then parks."""
    return guest({"start_stream": Answer(STARTED, calls=calls), "stop_stream": Answer(STARTED), **doors})


def calls_of(crossings: list[Crossing], name: str) -> list[bytes]:
    return [crossing.data for crossing in crossings if (crossing.direction, crossing.name) == (Direction.CALL, name)]


@nothing_left
async def test_two_thousand_messages_cross_many_parkings_complete_and_in_order() -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda _: messages("mixed", 2_100))
    async with open_echo("parks", connector, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        items = await drain(stream, 2_000)
        assert [echoed(item) for item in items] == list(messages("mixed", 2_100))[:2_000]
        assert stream.stats.gaps == stream.stats.restarts == 0
    # Once for the metadata, and then for a hundred messages each: three come before the first.
    assert len(calls_of(crossings, "plugin_info")) >= 21
    assert await told(stream, EventKind.GAP) == []


@nothing_left
@pytest.mark.parametrize("looks_up", ["length", "length_unsafe"])
async def test_what_a_guest_allocates_before_its_first_host_call_covers_nothing_that_is_in_flight(
    looks_up: str,
) -> None:
    # Four kilobytes at each entry, before the reply that was in flight is read.
    greedy = "(call $store (call $alloc (i64.const 4000)) (i32.const 0) (i32.const 4000))"
    text = wat_text("parks").replace('"extism:host/env" "length"', f'"extism:host/env" "{looks_up}"')
    head, door, rest = text.partition('(func (export "plugin_info") (result i32)')
    wasm = bytes(wasmtime.wat2wasm(head + door + greedy + rest))
    connector = Connector(lambda _: messages("constant", 1_100))
    async with open_module(wasm, connector) as plugin, plugin.stream(KEY) as stream:
        items = await drain(stream, 1_000)
        assert [echoed(item) for item in items] == list(messages("constant", 1_100))[:1_000]
        assert stream.stats.gaps == 0


@nothing_left
async def test_a_parked_guest_is_told_to_stop() -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda _: messages("constant", 50))
    async with (
        open_echo("parks", connector, observer=crossings.append, bounds=Bounds(leave_timeout=HANG)) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 50)
    (request,) = calls_of(crossings, "stop_stream")
    assert json.loads(request) == KEY.to_wire()
    assert connector.open == 0


@nothing_left
async def test_a_guest_that_parks_and_has_no_door_is_no_use() -> None:
    connector = Connector()
    async with (
        open_module(parking(calls=(CONNECT, PUBLISH)), connector, policy=ALLOWING) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        event = await event_of(stream, EventKind.RESTART)
    assert "exports nothing that it could be entered through (plugin_info, meta" in event.message


@nothing_left
async def test_a_guest_that_parks_without_a_door_before_any_data_fails_the_stream() -> None:
    async with open_module(parking(), policy=ALLOWING) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(PluginProtocolError, match="exports nothing that it could be entered through"):
            await anext(stream)


@nothing_left
async def test_a_trap_inside_a_later_call_surfaces() -> None:
    wasm = parking(get_name=Answer(then="trap"))
    async with open_module(wasm, policy=ALLOWING) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(PluginTrapError, match="get_name trapped"):
            await anext(stream)


@nothing_left
async def test_a_failing_door_is_a_door() -> None:
    wasm = parking(get_name=Answer(error="no name", code=1, calls=(PUBLISH,)))
    async with open_module(wasm, policy=ALLOWING) as plugin, plugin.stream(KEY) as stream:
        assert [item.json() for item in await drain(stream, 3)] == [1, 1, 1]
        assert stream.stats.restarts == stream.stats.gaps == 0


@nothing_left
async def test_closing_does_not_wait_for_a_connection_that_never_comes() -> None:
    class Never(Connector):
        async def connect(self, url: str, *, headers: object, subprotocol: str | None) -> LocalSocket:
            self.asked += 1
            await asyncio.Event().wait()
            raise AssertionError

    connector = Never()
    async with (
        open_echo("parks", connector, bounds=Bounds(leave_timeout=0)) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await until(lambda: connector.asked == 1, "the guest connects")
        await stream.aclose()
        assert stream.state is StreamState.STOPPED


@nothing_left
async def test_closing_before_there_is_a_guest_leaves_nothing() -> None:
    connector = Connector()
    async with open_echo("parks", connector) as plugin:
        for turns in range(6):
            async with plugin.stream(KEY) as stream:
                for _ in range(turns):
                    await asyncio.sleep(0)
            assert stream.state is StreamState.STOPPED
    assert connector.open == 0


@nothing_left
async def test_a_guest_that_cannot_be_stopped_is_let_go_of_and_counted_until_it_ends() -> None:
    wakes, asleep = threading.Event(), threading.Event()

    def sleeps(record: logging.LogRecord) -> bool:
        """For the guest like a sleep in WASI: nothing reaches it until it wakes."""
        if record.args == ("asked",):
            asleep.set()
            wakes.wait(FOREVER)
        return True

    logger = logging.Logger("of a guest", logging.DEBUG)  # noqa: LOG001 - for this test alone
    logger.addFilter(sleeps)
    connector, bounds = Connector(), Bounds(leave_timeout=0)
    wasm = parking(calls=(CONNECT, LOG), get_name=Answer("never called"))
    await until(lambda: not lingering_guests(), "no other test's guest lingers")
    async with open_module(wasm, connector, policy=ALLOWING, logger=logger, bounds=bounds) as plugin:
        async with plugin.stream(KEY) as stream:
            await until(asleep.is_set, "the guest sleeps")
        # It sleeps still: closing did not wait for it.
        assert lingering_guests() == 1
        assert connector.open == 0
        (event,) = await told(stream, EventKind.LINGERING)
        assert "lives on until it wakes" in event.message
        assert stream.stats.lingering == 1
        wakes.set()
        await until(lambda: not lingering_guests(), "the guest wakes and ends")


@nothing_left
async def test_closing_does_not_wait_for_a_module_that_is_being_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(*args: Any) -> Instance:
        begun.set()
        go_on.wait(FOREVER)
        return Instance(*args)

    monkeypatch.setattr(compiling, "Instance", slow)
    await until(lambda: not lingering_guests(), "no other test's guest lingers")
    try:
        async with open_module(parking(calls=()), bounds=Bounds(leave_timeout=0)) as plugin:
            async with plugin.stream(KEY) as stream:
                await until(begun.is_set, "the guest is being made")
                await asyncio.wait_for(stream.aclose(), HANG)
            assert stream.state is StreamState.STOPPED
            assert lingering_guests() == 1
    finally:
        go_on.set()
    await until(lambda: not lingering_guests(), "the guest is made and ends")


@nothing_left
async def test_a_plugin_that_sleeps_in_wasi_for_an_hour_ends_with_its_stream() -> None:
    async with Exchange(mode="replay", rate=100) as exchange:
        async with (
            open_against(SLEEPING, exchange, config={"nap_ms": "3600000"}, settings=AdapterSettings()) as plugin,
            plugin.stream(KEY) as stream,
        ):
            await drain(stream, 1)
        await exchange.wait_for_disconnect(1)
        assert stream.stats.lingering == 0
    assert await told(stream, EventKind.LINGERING) == []
