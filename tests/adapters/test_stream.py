"""The meeting point of producer and consumer: order, bounds, ends, states and events."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import threading
from typing import TYPE_CHECKING

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import stream as room
from adapters.contract import EventKind, StreamEvent, StreamKey, StreamState, StreamStats
from adapters.errors import StreamUsageError
from adapters.net.errors import ConnectionLostError
from adapters.stream import TRANSITIONS, AdapterStream
from tests.support.clocks import Clock
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from tests.adapters.conftest import MakeStream, Until

KEY = StreamKey("ohlcv", "example", "BTC-USDT")
State = StreamState


def offer(stream: AdapterStream, data: bytes, stopping: threading.Event | None = None) -> bool:
    return stream.offer(KEY, 0, "ohlcv", data, stopping or threading.Event())


async def offer_here(stream: AdapterStream, *numbers: int) -> None:
    for number in numbers:
        await stream.offer_here(KEY, number, "ohlcv", b"%d" % number)


def counters(stream: AdapterStream) -> StreamStats:
    """What has been counted, without what depends on the time."""
    return attrs.evolve(stream.stats, rate=0.0, lag=0.0, idle=None)


async def read(stream: AdapterStream, count: int) -> list[int]:
    async with asyncio.timeout(HANG):
        return [int((await anext(stream)).data) for _ in range(count)]


async def read_to_the_end(stream: AdapterStream) -> list[int]:
    async with asyncio.timeout(HANG):
        return [int(item.data) async for item in stream]


async def history(stream: AdapterStream) -> list[StreamEvent]:
    async with asyncio.timeout(HANG):
        return [event async for event in stream.events()]


class Producer:
    """A guest's thread that offers numbers as fast as it may."""

    def __init__(self, stream: AdapterStream, count: int, size: int = 0) -> None:
        self.offered = 0
        self.refused = False
        self.stopping = threading.Event()
        self._stream, self._count, self._size = stream, count, size
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        for number in range(self._count):
            if not offer(self._stream, (b"%d" % number).rjust(self._size), self.stopping):
                self.refused = True
                return
            self.offered += 1

    async def join(self) -> None:
        await asyncio.to_thread(self.thread.join, HANG)
        assert not self.thread.is_alive()


async def test_items_from_a_thread_arrive_in_order_and_numbered(make_stream: MakeStream) -> None:
    stream = await make_stream(capacity=16)
    producer = Producer(stream, 1_000)
    async with asyncio.timeout(HANG):
        items = [await anext(stream) for _ in range(1_000)]
    assert [int(item.data) for item in items] == list(range(1_000))
    assert [item.sequence for item in items] == list(range(1_000))
    await producer.join()


async def test_items_from_the_loop_arrive_in_order_and_numbered(make_stream: MakeStream) -> None:
    async def run(stream: AdapterStream) -> None:
        await offer_here(stream, *range(500))

    stream = await make_stream(run, capacity=8)
    async with asyncio.timeout(HANG):
        items = [item async for item in stream]
    assert [(int(item.data), item.timestamp, item.sequence) for item in items] == [(n, n, n) for n in range(500)]
    assert stream.state is State.STOPPED


async def test_an_item_carries_what_was_offered(make_stream: MakeStream) -> None:
    stream = await make_stream()
    other = StreamKey("trade", "example", "ETH")
    stream.offer(other, 7, "trade", b"{}", threading.Event())
    item = await anext(stream)
    assert (item.key, item.timestamp, item.data_type, item.data, item.sequence) == (other, 7, "trade", b"{}", 0)


@pytest.mark.parametrize("capacity", [1, 2, 7])
async def test_a_full_buffer_makes_the_guests_thread_wait(make_stream: MakeStream, until: Until, capacity: int) -> None:
    stream = await make_stream(capacity=capacity)
    producer = Producer(stream, 50)
    await until(lambda: stream._producer_waits)
    assert producer.offered == capacity
    assert stream.stats.buffered == capacity
    got = []
    for _ in range(50):
        got += await read(stream, 1)
        assert stream.stats.buffered <= capacity
    assert got == list(range(50))
    await producer.join()


