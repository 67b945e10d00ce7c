"""Generic guests that stand still, parked or running: what a real stream tells of each, and what follows."""

from __future__ import annotations

import itertools
import re

import pytest
import wasmtime

from adapters.progress import Progress
from adapters.watchdog import Signs, Watchdog
from compat import (
    Backoff,
    Crossing,
    EventKind,
    NoProgressError,
    RestartsExhaustedError,
    StreamState,
)
from tests.support.clocks import FOREVER
from tests.support.echo import echoed, messages, open_echo, open_module
from tests.support.guests import Answer
from tests.support.legacy import legacy
from tests.support.sockets import Connector
from tests.support.standing import (
    ALLOWING,
    CONNECT,
    KEY,
    LOG,
    POLL,
    PUBLISH,
    SEND,
    entries,
    events_of,
    starting,
    written_in,
)
from tests.support.waiting import drain, event_of, told, until

ASK = ("ws_receive", {"connectionId": "ws-1", "timeoutMs": 60_000})

pytestmark = pytest.mark.usefixtures("nothing_left")


async def test_an_endless_loop_is_told_of_and_then_ends_the_guest() -> None:
    progress = Progress(told_after=0.1, hung_after=0.5)
    async with (
        open_module(starting(CONNECT, PUBLISH, then="loop"), policy=ALLOWING, progress=progress) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 2)  # of two guests
        restart = await event_of(stream, EventKind.RESTART)
    assert "makes no progress: it runs and makes no host call" in restart.message
    assert "Progress(hung_after=...)" in restart.message
    message = (await events_of(stream))[0]
    assert message.startswith(
        "it runs and makes no host call for 0 s: start_stream runs, connected 0 s ago, 0 messages"
    )
    assert (await told(stream, EventKind.GAP))[0].sequence == 1


async def test_an_endless_loop_before_any_item_fails_the_stream() -> None:
    progress = Progress(hung_after=0.2)
    async with (
        open_module(starting(then="loop"), policy=ALLOWING, progress=progress) as plugin,
        plugin.stream(KEY) as stream,
    ):
        with pytest.raises(NoProgressError, match="it runs and makes no host call"):
            await anext(stream)


async def test_a_start_that_gets_to_no_connection_fails_the_stream() -> None:
    nap = """(module
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func (export "stop_stream") (result i32) (i32.const 0))
      (func (export "start_stream") (result i32)
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200))) (i32.const 0)))"""
    progress = Progress(told_after=0.1, start_timeout=0.4)
    async with open_module(bytes(wasmtime.wat2wasm(nap)), progress=progress) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(NoProgressError) as caught:
            await anext(stream)
    assert "start_stream has got to no connection" in caught.value.message
    assert "start_stream runs, asleep for 0 s, no connection was opened, 0 items" in caught.value.facts
    assert len(await events_of(stream)) == 1


async def test_a_guest_that_lets_messages_wait_whatever_it_is_entered_through_is_replaced() -> None:
    crossings: list[Crossing] = []
    wasm = starting(CONNECT, POLL, PUBLISH, plugin_info=Answer({}), meta=Answer({}, calls=[LOG]))
    connector = Connector(lambda _: messages("constant", 5))
    async with (
        open_module(
            wasm, connector, policy=ALLOWING, observer=crossings.append, progress=Progress(standing_after=0.2)
        ) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 2)
        restart = await event_of(stream, EventKind.RESTART)
    assert "it parked, and takes none of the messages that wait" in restart.message
    assert "since through plugin_info, meta, connected" in restart.message
    assert entries(crossings, "plugin_info")
    assert entries(crossings, "meta")


async def test_a_guest_that_parks_and_never_receives_is_told_of_and_then_replaced() -> None:
    connector = Connector(lambda _: messages("constant", 3))
    wasm = written_in("rustc", starting(CONNECT, SEND, PUBLISH, meta=Answer({})))
    progress = Progress(told_after=0.1, unasked_after=0.5, standing_after=FOREVER)
    async with (
        open_module(wasm, connector, policy=ALLOWING, progress=progress) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 2)
        restart = await event_of(stream, EventKind.RESTART)
    assert "it parked with a connection, and nobody receives" in restart.message
    message = (await events_of(stream))[0]
    assert "connected 0 s ago, 0 messages received, 3 waiting, the guest has not asked for any, 1 item" in message


async def test_a_subscription_that_brings_nothing_is_told_of_and_nothing_follows() -> None:
    progress = Progress(told_after=0.1, hung_after=0.2, unasked_after=0.2, standing_after=0.2, start_timeout=0.2)
    asks = ("ws_receive", {"connectionId": "ws-1"})
    running, parked = starting(CONNECT, SEND, asks), starting(CONNECT, SEND, POLL, meta=Answer({}, calls=[POLL]))
    for wasm in (running, parked):
        async with open_module(wasm, policy=ALLOWING, progress=progress) as plugin, plugin.stream(KEY) as stream:
            event = await event_of(stream, EventKind.PROGRESS)
            assert event.message.startswith("no item has come for 0 s: ")
            assert ", 0 messages received, 0 waiting, 0 items" in event.message
            assert stream.state is StreamState.STARTING
        assert len(await events_of(stream)) == 1
        assert stream.stats.restarts == 0


