"""How a stream's events come from any thread to those who listen: in order, bounded, and all of them by the end."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from adapters.channel import Channel
from adapters.contract import EventKind, StreamEvent, StreamState
from adapters.event_rate import BURST
from adapters.stream import AdapterStream
from tests.support.adapter_streams import KEY, history, offer_here
from tests.support.clocks import Clock
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.adapters.conftest import MakeStream, Until

GAP = EventKind.GAP


def counts(events: list[StreamEvent], kind: EventKind = GAP) -> list[int]:
    return [event.count for event in events if event.kind is kind]


def flood(stream: AdapterStream, times: int) -> None:
    for number in range(times):
        stream._channel.tell(GAP, f"gap {number}", lost=1)


async def test_what_is_held_is_told_when_the_rate_allows(make_stream: MakeStream, until: Until) -> None:
    clock = Clock()
    stream = await make_stream(monotonic=clock)
    flood(stream, BURST + 5)
    assert counts(list(stream._channel.events)) == [1] * BURST
    reads = clock.reads
    await until(lambda: clock.reads > reads + 1)  # it has looked, and looks again
    clock.now += 1.0
    await until(lambda: len(counts(list(stream._channel.events))) == BURST + 1)  # by itself: nothing else happens
    flood(stream, 3)
    assert counts(list(stream._channel.events))[BURST:] == [5, 1, 1, 1]


async def test_what_is_held_on_a_thread_is_told_by_itself(make_stream: MakeStream, until: Until) -> None:
    stream = await make_stream()
    await asyncio.to_thread(flood, stream, 500)
    await until(lambda: sum(counts(list(stream._channel.events))) == 500)
    assert stream.stats.gaps == 500


async def test_what_is_held_is_told_before_a_state_and_at_the_end(make_stream: MakeStream) -> None:
    stream = await make_stream(monotonic=lambda: 0.0)
    flood(stream, BURST + 5)
    stream._channel.enter_state(StreamState.RECOVERING, "lost")
    flood(stream, 7)
    await stream.aclose()
    told = await history(stream)
    assert [(event.kind, event.count) for event in told[1 + BURST :]] == [
        (GAP, 5),
        (EventKind.STATE, 1),
        (GAP, 7),
        (EventKind.STATE, 1),
    ]
    assert stream._channel._announcer._timer is None
    flood(stream, 4)  # by a guest that lingers, perhaps
    stream._channel._announcer.tell_all()
    assert counts(await history(stream))[-1] == 4


async def test_several_threads_tell_at_once_and_places_never_go_back(make_stream: MakeStream) -> None:
    stream = await make_stream(capacity=10_000)
    threads = [threading.Thread(target=flood, args=(stream, 2_000)) for _ in range(4)]
    for thread in threads:
        thread.start()
    numbers = itertools.count()
    while any(thread.is_alive() for thread in threads):
        await offer_here(stream, next(numbers))
        stream._channel.tell(EventKind.PLUGIN_ERROR, "it failed")
        await asyncio.sleep(0)
        async with asyncio.timeout(HANG):
            await anext(stream)
    await stream.aclose()
    told = await history(stream)
    assert sum(counts(told)) == sum(event.lost or 0 for event in told) == stream.stats.gaps == 8_000
    assert sum(counts(told, EventKind.PLUGIN_ERROR)) == stream.stats.plugin_errors
    assert [event.sequence for event in told] == sorted(event.sequence for event in told)
    assert told[-1].state is StreamState.STOPPED


async def test_a_flood_on_a_thread_calls_the_loop_as_often_as_something_is_told(
    make_stream: MakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = await make_stream(monotonic=lambda: 0.0)
    loop, calls = asyncio.get_running_loop(), list[object]()
    call = loop.call_soon_threadsafe

    def counted(work: Callable[[], object]) -> object:
        calls.append(work)
        return call(work)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    thread = threading.Thread(target=flood, args=(stream, 5_000))
    thread.start()
    thread.join(HANG)  # the loop has no turn meanwhile
    assert len(calls) == BURST + 1  # and one that starts the timer
    await asyncio.sleep(0)
    assert sum(counts(list(stream._channel.events))) == BURST


async def test_the_logger_is_told_what_is_told(make_stream: MakeStream, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="compat.stream")
    stream = await make_stream(monotonic=lambda: 0.0)
    flood(stream, BURST)
    for number in range(3):
        await offer_here(stream, number)
        stream._channel.tell(GAP, "missing", lost=1)
    await stream.aclose()
    assert len(caplog.messages) == BURST + 1
    assert caplog.messages[-1] == f"stream {stream.key}, items 1 to 3: gap: missing (and 2 more like it)"


async def test_who_follows_hears_what_is_held_when_it_leaves(make_stream: MakeStream) -> None:
    stream = await make_stream(monotonic=lambda: 0.0)
    heard: list[StreamEvent] = []
    leave = stream.follow(heard.append)
    flood(stream, BURST + 5)
    leave()
    flood(stream, 1)
    stream._channel.enter_state(StreamState.RECOVERING, "lost")
    assert counts(heard) == [1] * BURST + [5]


async def test_a_logger_that_raises_keeps_nothing_from_those_who_listen(
    make_stream: MakeStream, until: Until, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handle(record: logging.LogRecord) -> None:
        raise OSError(record.getMessage())

    caplog.set_level(logging.INFO, logger="compat.stream")
    clock = Clock()
    stream = await make_stream(monotonic=clock)
    with monkeypatch.context() as broken:
        broken.setattr(caplog.handler, "handle", handle)
        for _ in range(BURST):
            with pytest.raises(OSError, match="gap"):
                stream._channel.tell(GAP, "a gap")
        stream._channel.tell(GAP, "a gap")
    clock.now += 1.0
    await until(lambda: sum(counts(list(stream._channel.events))) == BURST + 1)


def test_a_flood_that_outlives_the_loop_is_logged_at_its_rate(caplog: pytest.LogCaptureFixture) -> None:
    async def use() -> AdapterStream:
        stream = await AdapterStream(
            Channel(KEY, monotonic=clock), lambda _: pytest.fail("it never begins")
        ).__aenter__()
        await stream.aclose()
        return stream

    clock = Clock()
    stream = asyncio.run(use())
    caplog.set_level(logging.INFO, logger="compat.stream")
    flood(stream, 1_000)
    assert len(caplog.messages) == BURST
    clock.now += 1.0
    flood(stream, 1)
    assert caplog.messages[BURST:] == [f"stream {KEY}, item 0: gap: gap 0 (and {1_000 - BURST} more like it)"]
