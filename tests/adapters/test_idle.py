"""Stale streams: what counts as idle, and what a stream of either kind does then."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from adapters.idle import IdleWatch
from compat import EventKind, NetworkPolicy, StreamIdleError, UsageError
from tests.support.adapter_streams import offer_here
from tests.support.clocks import Clock
from tests.support.echo import messages, open_echo, open_module
from tests.support.legacy import KEY, legacy, on
from tests.support.sockets import Connector
from tests.support.waiting import drain, told, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from compat import Opening
    from tests.adapters.conftest import MakeStream, Until

pytestmark = pytest.mark.usefixtures("nothing_left")
LIMIT = 0.25  # of the clock's seconds; a legacy stream looks ten times in as many real ones


def open_kind(kind: str, connector: Connector, **chosen: Any) -> Opening:
    return open_echo("parks", connector, **chosen) if kind == "generic" else open_module(legacy(), connector, **chosen)


def feed_of(kind: str) -> list[str]:
    return list(messages("constant", 1)) if kind == "generic" else ["data"]


@pytest.mark.parametrize("kind", ["legacy", "generic"])
async def test_a_stream_without_items_for_its_limit_starts_anew_and_says_why(kind: str) -> None:
    connector, clock = Connector(lambda _: feed_of(kind)), Clock()
    async with (
        open_kind(kind, connector, monotonic=clock) as plugin,
        plugin.stream(KEY, idle_limit=LIMIT) as stream,
    ):
        for connections in (1, 2):
            await drain(stream, 1)
            await looked_at(clock)  # in vain: no time has passed
            assert connector.asked == connections
            clock.now += LIMIT + 0.01
        await drain(stream, 1)
    assert connector.asked == 3
    assert connector.open == 0
    starts = await told(stream, EventKind.RECONNECT, EventKind.RESTART)
    assert [event.sequence for event in starts] == [1, 2]
    assert f"stream {KEY} is stale: no item came for 0.25 s" in starts[0].message
    assert [event.sequence for event in await told(stream, EventKind.GAP)] == [1, 2]


async def looked_at(clock: Clock, times: int = 2) -> None:
    """The clock has been read so often from now on, as nobody does but who looks for a stale stream."""
    wanted = clock.reads + times
    await until(lambda: clock.reads >= wanted, "somebody looks at the clock")


@pytest.mark.parametrize("kind", ["legacy", "generic"])
async def test_a_stream_without_a_limit_may_be_quiet(kind: str) -> None:
    goes_on = asyncio.Event()

    async def feed() -> AsyncIterator[str]:
        first, second = list(messages("constant", 2)) if kind == "generic" else ["data", "data"]
        yield first
        await goes_on.wait()
        yield second

    connector, clock = Connector(lambda _: feed()), Clock()
    async with open_kind(kind, connector, monotonic=clock) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
        clock.now += 1_000_000.0
        if kind == "generic":  # a legacy stream without a limit is not even looked at
            await looked_at(clock)
        goes_on.set()
        await drain(stream, 1)
        assert stream.stats.gaps == stream.stats.reconnects == stream.stats.restarts == 0
    assert connector.asked == 1


async def test_the_limit_may_be_chosen_for_all_streams_of_a_plugin() -> None:
    connector, clock = Connector(lambda _: ["data"]), Clock()
    async with (
        open_module(legacy(), connector, monotonic=clock, idle_limit=LIMIT) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        clock.now += LIMIT + 0.01
        await drain(stream, 1)
    assert connector.asked == 2


async def test_a_limit_that_no_stream_can_keep_is_refused() -> None:
    async with open_module(legacy()) as plugin:
        for limit in (0, -1, float("nan")):
            with pytest.raises(UsageError, match=r"idle_limit must be .* Correct stream\(idle_limit=...\)"):
                plugin.stream(KEY, idle_limit=limit)


async def test_a_message_that_keeps_the_guest_busy_does_not_make_its_stream_stale_nor_another() -> None:
    clock, busy, waits = Clock(), asyncio.Event(), asyncio.Event()

    async def slowly(_: httpx.Request) -> httpx.Response:
        busy.set()
        await waits.wait()
        for _turn in range(3):
            clock.now += 10 * LIMIT
            await looked_at(clock, 8)
        return httpx.Response(200)

    async def feed(number: int) -> AsyncIterator[str]:
        if number == 0:
            await until(lambda: connector.open == 2, "both streams are connected")
            yield "slow"
        else:
            await busy.wait()
            waits.set()
        yield "data"

    wasm = legacy(
        "callback", on("slow", calls=[("http_request", {"url": "https://api.simex.example/", "method": "GET"})])
    )
    connector = Connector(feed)
    async with (
        open_module(
            wasm,
            connector,
            policy=NetworkPolicy(also="https://api.simex.example/*", allow_private=True),
            http=lambda: httpx.AsyncClient(transport=httpx.MockTransport(slowly)),
            guests=1,
            idle_limit=LIMIT,
            monotonic=clock,
        ) as plugin,
        plugin.stream(KEY) as one,
        plugin.stream(KEY) as other,
    ):
        await drain(one, 1)
        await drain(other, 1)
        assert one.stats.reconnects == other.stats.reconnects == 0


async def test_a_slow_consumer_does_not_make_a_stream_stale(make_stream: MakeStream, until: Until) -> None:
    clock = Clock()
    stream = await make_stream(capacity=1, monotonic=clock)
    stream._channel.idle_limit = LIMIT
    watch = IdleWatch(stream._channel)
    await offer_here(stream, 1)
    waiting = asyncio.create_task(offer_here(stream, 2))
    await until(lambda: stream._channel.backed_up)
    clock.now += 10 * LIMIT
    watch.look()
    assert (await anext(stream)).data == b"1"
    await waiting
    clock.now += LIMIT
    watch.look()
    clock.now += 0.01
    with pytest.raises(StreamIdleError):
        watch.look()