async def test_a_full_buffer_makes_the_driver_wait(make_stream: MakeStream, until: Until) -> None:
    async def run(stream: AdapterStream) -> None:
        await offer_here(stream, *range(50))

    stream = await make_stream(run, capacity=4)
    await until(lambda: stream._producer_waits)
    assert stream.stats.received == 4
    assert await read_to_the_end(stream) == list(range(50))


async def test_few_large_items_fill_the_buffer_too(make_stream: MakeStream, until: Until) -> None:
    stream = await make_stream(capacity_bytes=10_000)
    producer = Producer(stream, 12, size=2_500)
    await until(lambda: stream._producer_waits)
    assert producer.offered == 4
    assert await read(stream, 12) == list(range(12))
    await producer.join()
    assert stream.stats.payload_bytes == 30_000


async def test_closing_lets_a_waiting_thread_go_with_a_refusal(make_stream: MakeStream, until: Until) -> None:
    stream = await make_stream(capacity=2)
    producer = Producer(stream, 50)
    await until(lambda: stream._producer_waits)
    await stream.aclose()
    await producer.join()  # it would wait for ever: nobody reads
    assert producer.refused
    assert producer.offered == 2
    assert not offer(stream, b"late")


async def test_closing_ends_a_driver_that_waits(make_stream: MakeStream, until: Until) -> None:
    async def run(stream: AdapterStream) -> None:
        await offer_here(stream, *range(50))

    stream = await make_stream(run, capacity=2)
    await until(lambda: stream._producer_waits)
    await stream.aclose()  # the driver would wait for ever: nobody reads
    assert stream.state is State.STOPPED
    assert stream.stats.received == 2


async def test_a_stopped_guest_does_not_wait_for_room(make_stream: MakeStream, until: Until) -> None:
    stream = await make_stream(capacity=1)
    producer = Producer(stream, 5)
    await until(lambda: stream._producer_waits)
    producer.stopping.set()
    await producer.join()
    assert producer.refused
    assert await read(stream, 1) == [0]


async def test_after_closing_nothing_is_delivered_that_was_waiting(make_stream: MakeStream) -> None:
    stream = await make_stream()
    offer(stream, b"1")
    await stream.aclose()
    assert await read_to_the_end(stream) == []
    assert counters(stream) == StreamStats(received=1, payload_bytes=1)


async def test_closing_ends_a_waiting_consumer(make_stream: MakeStream) -> None:
    stream = await make_stream()
    reading = asyncio.create_task(read_to_the_end(stream))
    await asyncio.sleep(0)
    await stream.aclose()
    assert await reading == []


async def test_a_driver_that_ends_ends_the_iteration_after_the_last_item(make_stream: MakeStream) -> None:
    async def run(stream: AdapterStream) -> None:
        await offer_here(stream, 1, 2, 3)

    stream = await make_stream(run)
    assert await read_to_the_end(stream) == [1, 2, 3]
    assert await read_to_the_end(stream) == []
    assert [event.message for event in await history(stream)][-1] == "the plugin ended the stream"


async def test_a_driver_that_fails_ends_the_iteration_with_its_error_after_the_last_item(
    make_stream: MakeStream, caplog: pytest.LogCaptureFixture
) -> None:
    error = ConnectionLostError("wss://a/", "it broke off")

    async def run(stream: AdapterStream) -> None:
        await offer_here(stream, 1, 2)
        raise error

    with caplog.at_level(logging.INFO):
        stream = await make_stream(run)
        assert await read(stream, 2) == [1, 2]
        for _ in range(2):
            with pytest.raises(ConnectionLostError) as caught:
                await anext(stream)
            assert caught.value is error
    assert stream.state is State.FAILED
    assert str(error) in caplog.text
    await stream.aclose()
    assert stream.state is State.FAILED
    assert await read_to_the_end(stream) == []  # whoever closed it has seen enough


