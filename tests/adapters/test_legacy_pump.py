"""Messages of a legacy connection go through the plugin batch by batch, and nobody could tell: order, places, sends."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.legacy_pump import Requests
from compat import ConnectionLostError, EventKind, StreamRejectedError
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.legacy import KEY, URL, legacy, on
from tests.support.sockets import Connector
from tests.support.waiting import drain, told, until

pytestmark = pytest.mark.usefixtures("nothing_left")

DIALECTS = pytest.mark.parametrize("dialect", ["callback", "command"])
SAYS = ("log_record", {"eventType": "info", "message": "asked before"})


def script(*more: Answer) -> tuple[Answer, ...]:
    return (
        on("ask", {"success": True, "action": "send", "sendMessage": "hello"}),
        on("bad", error="no such thing", code=1),
        on("refuse", {"success": False, "error": "not this one"}),
        on("mute"),
        on("quiet", {"success": True}),
        on("numbered", {"success": True, "action": "data", "data": 7}),
        *more,
    )


#: What a message leads to: how many items, and which events.
LEADS_TO: dict[str, tuple[int, Sequence[EventKind]]] = {
    "data": (1, ()),
    "numbered": (1, ()),
    "quiet": (0, ()),
    "ask": (0, ()),
    "bad": (0, [EventKind.PLUGIN_ERROR]),
    "refuse": (0, [EventKind.PLUGIN_ERROR]),
    "mute": (0, [EventKind.PLUGIN_ERROR, EventKind.GAP]),
}


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from(["data"] * 6 + ["numbered", "quiet", "ask", "bad", "refuse", "mute"]), max_size=80).map(
        lambda messages: [*messages, "data"]
    )
)
def test_whatever_comes_leads_to_the_same_as_message_by_message(messages: list[str]) -> None:
    async def scenario() -> None:
        connector = Connector(lambda _: ["data", *messages])  # the first shows how the plugin wants them
        async with open_module(legacy("command", *script()), connector) as plugin:
            async with plugin.stream(KEY) as stream:
                items = await drain(stream, 1 + sum(LEADS_TO[message][0] for message in messages))
                assert [item.data for item in items[1:]] == [
                    b"7" if message == "numbered" else items[0].data for message in messages if LEADS_TO[message][0]
                ]
                assert connector.sockets[0].sent == ["hello"] * messages.count("ask")
            place, expected = 1, []
            for message in messages:
                expected += [(kind, place) for kind in LEADS_TO[message][1]]
                place += LEADS_TO[message][0]
            events = await told(stream, EventKind.PLUGIN_ERROR, EventKind.GAP)
            assert sum(event.count for event in events) == len(expected)
            if all(event.count == 1 for event in events):
                assert [(event.kind, event.sequence) for event in events] == expected
            assert stream.stats.gaps == messages.count("mute")

    asyncio.run(scenario())


@DIALECTS
async def test_what_a_plugin_wants_to_send_is_sent_before_it_is_given_anything_else(dialect: str) -> None:
    sent_by_then: list[int] = []
    logger = logging.getLogger("compat.plugin.asks")
    handler = logging.Handler()
    handler.emit = lambda record: (  # type: ignore[method-assign]
        sent_by_then.append(len(connector.sockets[0].sent)) if "asked before" in record.getMessage() else None
    )
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    after = on("after", {"success": True, "action": "ignore"}, calls=[SAYS])
    connector = Connector(lambda _: [*["data"] * 200, *["ask", "after"] * 20, "data"])
    wasm = legacy(dialect, *script(after))
    async with open_module(wasm, connector, logger=logger) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 201)
    logger.removeHandler(handler)
    assert sent_by_then == list(range(1, 21))


@DIALECTS
async def test_what_came_before_a_connection_was_lost_arrives_before_the_gap(dialect: str) -> None:
    def feed(number: int) -> Iterator[str]:
        yield from ["data"] * (300 if number == 0 else 1)
        if number == 0:
            raise ConnectionLostError(URL, "it broke off")

    async with open_module(legacy(dialect), Connector(feed)) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 301)
    assert [event.sequence for event in await told(stream, EventKind.GAP)] == [300]


@DIALECTS
async def test_what_a_plugin_answered_before_it_trapped_arrives(dialect: str) -> None:
    connector = Connector(lambda number: [*["data"] * 100, *["trap"] * (number == 0), *["data"] * 100])
    wasm = legacy(dialect, on("trap", then="trap"))
    async with open_module(wasm, connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 300)
    assert [event.sequence for event in await told(stream, EventKind.RESTART)] == [100]


@DIALECTS
async def test_a_plugin_that_closes_is_given_nothing_more(dialect: str) -> None:
    ends = on("end", {"success": True, "action": "close"})
    never = on("never", {"success": False, "action": "close", "error": "it was given more"})
    connector = Connector(lambda _: [*["data"] * 50, "end", *["never"] * 50])
    async with open_module(legacy(dialect, ends, never), connector) as plugin, plugin.stream(KEY) as stream:
        assert len([item async for item in stream]) == 50


async def test_failures_in_a_row_are_counted_across_batches_and_data_between_begins_anew() -> None:
    bad = on("bad", error="no", code=1)
    connector = Connector(lambda _: [*(["bad"] * 99 + ["data"]) * 2, *["bad"] * 100])
    async with open_module(legacy("callback", bad), connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
        with pytest.raises(StreamRejectedError, match="it failed on 100 messages in a row"):
            await anext(stream)
    assert stream.stats.plugin_errors == 298


async def test_streams_that_share_a_guest_have_their_turns() -> None:
    connector = Connector(lambda number: itertools.repeat("data") if number == 0 else ["data"] * 3)
    async with open_module(legacy(), connector, guests=1) as plugin, plugin.stream(KEY) as flooded:
        draining = asyncio.create_task(drain(flooded, 10**9))
        await until(lambda: flooded.stats.delivered > 100, "it flows")
        async with plugin.stream(KEY) as other:
            await drain(other, 3)
        draining.cancel()


def test_a_request_is_the_same_json_whatever_it_is_made_of() -> None:
    names = {"streamId": 'a"b', "connectionId": "c/1"}
    assert Requests.of(names, None).wrap('{"x":"é"}') == (
        '{"streamId":"a\\"b","connectionId":"c/1","message":"{\\"x\\":\\"é\\"}","messageType":"data"}'.encode()
    )
    with_context = Requests.of(names, {"n": [1]}).wrap("m")
    assert with_context.endswith(b'"message":"m","messageType":"data","streamContext":{"n":[1]}}')
