"""One subscriber's view: the buffer between the manager that puts and the subscriber that iterates, and its end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from compat import (
    ConnectionLostError,
    Overflow,
    StreamData,
    StreamKey,
    StreamUsageError,
    SubscriberTooSlowError,
    Subscription,
)
from compat.plugin import open_plugin
from tests.support.plugins import FIXTURES
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from compat import Stream

KEY = StreamKey("ohlcv", "simex", "BTC-USDT")


class Desk:
    """Stands in for the manager: a stream that is never started, and who has joined and left."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.joined: list[Subscription] = []
        self.left: list[Subscription] = []

    async def join(self, subscription: Subscription) -> Stream:
        self.joined.append(subscription)
        return self.stream

    async def leave(self, subscription: Subscription) -> None:
        self.left.append(subscription)

    def subscribe(self, buffer: int = 4, overflow: Overflow | str = Overflow.ERROR) -> Subscription:
        return Subscription(KEY, buffer, overflow, self.join, self.leave)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_plugin(FIXTURES[0].path) as plugin:
        yield Desk(plugin.stream(KEY))


def item(n: int) -> StreamData:
    return StreamData(KEY, 0, "ohlcv", b"{}", n)


async def rest(subscription: Subscription) -> list[int]:
    async with asyncio.timeout(HANG):
        return [item.sequence async for item in subscription]


@pytest.mark.parametrize("buffer", [0, -1, "x", 1.5, None, True])
async def test_a_buffer_holds_at_least_one_item(desk: Desk, buffer: Any) -> None:
    with pytest.raises(StreamUsageError) as caught:
        desk.subscribe(buffer)
    told = f"the subscription to {KEY}: buffer must be a whole number of items, 1 or more, not {buffer!r}"
    assert str(caught.value) == f"{told}. Correct subscribe(buffer=...)"


async def test_nothing_works_before_it_is_entered(desk: Desk) -> None:
    subscription = desk.subscribe()
    with pytest.raises(StreamUsageError, match="has not begun"):
        await anext(subscription)
    with pytest.raises(StreamUsageError, match="has not begun"):
        _ = subscription.stream
    assert desk.joined == []


async def test_it_can_be_entered_once(desk: Desk) -> None:
    subscription = desk.subscribe()
    async with subscription:
        with pytest.raises(StreamUsageError, match="begun before"):
            await subscription.__aenter__()
    with pytest.raises(StreamUsageError, match="begun before"):
        await subscription.__aenter__()
    assert desk.joined == [subscription]


async def test_one_that_was_ended_before_it_began_never_begins(desk: Desk) -> None:
    subscription = desk.subscribe()
    await subscription.unsubscribe()
    with pytest.raises(StreamUsageError, match="ended before it began"):
        await subscription.__aenter__()
    assert desk.joined == []


async def test_it_shows_the_stream_that_serves_it(desk: Desk) -> None:
    async with desk.subscribe() as subscription:
        assert subscription.stream is desk.stream
        assert subscription.key == KEY


async def test_items_come_out_in_the_order_in_which_they_were_put(desk: Desk) -> None:
    async with desk.subscribe() as subscription:
        assert all(subscription.put_all([item(n)]) for n in range(4))
        subscription.end(None)
        assert await rest(subscription) == [0, 1, 2, 3]
        assert await rest(subscription) == []


async def test_one_who_waits_is_woken_by_an_item_and_by_the_end(desk: Desk) -> None:
    async with desk.subscribe() as subscription:
        for n in range(2):
            waiting = asyncio.create_task(anext(subscription))
            await asyncio.sleep(0)
            assert not waiting.done()
            subscription.put_all([item(n)])
            assert (await waiting).sequence == n
        finishing = asyncio.create_task(rest(subscription))
        await asyncio.sleep(0)
        subscription.end(None)
        assert await finishing == []


async def test_an_error_comes_after_the_items_and_stays(desk: Desk) -> None:
    async with desk.subscribe() as subscription:
        subscription.put_all([item(0)])
        error = ConnectionLostError("wss://stream.simex.example/ws", "gone")
        subscription.end(error)
        subscription.end(None)
        assert (await anext(subscription)).sequence == 0
        for _ in range(2):
            with pytest.raises(ConnectionLostError) as caught:
                await anext(subscription)
            assert caught.value is error


async def test_one_item_more_than_fits_ends_it_and_is_not_taken(desk: Desk) -> None:
    async with desk.subscribe(buffer=2) as subscription:
        assert [subscription.put_all([item(n)]) for n in range(3)] == [1, 1, 0]
        assert [(await anext(subscription)).sequence for _ in range(2)] == [0, 1]
        with pytest.raises(SubscriberTooSlowError) as caught:
            await anext(subscription)
        assert (caught.value.stream, caught.value.buffer) == (str(KEY), 2)


async def test_room_that_was_made_can_be_used_again(desk: Desk) -> None:
    async with desk.subscribe(buffer=1) as subscription:
        for n in range(3):
            assert subscription.put_all([item(n)])
            assert (await anext(subscription)).sequence == n


async def test_leaving_gives_up_what_waits_and_tells_the_manager(desk: Desk) -> None:
    async with desk.subscribe() as subscription:
        subscription.put_all([item(0)])
        assert desk.left == []
    assert desk.left == [subscription]
    assert await rest(subscription) == []


async def test_leaving_by_an_exception_tells_the_manager_too(desk: Desk) -> None:
    with pytest.raises(ZeroDivisionError):
        async with desk.subscribe() as subscription:
            raise ZeroDivisionError
    assert desk.left == [subscription]


async def test_unsubscribing_ends_the_iteration_of_one_who_waits(desk: Desk) -> None:
    async with desk.subscribe() as subscription:
        waiting = asyncio.create_task(rest(subscription))
        await asyncio.sleep(0)
        await subscription.unsubscribe()
        assert await waiting == []
        await subscription.unsubscribe()


async def test_one_who_drains_a_full_buffer_lets_others_run_meanwhile(desk: Desk) -> None:
    async with desk.subscribe(buffer=1_000) as subscription:
        for n in range(1_000):
            subscription.put_all([item(n)])
        subscription.end(None)
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        running = asyncio.create_task(others())
        assert len(await rest(subscription)) == 1_000
        running.cancel()
        assert turns >= 10