@pytest.mark.parametrize("how", ["ends", "fails", "waits"])
async def test_the_driver_is_closed_once_however_its_run_ended(how: str) -> None:
    class Noting:
        closed = 0

        def __init__(self) -> None:
            self.begun = asyncio.Event()

        async def run(self) -> None:
            self.begun.set()
            if how == "fails":
                raise KeyError(how)
            if how == "waits":
                await asyncio.Event().wait()

        async def aclose(self) -> None:
            self.closed += 1

    driver, ended = Noting(), list[AdapterStream]()
    async with AdapterStream(KEY, lambda _: driver, ended=ended.append) as stream:
        await driver.begun.wait()
        if how != "waits":
            with pytest.raises(KeyError if how == "fails" else StopAsyncIteration):
                await anext(stream)
            assert driver.closed == 1
    assert driver.closed == 1
    assert ended == [stream]


async def test_a_driver_that_cannot_be_closed_fails_the_stream() -> None:
    class Stuck:
        async def run(self) -> None:
            return

        async def aclose(self) -> None:
            raise KeyError("a bug")

    async with AdapterStream(KEY, lambda _: Stuck()) as stream:
        with pytest.raises(KeyError, match="a bug"):
            await anext(stream)
        assert stream.state is State.FAILED


async def test_a_stream_closed_before_its_driver_began_never_makes_one() -> None:
    stream = AdapterStream(KEY, lambda _: pytest.fail("no driver is needed"))
    async with stream:
        pass
    assert stream.state is State.STOPPED


async def test_a_driver_that_cannot_be_made_fails_the_stream() -> None:
    def make(_: AdapterStream) -> room.Driver:
        raise KeyError("a bug")

    async with AdapterStream(KEY, make) as stream:
        with pytest.raises(KeyError, match="a bug"):
            await anext(stream)
        assert stream.state is State.FAILED


async def test_closing_is_safe_at_any_time_and_any_number_of_times(make_stream: MakeStream) -> None:
    unopened = AdapterStream(KEY, lambda _: pytest.fail("it is never opened"))
    await unopened.aclose()
    assert unopened.state is State.STOPPED
    stream = await make_stream()
    await asyncio.gather(*(stream.aclose() for _ in range(5)))
    await stream.aclose()
    assert [event.state for event in await history(stream)] == [State.STARTING, State.STOPPED]


async def test_closing_goes_on_when_whoever_waits_for_it_is_cancelled(make_stream: MakeStream) -> None:
    begun, cut_short, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(_: AdapterStream) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut_short.set()
            await release.wait()

    stream = await make_stream(run)
    await begun.wait()
    closing = asyncio.create_task(stream.aclose())
    await cut_short.wait()
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    release.set()
    await stream.aclose()
    assert stream.state is State.STOPPED


async def test_a_stream_is_opened_once(make_stream: MakeStream) -> None:
    stream = await make_stream()
    with pytest.raises(StreamUsageError, match="has been opened before") as caught:
        await stream.__aenter__()
    assert "another stream" in caught.value.remedy


async def test_a_stream_that_is_not_open_cannot_be_read() -> None:
    stream = AdapterStream(KEY, lambda _: pytest.fail("it is never opened"))
    assert (stream.key, stream.state, stream.stats) == (KEY, State.NEW, StreamStats())
    with pytest.raises(StreamUsageError, match="is not open"):
        await anext(stream)


async def test_iterating_a_stream_gives_the_stream(make_stream: MakeStream) -> None:
    stream = await make_stream()
    assert aiter(stream) is stream


def test_the_table_says_which_state_may_follow_which() -> None:
    changes = {(one, other): outcome(one, other) for one in State for other in State if one is not other}
    assert changes == {
        (one, other): (
            f"{other}"
            if other in TRANSITIONS[one]
            else f"{one}"  # an ended stream stays ended
            if not TRANSITIONS[one]
            else f"{one}: a stream cannot go from {one} to {other}"
        )
        for one, other in changes
    }


