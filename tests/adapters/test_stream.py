"""The meeting point of producer and consumer: order, bounds, and who may read."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.channel import Channel, Item
from adapters.contract import EventKind, StreamKey, StreamState, StreamStats
from adapters.errors import StreamUsageError
from adapters.feed import Feed
from adapters.stream import AdapterStream
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from tests.adapters.conftest import MakeStream, Until
from tests.support.adapter_streams import KEY, Producer, offer, offer_here, read, read_to_the_end

State = StreamState


async def test_items_from_a_thread_arrive_in_order_and_numbered(make_stream: MakeStream) -> None:
    stream = await make_stream(capacity=16)
    producer = Producer(stream, 1_000)
    async with asyncio.timeout(HANG):
        items = [await anext(stream) for _ in range(1_000)]
    assert [int(item.data) for item in items] == list(range(1_000))
    assert [item.sequence for item in items] == list(range(1_000))
    await producer.join()


async def test_items_from_the_loop_arrive_in_order_and_numbered(make_stream: MakeStream) -> None:
    async def run(channel: Channel) -> None:
        await offer_here(channel, *range(500))

    stream = await make_stream(run, capacity=8)
    async with asyncio.timeout(HANG):
        items = [item async for item in stream]
    assert [(int(item.data), item.timestamp, item.sequence) for item in items] == [(n, n, n) for n in range(500)]
    assert stream.state is State.STOPPED


async def test_an_item_carries_what_was_offered(make_stream: MakeStream) -> None:
    stream = await make_stream()
    other = StreamKey("trade", "example", "ETH")
    Feed(stream._channel).write([Item(other, "trade", b"{}", 7)])
    item = await anext(stream)
    assert (item.key, item.timestamp, item.data_type, item.data, item.sequence) == (other, 7, "trade", b"{}", 0)


@pytest.mark.parametrize("capacity", [1, 2, 7])
async def test_a_full_buffer_makes_the_guests_thread_wait(make_stream: MakeStream, until: Until, capacity: int) -> None:
    stream = await make_stream(capacity=capacity)
    producer = Producer(stream, 50)
    await until(lambda: stream._channel.backed_up)
    assert producer.offered == capacity
    assert stream.stats.buffered == capacity
    got = []
    for _ in range(50):
        got += await read(stream, 1)
        assert stream.stats.buffered <= capacity
    assert got == list(range(50))
    await producer.join()


async def test_a_full_buffer_makes_the_driver_wait(make_stream: MakeStream, until: Until) -> None:
    async def run(channel: Channel) -> None:
        await offer_here(channel, *range(50))

    stream = await make_stream(run, capacity=4)
    await until(lambda: stream._channel.backed_up)
    assert stream.stats.received == 4
    assert await read_to_the_end(stream) == list(range(50))


async def test_few_large_items_fill_the_buffer_too(make_stream: MakeStream, until: Until) -> None:
    stream = await make_stream(capacity_bytes=10_000)
    producer = Producer(stream, 12, size=2_500)
    await until(lambda: stream._channel.backed_up)
    assert producer.offered == 4
    assert await read(stream, 12) == list(range(12))
    await producer.join()
    assert stream.stats.payload_bytes == 30_000


async def test_a_stream_is_opened_once(make_stream: MakeStream) -> None:
    stream = await make_stream()
    with pytest.raises(StreamUsageError, match="has been opened before") as caught:
        await stream.__aenter__()
    assert "another stream" in caught.value.remedy


async def test_a_stream_that_is_not_open_cannot_be_read() -> None:
    stream = AdapterStream(Channel(KEY), lambda _: pytest.fail("it is never opened"))
    assert (stream.key, stream.state, stream.stats) == (KEY, State.NEW, StreamStats())
    with pytest.raises(StreamUsageError, match="is not open"):
        await anext(stream)


async def test_iterating_a_stream_gives_the_stream(make_stream: MakeStream) -> None:
    stream = await make_stream()
    assert aiter(stream) is stream


async def test_a_consumer_that_is_cancelled_while_others_have_their_turn_has_lost_nothing(
    make_stream: MakeStream,
) -> None:
    stream = await make_stream(capacity=1_000)
    await offer_here(stream, *range(500))
    seen: list[int] = []
    for turn in itertools.count():
        if len(seen) == 500:
            break
        taking = asyncio.create_task(stream.__anext__())
        await asyncio.sleep(0)
        if turn % 3:
            taking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            seen.append(int((await taking).data))
    assert seen == list(range(500))


def test_a_thread_that_outlives_the_loop_is_not_disturbed() -> None:
    async def use() -> AdapterStream:
        stream = await AdapterStream(Channel(KEY), lambda _: pytest.fail("it never begins")).__aenter__()
        await stream.aclose()
        return stream

    stream = asyncio.run(use())
    stream._channel.tell(EventKind.MEMORY, "too late")
    assert not offer(stream, b"1")


async def test_a_consumer_that_never_waits_gives_the_loop_a_turn(make_stream: MakeStream) -> None:
    stream = await make_stream()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await offer_here(stream, *range(640 + 64))
    before = turns
    await read(stream, 640 + 64)
    counting.cancel()
    assert turns - before >= 10


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.lists(st.integers(0, 12), max_size=12))
def test_whatever_the_pace_nothing_is_lost_repeated_or_reordered(capacity: int, paces: list[int]) -> None:
    """The consumer reads so many items at a time, with a pause in between; the producer is as fast as it may."""
    count = sum(paces)

    async def scenario() -> list[int]:
        got: list[int] = []

        class Driver:
            async def run(self) -> None:
                await offer_here(stream, *range(count))

            async def aclose(self) -> None:
                return

        stream = AdapterStream(Channel(KEY, capacity=capacity), lambda _: Driver())
        async with stream:
            for pace in paces:
                got += await read(stream, pace)
                await asyncio.sleep(0)
                assert stream.stats.buffered <= capacity
            assert await read_to_the_end(stream) == []
        return got

    assert asyncio.run(scenario()) == list(range(count))
