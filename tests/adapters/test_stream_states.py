"""What a stream tells of itself: its states, events and counters, and whom it leaves alone meanwhile."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import TYPE_CHECKING

import pytest

from adapters.channel import TRANSITIONS, Channel
from adapters.contract import EventKind, StreamEvent, StreamState, StreamStats
from adapters.errors import StreamUsageError
from adapters.secrets import Redactor
from adapters.stream import AdapterStream
from tests.support.clocks import Clock

if TYPE_CHECKING:
    from tests.adapters.conftest import MakeStream, Until
from tests.support.adapter_streams import KEY, counters, history, offer, offer_here, read

State = StreamState


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
    stream = AdapterStream(Channel(KEY), lambda _: pytest.fail("it is never opened"))
    stream._channel._state = one
    try:
        stream._channel.enter_state(other, "because")
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
    stream._channel.enter_state(State.STARTING, "again")
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
    stream._channel.enter_state(State.RECOVERING, "lost")
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
    stream._channel.clock = itertools.count(1).__next__
    stream._channel.tell(EventKind.GAP, "one", lost=3)
    seen: list[StreamEvent] = []

    async def follow() -> None:
        async for event in stream.events():
            seen.append(event)  # noqa: PERF401 - what was seen so far is looked at meanwhile

    following = [asyncio.create_task(follow()), asyncio.create_task(follow())]
    await until(lambda: len(seen) == 4)
    await asyncio.to_thread(stream._channel.tell, EventKind.RECONNECT, "two")
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
    stream._channel.tell(EventKind.GAP, "between")
    await offer_here(stream, 3)
    gap = next(event for event in stream._channel.events if event.kind is EventKind.GAP)
    assert gap.sequence == 2


async def test_only_the_latest_thousand_events_are_replayed(make_stream: MakeStream) -> None:
    stream = await make_stream()
    for number in range(1_500):
        stream._channel.tell(EventKind.RESTART, str(number))
    replay = stream.events()
    assert (await anext(replay)).message == "500"
    for number in range(1_500, 2_600):  # more than is kept, while somebody is reading
        stream._channel.tell(EventKind.RESTART, str(number))
    await stream.aclose()
    rest = [event.message async for event in replay]
    assert rest[:2] == ["501", "502"]
    assert rest[-2:] == ["2599", "closed"]
    assert len(await history(stream)) == 1_000


async def test_events_are_counted(make_stream: MakeStream) -> None:
    stream = await make_stream()
    for kind, count in ((EventKind.GAP, 1), (EventKind.RECONNECT, 2), (EventKind.RESTART, 3)):
        for _ in range(count):
            stream._channel.tell(kind, "x")
    for _ in range(4):
        stream._channel.tell(EventKind.PLUGIN_ERROR, "x")
    for _ in range(5):
        stream._channel.tell(EventKind.LINGERING, "x")
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
    assert stream._channel.flowing == 0.0
    clock.now += 3.0
    await offer_here(stream, 2)
    assert stream._channel.flowing == 3.0
    stream._channel.enter_state(State.RECOVERING, "lost")
    clock.now += 7.0
    await offer_here(stream, 3)
    clock.now += 1.0
    await offer_here(stream, 4)
    assert stream._channel.flowing == 1.0


async def test_what_happens_to_a_stream_is_logged(make_stream: MakeStream, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="compat.stream")
    stream = await make_stream()
    await offer_here(stream, 1)
    stream._channel.tell(EventKind.GAP, "something is missing")
    await stream.aclose()
    told = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "compat.stream"]
    assert told == [
        ("DEBUG", f"stream {stream.key}, item 0: starting"),
        ("DEBUG", f"stream {stream.key}, item 0: streaming"),
        ("INFO", f"stream {stream.key}, item 1: gap: something is missing"),
        ("DEBUG", f"stream {stream.key}, item 1: stopped: closed"),
    ]


async def test_what_a_plugin_says_commands_no_terminal_from_the_log(
    make_stream: MakeStream, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="compat.stream")
    stream = await make_stream()
    stream._channel.tell(EventKind.PLUGIN_ERROR, "refused: \x1b[2J\nERROR all is lost")
    assert [event.message for event in stream._channel.events][-1] == r"refused: \x1b[2J\nERROR all is lost"
    assert caplog.messages == [rf"stream {stream.key}, item 0: plugin-error: refused: \x1b[2J\nERROR all is lost"]


async def test_a_stream_that_is_not_open_records_no_events() -> None:
    stream = AdapterStream(Channel(KEY), lambda _: pytest.fail("it is never opened"))
    stream._channel.tell(EventKind.MEMORY, "nobody hears it")
    assert list(stream._channel.events) == []


async def test_what_an_event_says_is_short_and_holds_no_half_of_a_secret() -> None:
    class Waits:
        async def run(self) -> None:
            await asyncio.Event().wait()

        async def aclose(self) -> None:
            return None

    secret = "s3cret" * 20
    async with AdapterStream(Channel(KEY, redact=Redactor({"token": secret})), lambda _: Waits()) as stream:
        stream._channel.tell(EventKind.PLUGIN_ERROR, "x" * 880 + secret + "y" * 10**6)
        message = [event.message for event in stream._channel.events][-1]
    assert 880 < len(message) < 1_000
    assert "s3cret" not in message