def outcome(one: StreamState, other: StreamState) -> str:
    """What comes of changing from one state to the other: the state, and why it could not be changed."""
    stream = AdapterStream(KEY, lambda _: pytest.fail("it is never opened"))
    stream._state = one
    try:
        stream.enter_state(other, "because")
    except StreamUsageError as error:
        return f"{stream.state}: {error}"
    return f"{stream.state}"


def test_every_state_is_in_the_table_and_reachable_and_can_end() -> None:
    assert set(TRANSITIONS) == set(State)
    assert set().union(*TRANSITIONS.values()) == set(State) - {State.NEW}
    for state, following in TRANSITIONS.items():
        assert State.STOPPED in following or state in (State.STOPPED, State.FAILED)


async def test_staying_in_a_state_is_no_event(make_stream: MakeStream) -> None:
    stream = await make_stream()
    stream.enter_state(State.STARTING, "again")
    await stream.aclose()
    assert [event.state for event in await history(stream)] == [State.STARTING, State.STOPPED]


@pytest.mark.parametrize("from_thread", [True, False])
async def test_the_first_item_after_a_start_or_a_recovery_makes_it_streaming(
    make_stream: MakeStream, from_thread: bool
) -> None:
    stream = await make_stream()

    async def give(number: int) -> None:
        if from_thread:
            assert await asyncio.to_thread(offer, stream, b"%d" % number)
        else:
            await offer_here(stream, number)

    await give(1)
    assert stream.state is State.STREAMING
    await give(2)
    stream.enter_state(State.RECOVERING, "lost")
    await give(3)
    assert stream.state is State.STREAMING
    await stream.aclose()
    states = [(event.state, event.sequence) for event in await history(stream)]
    assert [state for state, _ in states] == [
        State.STARTING,
        State.STREAMING,
        State.RECOVERING,
        State.STREAMING,
        State.STOPPED,
    ]
    assert [sequence for _, sequence in states][::2] == [0, 2, 3]


async def test_events_are_replayed_from_the_first_and_go_on_live(make_stream: MakeStream, until: Until) -> None:
    stream = await make_stream()
    stream.clock = itertools.count(1).__next__
    stream.tell(EventKind.GAP, "one", lost=3)
    seen: list[StreamEvent] = []

    async def follow() -> None:
        async for event in stream.events():
            seen.append(event)  # noqa: PERF401 - what was seen so far is looked at meanwhile

    following = [asyncio.create_task(follow()), asyncio.create_task(follow())]
    await until(lambda: len(seen) == 4)
    await asyncio.to_thread(stream.tell, EventKind.RECONNECT, "two")
    await until(lambda: len(seen) == 6)
    await stream.aclose()
    await asyncio.gather(*following)
    events = await history(stream)
    assert [event.message for event in events] == ["starting", "one", "two", "closed"]
    assert [event.kind for event in events] == [EventKind.STATE, EventKind.GAP, EventKind.RECONNECT, EventKind.STATE]
    assert events[1].lost == 3
    assert [event.timestamp for event in events[1:]] == [1, 2, 3]
    assert sorted(seen, key=events.index) == [event for event in events for _ in range(2)]


async def test_an_event_tells_its_place_among_the_items(make_stream: MakeStream) -> None:
    stream = await make_stream()
    await offer_here(stream, 1, 2)
    stream.tell(EventKind.GAP, "between")
    await offer_here(stream, 3)
    gap = next(event for event in stream._events if event.kind is EventKind.GAP)
    assert gap.sequence == 2


async def test_only_the_latest_thousand_events_are_replayed(make_stream: MakeStream) -> None:
    stream = await make_stream()
    for number in range(1_500):
        stream.tell(EventKind.MEMORY, str(number))
    replay = stream.events()
    assert (await anext(replay)).message == "500"
    for number in range(1_500, 2_600):  # more than is kept, while somebody is reading
        stream.tell(EventKind.MEMORY, str(number))
    await stream.aclose()
    rest = [event.message async for event in replay]
    assert rest[:2] == ["501", "502"]
    assert rest[-2:] == ["2599", "closed"]
    assert len(await history(stream)) == 1_000