@pytest.mark.parametrize(
    "door",
    [Answer("idle"), Answer("idle", calls=(LOG,)), Answer("idle", calls=(POLL,))],
    ids=["silent", "logs", "polls"],
)
async def test_an_idle_parked_guest_is_entered_less_and_less_often(door: Answer) -> None:
    crossings: list[Crossing] = []
    wasm = starting(CONNECT, POLL, PUBLISH, get_name=door)
    async with (
        open_module(wasm, observer=crossings.append, policy=ALLOWING) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        await until(lambda: len(entries(crossings, "get_name")) >= 30, "it is entered")
        assert stream.stats.gaps == 0
    entered = [crossing.timestamp / 1e9 for crossing in entries(crossings, "get_name")]
    for number, (one, later) in enumerate(itertools.pairwise(entered)):
        idle = one - entered[1] if number else 0.0
        assert later - one > 0.99 * min(max(0.2 * idle, 0.001), 0.25), "it is let alone for a part of its idleness"


async def test_a_plugin_that_goes_on_standing_still_exhausts_its_restarts() -> None:
    wasm = starting(CONNECT, PUBLISH, then="loop")
    backoff, progress = Backoff(first=0.01, highest=0.01, attempts=1), Progress(hung_after=0.1)
    async with (
        open_module(wasm, policy=ALLOWING, backoff=backoff, progress=progress) as plugin,
        plugin.stream(KEY) as stream,
    ):
        with pytest.raises(RestartsExhaustedError) as caught:
            await drain(stream, 3)
    assert ["it runs and makes no host call" in reason for reason in caught.value.reasons] == [True, True]


async def test_items_that_an_echo_publishes_are_all_there_however_often_it_is_looked_at() -> None:
    connector = Connector(lambda _: messages("constant", 300))
    progress = Progress(told_after=0.05)
    async with open_echo("parks", connector, progress=progress) as plugin, plugin.stream(KEY) as stream:
        assert [echoed(item) for item in await drain(stream, 300)] == list(messages("constant", 300))
        assert stream.stats.restarts == 0


async def test_a_legacy_stream_whose_messages_bring_no_item_is_told_of_too() -> None:
    refusal = '{"event": "error", "message": "no such symbol"}'  # which the plugin passes over
    connector = Connector(lambda _: [refusal])
    async with (
        open_module(legacy("command"), connector, progress=Progress(told_after=0.1)) as plugin,
        plugin.stream(KEY) as stream,
    ):
        event = await event_of(stream, EventKind.PROGRESS)
        assert re.fullmatch(
            r"no item has come for \d s: connected \d s ago, 1 message received, 0 waiting, 0 items", event.message
        )
    assert stream.stats.restarts == stream.stats.reconnects == 0


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Signs]:
    """What the watchdogs of generic streams see."""
    signs: list[Signs] = []
    monkeypatch.setattr(Watchdog, "look", lambda _, seen: signs.append(seen))
    return signs


async def test_what_the_watchdog_sees_of_a_parked_guest(seen: list[Signs]) -> None:
    request = ("http_request", {"url": "https://elsewhere.example/"})  # which is denied
    wasm = starting(CONNECT, request, SEND, ASK, PUBLISH, get_name=Answer("idle", calls=[LOG]))
    connector = Connector(lambda _: ["one", "two"])
    async with open_module(wasm, connector, policy=ALLOWING) as plugin, plugin.stream(KEY):
        await until(lambda: seen and seen[-1].entered > 3 and seen[-1].waiting, "it is entered")
        await until(lambda: len(seen) > 1 and seen[-1].moves > seen[-2].moves, "it is entered again")
    last = seen[-1]
    assert (last.returned, last.woken, last.doors) == (True, False, ("get_name",))
    assert (last.opened, last.open, last.requests, last.asked, last.taken, last.waiting, last.items) == (1,) * 7
    assert (last.dead, last.lost, last.failures, last.backed_up) == (False, None, 0, False)


async def test_what_the_watchdog_sees_of_a_guest_that_runs_and_waits_for_the_consumer(seen: list[Signs]) -> None:
    wasm = starting(CONNECT, PUBLISH, PUBLISH, PUBLISH)
    async with open_module(wasm, policy=ALLOWING, buffer=1) as plugin, plugin.stream(KEY):
        await until(lambda: seen and seen[-1].backed_up, "the buffer is full")
        assert (seen[-1].running, seen[-1].inside, seen[-1].returned) == ("start_stream", "publish_stream_data", False)
