"""The mailbox: whatever way items are taken, each is handed out once and in order, and few wake-ups are sent for it."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.contract import StreamData, StreamKey
from adapters.errors import StreamUsageError
from adapters.mailbox import Batches, Mailbox, check_limit
from tests.support.waiting import HANG, wait_until

KEY = StreamKey("ohlcv", "example", "BTC-USDT")
LIMITS = st.integers(1, 7)

# So many are put in; the consumer asks for one, or for a list; it is cancelled, with so many put in just before; a
# thread takes a list of what is there; everybody has a turn.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 9)),
        st.tuples(st.just("next"), st.just(1)),
        st.tuples(st.just("batch"), LIMITS),
        st.tuples(st.just("cancel"), st.integers(0, 3)),
        st.tuples(st.just("thread"), LIMITS),
        st.tuples(st.just("turn"), st.just(0)),
    ),
    max_size=60,
)


class Post:
    """A mailbox that numbers what is put in, and what has been taken out of it.

    Attributes:
        got: The numbers that were handed out, in order.
        told: Those that the mailbox said were taken.
        sizes: How many at once.
        waiting: The one who waits for some.
    """

    def __init__(self) -> None:
        self.mailbox = Mailbox(self._taken)
        self.count = 0
        self.got: list[int] = []
        self.told: list[int] = []
        self.sizes: list[int] = []
        self.waiting: asyncio.Task[None] | None = None

    def _taken(self, items: Sequence[StreamData]) -> None:
        assert self.mailbox.lock.locked()
        self.told += [item.sequence for item in items]
        self.sizes.append(len(items))

    def put(self, count: int) -> None:
        items = [StreamData(KEY, 0, "ohlcv", b"", self.count + number) for number in range(count)]
        self.count += count
        with self.mailbox.lock:
            self.mailbox.put_all(items, 0.0)
        self.mailbox.wake()

    async def next(self) -> None:
        self.got.append((await self.mailbox.next()).sequence)

    async def batch(self, limit: int) -> None:
        items = await anext(Batches(self.mailbox, limit))
        assert 1 <= len(items) <= limit
        self.got += [item.sequence for item in items]

    async def step(self, what: str, size: int) -> None:
        """Do one of ``STEPS``, as far as one consumer can: who waits goes on waiting, until it is cancelled."""
        idle = self.waiting is None or self.waiting.done()
        if what in ("put", "cancel") and size:
            self.put(size)
        if what == "cancel" and not idle:
            await self.cancel()
        elif what == "thread" and idle and len(self.mailbox):
            await asyncio.to_thread(self.receive, size)
        elif what in ("next", "batch") and idle:
            self.waiting = asyncio.create_task(self.next() if what == "next" else self.batch(size))
        elif what == "turn":
            await asyncio.sleep(0)

    async def cancel(self) -> None:
        """Cancel who waits, if anybody does."""
        if self.waiting is not None:
            self.waiting.cancel()
            await asyncio.wait([self.waiting])

    def receive(self, limit: int, timeout: float | None = HANG) -> bool:
        """Take some on this thread. Returns whether there were any."""
        items = self.mailbox.receive_batch(limit, timeout)
        assert len(items) <= limit
        self.got += [item.sequence for item in items]
        return bool(items)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.booleans(), LIMITS)
def test_any_mixture_of_ways_hands_out_everything_once_and_in_order(
    steps: list[tuple[str, int]], breaks: bool, limit: int
) -> None:
    async def scenario() -> None:
        post = Post()
        for what, size in steps:
            await post.step(what, size)
        await post.cancel()
        assert post.mailbox.delivered == len(post.got)
        assert len(post.mailbox) == post.count - len(post.got)
        error = ConnectionError("gone") if breaks else None
        post.mailbox.end(error)
        while len(post.mailbox):
            await post.batch(limit)
        with pytest.raises(type(error) if error else StopAsyncIteration):
            await post.batch(limit)
        assert post.got == post.told == list(range(post.count))
        assert post.mailbox.delivered == post.count

    asyncio.run(scenario())


@pytest.mark.parametrize("seed", range(8))
async def test_a_consumer_that_changes_its_ways_gets_all_of_a_producer_on_a_thread(seed: int) -> None:
    post, rng, count = Post(), random.Random(seed), 3_000

    def produce() -> None:
        sizes = random.Random(seed + 1)
        while post.count < count:
            post.put(min(sizes.randint(1, 40), count - post.count))
        post.mailbox.end(None)

    thread = threading.Thread(target=produce)
    thread.start()
    ways: list[Callable[[], Any]] = [
        post.next,
        lambda: post.batch(rng.randint(1, 50)),
        lambda: asyncio.to_thread(post.receive, rng.randint(1, 50)),
    ]
    async with asyncio.timeout(HANG):
        while len(post.got) < count:
            choice = rng.randrange(len(ways))
            taking = asyncio.ensure_future(ways[choice]())
            for _ in range(rng.randint(0, 2)):
                await asyncio.sleep(0)
            if choice < 2 and rng.random() < 0.3:  # a thread that waits is not to be cancelled
                taking.cancel()
            await asyncio.wait([taking])
    assert post.got == post.told == list(range(count))
    await asyncio.to_thread(thread.join, HANG)


async def test_a_task_and_a_thread_that_take_at_the_same_time_get_no_item_twice() -> None:
    post, count = Post(), 5_000
    on_thread: list[int] = []

    def receive() -> None:
        while items := post.mailbox.receive_batch(7, HANG):
            on_thread.extend(item.sequence for item in items)

    async def take() -> None:
        async for items in Batches(post.mailbox, 7):
            post.got += [item.sequence for item in items]

    async with asyncio.timeout(HANG), asyncio.TaskGroup() as both:
        both.create_task(asyncio.to_thread(receive))
        both.create_task(take())
        for _ in range(count // 10):
            post.put(10)
            await asyncio.sleep(0)
        post.mailbox.end(None)
    assert sorted([*post.got, *on_thread]) == post.told == list(range(count))
    assert post.got == sorted(post.got)
    assert on_thread == sorted(on_thread)


async def test_a_batch_has_what_is_there_and_no_more_than_its_limit() -> None:
    post = Post()
    post.put(10)
    for limit, size in ((4, 4), (4, 4), (4, 2)):
        assert len(await post.mailbox.next_batch(limit)) == size
    post.put(3)
    assert len(await post.mailbox.next_batch(3)) == 3
    assert post.sizes == [4, 4, 2, 3]
    with pytest.raises(TimeoutError):
        post.mailbox.receive_batch(5, 0)


async def test_a_batch_iterator_goes_on_after_a_wait_that_was_cancelled() -> None:
    post = Post()
    batches = Batches(post.mailbox, 10)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(batches)
    post.put(2)
    assert [item.sequence for item in await anext(batches)] == [0, 1]
    post.mailbox.end(None)
    assert await anext(batches, None) is None


async def test_one_who_leaves_in_the_middle_goes_on_where_he_was() -> None:
    post = Post()
    post.put(9)
    async for items in Batches(post.mailbox, 4):
        assert [item.sequence for item in items] == [0, 1, 2, 3]
        break
    await post.next()
    await post.batch(9)
    assert post.got == [4, 5, 6, 7, 8]


@pytest.mark.parametrize("size", [1, 5, 50])
async def test_a_loop_that_has_not_run_yet_is_woken_once_however_many_batches_come(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = Post()
    loop = asyncio.get_running_loop()
    sent: list[object] = []
    threadsafe = loop.call_soon_threadsafe

    def call_soon_threadsafe(*call: Any, **context: Any) -> asyncio.Handle:
        sent.append(call)
        return threadsafe(*call, **context)

    taking = asyncio.create_task(post.batch(1_000))
    await asyncio.sleep(0)
    assert not taking.done()
    monkeypatch.setattr(loop, "call_soon_threadsafe", call_soon_threadsafe)

    def produce() -> None:
        for _ in range(10):
            post.put(size)

    thread = threading.Thread(target=produce)
    thread.start()
    thread.join()  # the loop stands still meanwhile
    await taking
    assert len(sent) == 1
    assert post.sizes == [10 * size]


async def test_what_is_put_in_on_the_loop_itself_wakes_without_another_turn() -> None:
    post = Post()
    taking = asyncio.create_task(post.batch(9))
    await asyncio.sleep(0)
    post.put(2)
    await asyncio.sleep(0)
    assert taking.done()


def test_a_thread_that_waits_is_woken_by_items_and_by_the_end() -> None:
    post = Post()
    left: list[bool] = []
    thread = threading.Thread(target=lambda: left.extend(iter(lambda: post.receive(9), False)))
    thread.start()
    for count in (3, 2):
        wait_until(lambda: post.mailbox._thread_waits, "it waits")
        post.put(count)
        wait_until(lambda: len(post.got) == post.count, "it has them")
    wait_until(lambda: post.mailbox._thread_waits, "it waits")
    post.mailbox.end(None)
    thread.join(HANG)
    assert (post.sizes, left) == ([3, 2], [True, True])


async def test_an_error_is_raised_after_what_came_before_it_and_stays() -> None:
    post = Post()
    post.put(3)
    post.mailbox.end(ConnectionError("gone"))
    await post.batch(9)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await post.batch(9)
        with pytest.raises(ConnectionError):
            post.receive(9)
    assert post.got == [0, 1, 2]


async def test_one_who_has_gone_is_handed_nothing_more() -> None:
    post = Post()
    post.put(3)
    post.mailbox.desert()
    post.put(3)
    with pytest.raises(StopAsyncIteration):
        await post.batch(9)
    assert not post.receive(9)
    assert len(post.mailbox) == 0


@pytest.mark.parametrize("limit", [1, 64, 1_000])
async def test_batches_that_are_there_give_the_loop_its_turn(limit: int) -> None:
    post = Post()
    post.put(6_400)
    post.mailbox.end(None)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    async for _ in Batches(post.mailbox, limit):
        pass
    counting.cancel()
    assert turns >= 6_400 // max(limit, 64) - 1


@pytest.mark.parametrize("limit", [0, -1, 1.5, "9", None, True])
def test_a_limit_is_a_whole_number_from_1_on(limit: Any) -> None:
    with pytest.raises(StreamUsageError) as caught:
        check_limit(limit, "batches", KEY)
    told = f"stream {KEY}: limit must be a whole number of items, 1 or more, not {limit!r}"
    assert str(caught.value) == f"{told}. Correct batches(limit=...)"
    assert check_limit(1, "batches", KEY) == 1