async def test_events_are_counted(make_stream: MakeStream) -> None:
    stream = await make_stream()
    for kind, count in ((EventKind.GAP, 1), (EventKind.RECONNECT, 2), (EventKind.RESTART, 3)):
        for _ in range(count):
            stream.tell(kind, "x")
    for _ in range(4):
        stream.tell(EventKind.PLUGIN_ERROR, "x")
    for _ in range(5):
        stream.tell(EventKind.LINGERING, "x")
    await offer_here(stream, 10, 11, 12)
    await read(stream, 2)
    assert counters(stream) == StreamStats(3, 2, 1, 6, gaps=1, reconnects=2, restarts=3, plugin_errors=4, lingering=5)


async def test_rate_lag_and_idleness_are_those_of_now(make_stream: MakeStream) -> None:
    clock = Clock()
    stream = await make_stream(monotonic=clock)
    assert (stream.stats.rate, stream.stats.lag, stream.stats.idle) == (0.0, 0.0, None)
    await offer_here(stream, 1, 2)
    clock.now += 2.0
    await offer_here(stream, 3, 4)
    clock.now += 0.5
    assert (stream.stats.rate, stream.stats.lag, stream.stats.idle) == (4 / 2.5, 2.5, 0.5)
    await read(stream, 3)
    assert (stream.stats.lag, stream.stats.idle) == (0.5, 0.5)
    clock.now += 60.0
    assert (stream.stats.rate, stream.stats.lag, stream.stats.idle) == (0.0, 60.5, 60.5)
    await stream.aclose()
    assert stream.stats.lag == 0.0


async def test_how_long_items_have_flowed_is_counted_from_the_first_after_each_start(make_stream: MakeStream) -> None:
    clock = Clock()
    stream = await make_stream(monotonic=clock)
    clock.now += 5.0
    await offer_here(stream, 1)
    assert stream.flowing == 0.0
    clock.now += 3.0
    await offer_here(stream, 2)
    assert stream.flowing == 3.0
    stream.enter_state(State.RECOVERING, "lost")
    clock.now += 7.0
    await offer_here(stream, 3)
    clock.now += 1.0
    await offer_here(stream, 4)
    assert stream.flowing == 1.0


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


async def test_what_happens_to_a_stream_is_logged(make_stream: MakeStream, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="compat.stream")
    stream = await make_stream()
    await offer_here(stream, 1)
    stream.tell(EventKind.GAP, "something is missing")
    await stream.aclose()
    told = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "compat.stream"]
    assert told == [
        ("DEBUG", f"stream {stream.key}, item 0: starting"),
        ("DEBUG", f"stream {stream.key}, item 0: streaming"),
        ("INFO", f"stream {stream.key}, item 1: gap: something is missing"),
        ("DEBUG", f"stream {stream.key}, item 1: stopped: closed"),
    ]


async def test_a_stream_that_is_not_open_records_no_events() -> None:
    stream = AdapterStream(KEY, lambda _: pytest.fail("it is never opened"))
    stream.tell(EventKind.MEMORY, "nobody hears it")
    assert list(stream._events) == []


def test_a_thread_that_outlives_the_loop_is_not_disturbed() -> None:
    async def use() -> AdapterStream:
        stream = await AdapterStream(KEY, lambda _: pytest.fail("it never begins")).__aenter__()
        await stream.aclose()
        return stream

    stream = asyncio.run(use())
    stream.tell(EventKind.MEMORY, "too late")
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
        async def run(stream: AdapterStream) -> None:
            await offer_here(stream, *range(count))

        got: list[int] = []

        class Driver:
            async def run(self) -> None:
                await run(stream)

            async def aclose(self) -> None:
                return

        stream = AdapterStream(KEY, lambda _: Driver(), capacity=capacity)
        async with stream:
            for pace in paces:
                got += await read(stream, pace)
                await asyncio.sleep(0)
                assert stream.stats.buffered <= capacity
            assert await read_to_the_end(stream) == []
        return got

    assert asyncio.run(scenario()) == list(range(count))
