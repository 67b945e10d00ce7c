"""Stale streams: what counts as idle, and what a stream of either kind does then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from adapters.idle import IdleWatch
from compat import EventKind, NetworkPolicy, StreamIdleError, UsageError
from tests.support.echo import messages, open_echo, open_module
from tests.support.legacy import KEY, legacy, on
from tests.support.sockets import Connector
from tests.support.waiting import drain, event_of

if TYPE_CHECKING:
    from compat import Opening
    from tests.adapters.conftest import MakeStream

pytestmark = pytest.mark.usefixtures("nothing_left")
LIMIT = 0.2


def open_kind(kind: str, connector: Connector, **chosen: Any) -> Opening:
    return open_echo("parks", connector, **chosen) if kind == "generic" else open_module(legacy(), connector, **chosen)


def feed_of(kind: str) -> list[str]:
    return list(messages("constant", 1)) if kind == "generic" else ["data"]


@pytest.mark.parametrize("kind", ["legacy", "generic"])
async def test_a_stream_without_items_for_its_limit_starts_anew_and_says_why(kind: str) -> None:
    connector = Connector(lambda _: feed_of(kind))
    async with open_kind(kind, connector) as plugin, plugin.stream(KEY, idle_limit=LIMIT) as stream:
        await drain(stream, 3)
        event = await event_of(stream, EventKind.RECONNECT, EventKind.RESTART)
        assert f"stream {KEY} is stale: no item came for 0.2 s" in event.message
        gap = await event_of(stream, EventKind.GAP)
        assert gap.sequence == 1
    assert connector.asked >= 3
    assert connector.open == 0


@pytest.mark.parametrize("kind", ["legacy", "generic"])
async def test_a_stream_without_a_limit_may_be_quiet(kind: str) -> None:
    connector = Connector(lambda _: feed_of(kind))
    async with open_kind(kind, connector) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
        with pytest.raises(TimeoutError):
            await drain(stream, 1, within=3 * LIMIT)
        assert stream.stats.gaps == 0
    assert connector.asked == 1


async def test_the_limit_may_be_chosen_for_all_streams_of_a_plugin() -> None:
    connector = Connector(lambda _: ["data"])
    async with open_module(legacy(), connector, idle_limit=LIMIT) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
    assert connector.asked >= 2


async def test_a_limit_that_no_stream_can_keep_is_refused() -> None:
    async with open_module(legacy()) as plugin:
        for limit in (0, -1, float("nan")):
            with pytest.raises(UsageError, match=r"idle_limit must be .* Correct stream\(idle_limit=...\)"):
                plugin.stream(KEY, idle_limit=limit)


async def test_a_message_that_keeps_the_guest_busy_does_not_make_its_stream_stale_nor_another() -> None:
    wasm = legacy(
        "callback", on("slow", calls=[("http_request", {"url": "https://api.simex.example/", "method": "GET"})])
    )
    slow: dict[str, Any] = {
        "policy": NetworkPolicy(also="https://api.simex.example/*", allow_private=True),
        "http": lambda: httpx.AsyncClient(transport=httpx.MockTransport(_after_a_while)),
        "guests": 1,
        "idle_limit": LIMIT,
    }
    connector = Connector(lambda number: ["slow", "data"] if number == 0 else ["data"])
    async with (
        open_module(wasm, connector, **slow) as plugin,
        plugin.stream(KEY) as one,
        plugin.stream(KEY) as other,
    ):
        await drain(one, 1)
        await drain(other, 1)
        assert one.stats.reconnects == other.stats.reconnects == 0


async def _after_a_while(_: httpx.Request) -> httpx.Response:
    await asyncio.sleep(4 * LIMIT)
    return httpx.Response(200)


async def test_a_slow_consumer_does_not_make_a_stream_stale(make_stream: MakeStream) -> None:
    stream = await make_stream(capacity=1)
    stream.idle_limit = 0.05
    watch = IdleWatch(stream)
    await stream.offer_here(KEY, 0, "ohlcv", b"1")
    waiting = asyncio.create_task(stream.offer_here(KEY, 0, "ohlcv", b"2"))
    await asyncio.sleep(0.1)
    assert stream.backed_up
    watch.look()
    assert (await anext(stream)).data == b"1"
    await waiting
    watch.look()
    await asyncio.sleep(0.1)
    with pytest.raises(StreamIdleError):
        watch.look()
