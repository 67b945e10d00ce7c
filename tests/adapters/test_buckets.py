"""Token buckets: what they grant, to whom first, and what is left of a caller who gives up."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.buckets import Bucket, Ticket, TokenBuckets, WaitTooLongError
from tests.support.clocks import FOREVER, Clock
from tests.support.waiting import HANG


def one(bucket: Bucket, cost: float = 1.0) -> Ticket:
    return Ticket({bucket: cost}, lambda: None)


def test_a_bucket_is_full_at_first_and_never_more_than_full() -> None:
    bucket = Bucket(2.0, 5.0, 0.0)
    assert bucket.tokens(0.0) == bucket.tokens(1e9) == 5.0
    bucket.take(5.0, 10.0)
    assert [bucket.tokens(now) for now in (10.0, 11.0, 12.5, 20.0)] == [0.0, 2.0, 5.0, 5.0]
    assert [bucket.wait_for(cost, 11.0) for cost in (2.0, 4.0)] == [0.0, 1.0]


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    bucket = Bucket(1.0, 5.0, 10.0)
    bucket.take(2.0, 20.0)
    assert bucket.tokens(15.0) == bucket.tokens(20.0) == 3.0
    bucket.take(1.0, 12.0)
    assert bucket.tokens(20.0) == 2.0


def test_a_key_and_its_numbers_have_one_bucket() -> None:
    buckets = TokenBuckets()
    first = buckets.bucket(("a", "ip"), 1.0, 2.0)
    assert buckets.bucket(("a", "ip"), 1.0, 2.0) is first
    assert len({first, buckets.bucket(("b", "ip"), 1.0, 2.0), buckets.bucket(("a", "ip"), 1.0, 3.0)}) == 3


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.floats(0, 5)),
        st.tuples(st.just("join"), st.sets(st.sampled_from("ab"), min_size=1), st.sampled_from([0.5, 1.0, 2.0])),
        st.tuples(st.just("give up"), st.integers(0, 9)),
    ),
    max_size=60,
)


class Crowd:
    """Callers that come, wait and give up on a clock that is moved by hand; what they are granted is noted."""

    def __init__(self, *numbers: tuple[float, float]) -> None:
        self.clock = Clock()
        self.buckets = TokenBuckets(self.clock)
        self.named = {name: self.buckets.bucket(name, *each) for name, each in zip(sorted("ab"), numbers, strict=True)}
        self.waiting: list[Ticket] = []
        self.granted: list[tuple[float, Ticket]] = []

    def step(self, step: tuple[object, ...]) -> None:
        match step:
            case "wait", float(seconds):
                self.clock.now += seconds
            case "join", set(names), float(cost):
                self.waiting.append(Ticket({self.named[str(name)]: cost for name in names}, lambda: None))
                self.buckets.join(self.waiting[-1])
            case "give up", int(index) if self.waiting:
                self.buckets.leave(self.waiting.pop(index % len(self.waiting)))
        self.serve()

    def serve(self) -> None:
        """Serve all who can be, whoever comes first in each bucket."""
        while served := next((each for each in self.waiting if self.buckets.serve(each) is None), None):
            ahead = self.waiting[: self.waiting.index(served)]
            assert all(served.needs.keys().isdisjoint(other.needs) for other in ahead), "somebody was overtaken"
            self.waiting.remove(served)
            self.buckets.leave(served)
            self.granted.append((self.clock.now, served))

    def finish(self) -> None:
        """Everybody is served in the end, after the waits that are foretold."""
        while self.waiting:
            pause = min(wait for each in self.waiting if (wait := self.buckets.serve(each)) is not None)
            assert 0 < pause < math.inf
            self.clock.now += pause
            self.serve()


@given(
    steps=STEPS,
    rates=st.tuples(st.sampled_from([0.1, 1.0, 3.0]), st.sampled_from([0.3, 1.0])),
    capacities=st.tuples(st.sampled_from([2.0, 3.5]), st.sampled_from([2.0, 7.0])),
)
def test_no_window_grants_more_than_the_burst_and_what_flows_in_and_all_are_served_in_order(
    steps: list[tuple[object, ...]], rates: tuple[float, float], capacities: tuple[float, float]
) -> None:
    crowd = Crowd(*zip(rates, capacities, strict=True))
    for step in steps:
        crowd.step(step)
    crowd.finish()
    for bucket in crowd.named.values():
        grants = [(at, each.needs[bucket]) for at, each in crowd.granted if bucket in each.needs]
        for first, (begun, _) in enumerate(grants):
            total = itertools.accumulate(cost for _, cost in grants[first:])
            for (at, _), sum_ in zip(grants[first:], total, strict=True):
                assert sum_ <= bucket.capacity + bucket.rate * (at - begun) + 1e-6
        assert not bucket.line


@pytest.mark.parametrize("leaves", [0, 1])
def test_whoever_gives_up_has_taken_nothing_and_those_behind_move_up(leaves: int) -> None:
    clock = Clock()
    buckets = TokenBuckets(clock)
    bucket = buckets.bucket("key", 1.0, 1.0)
    woken: list[int] = []
    line = [Ticket({bucket: 1.0}, lambda number=number: woken.append(number)) for number in range(4)]  # type: ignore[misc]
    for each in line:
        buckets.join(each)
    assert buckets.serve(line[0]) is None
    buckets.leave(line[0])
    assert woken == [1]
    assert [round(buckets.estimate(each), 9) for each in line[1:]] == [1.0, 2.0, 3.0]
    buckets.leave(line[1 + leaves])
    assert round(buckets.estimate(line[3]), 9) == 2.0
    assert woken == ([1, 2] if leaves == 0 else [1])


def test_whoever_would_come_too_late_is_told_so_at_once_and_holds_up_nobody() -> None:
    clock = Clock()
    buckets = TokenBuckets(clock)
    bucket = buckets.bucket("key", 0.5, 2.0)
    buckets.join(one(bucket, 2.0))
    with pytest.raises(WaitTooLongError) as caught:
        buckets.join(one(bucket), deadline=clock.now + 1.9)
    assert caught.value.wait == 2.0
    assert len(bucket.line) == 1
    buckets.join(one(bucket), deadline=clock.now + 2.0)


async def test_callers_are_served_in_the_order_in_which_they_came() -> None:
    buckets = TokenBuckets()
    bucket = buckets.bucket("key", 200.0, 1.0)
    served: list[int] = []

    async def call(number: int, cost: float) -> None:
        await buckets.take({bucket: cost}, None)
        served.append(number)

    begun = time.monotonic()
    async with asyncio.timeout(HANG), asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(call(number, 1.0 if number % 3 else 0.2))
    assert served == list(range(20))
    assert time.monotonic() - begun >= (13 + 7 * 0.2 - 1) / 200 - 0.001
    assert not bucket.line


async def test_who_is_cancelled_while_waiting_leaves_no_trace() -> None:
    clock = Clock()
    buckets = TokenBuckets(clock)
    bucket = buckets.bucket("key", 32.0, 1.0)
    await buckets.take({bucket: 1.0}, 0)
    first, second = (asyncio.create_task(buckets.take({bucket: 1.0}, None)) for _ in range(2))
    await asyncio.sleep(0)
    assert [buckets.estimate(each) for each in bucket.line] == [1 / 32, 2 / 32]
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    assert [buckets.estimate(each) for each in bucket.line] == [1 / 32]  # the second stands where the first stood
    clock.now += 1 / 32
    await second
    assert bucket.tokens(clock.now) == 0.0
    assert not bucket.line


async def test_a_wait_without_end_is_for_whoever_asks_for_one_and_can_be_cancelled() -> None:
    buckets = TokenBuckets()
    bucket = buckets.bucket("key", 1e-5, 1.0)
    await buckets.take({bucket: 1.0}, None)
    waiting = asyncio.create_task(buckets.take({bucket: 1.0}, None))
    with pytest.raises(WaitTooLongError):
        await buckets.take({bucket: 1.0}, FOREVER)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not bucket.line


async def test_who_waits_behind_someone_that_waits_for_another_bucket_gives_up_in_time() -> None:
    buckets = TokenBuckets()
    slow, quick = buckets.bucket("slow", 1e-3, 1.0), buckets.bucket("quick", 100.0, 1.0)
    await buckets.take({slow: 1.0}, 0)
    ahead = asyncio.create_task(buckets.take({slow: 1.0, quick: 1.0}, None))
    await asyncio.sleep(0)
    with pytest.raises(WaitTooLongError):
        await buckets.take({quick: 1.0}, 0.05)
    ahead.cancel()
    await asyncio.wait([ahead])
    await buckets.take({quick: 1.0}, 0)


def test_callers_on_several_event_loops_share_a_bucket() -> None:
    buckets = TokenBuckets()
    bucket = buckets.bucket("key", 400.0, 1.0)
    granted: list[float] = []

    def script() -> None:
        async def calls() -> None:
            for _ in range(10):
                await buckets.take({bucket: 1.0}, None)
                granted.append(time.monotonic())

        asyncio.run(calls())

    begun = time.monotonic()
    threads = [threading.Thread(target=script) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert len(granted) == 30
    assert max(granted) - begun >= 29 / 400 - 0.001
    assert not bucket.line


def test_someone_whose_event_loop_was_closed_holds_up_nobody() -> None:
    buckets = TokenBuckets()
    bucket = buckets.bucket("key", 1.0, 2.0)
    loop = asyncio.new_event_loop()
    moved = asyncio.Event()
    holder = one(bucket)
    gone = Ticket({bucket: 1.0}, lambda: loop.call_soon_threadsafe(moved.set))
    woken: list[bool] = []
    last = Ticket({bucket: 1.0}, lambda: woken.append(True))
    for each in (holder, gone, last):
        buckets.join(each)
    loop.close()
    buckets.leave(holder)
    assert woken == [True]
    assert buckets.serve(last) is None
