"""What follows a failure: the table, the budgets, and that neither begins anew before the stream was healthy."""

from __future__ import annotations

import asyncio
import errno
import time
from typing import TYPE_CHECKING, Any

import pytest

from adapters import errors
from adapters.net.pacing import LONGEST_WISH, Pacer
from adapters.progress import Progress
from adapters.recovery import RULES, Recovery, Since, rule_for
from adapters.settings import Backoff
from adapters.shared import Shared
from compat import (
    CompatError,
    ConfigurationError,
    ConnectFailedError,
    ConnectionLostError,
    EventKind,
    GuestStoppedError,
    MachineError,
    NetworkDeniedError,
    OutageError,
    PluginTimeoutError,
    PluginTrapError,
    RestartsExhaustedError,
    StreamIdleError,
    StreamRejectedError,
    StreamState,
    StreamUsageError,
)
from tests.support.adapter_streams import offer_here
from tests.support.clocks import Clock
from tests.support.echo import messages, open_echo, open_module
from tests.support.legacy import KEY, URL, breaking, legacy
from tests.support.sockets import Connector, Feed
from tests.support.waiting import HANG, drain, event_of, told, until

if TYPE_CHECKING:
    from adapters.stream import AdapterStream
    from compat import Opening, Stream, StreamEvent
    from tests.adapters.conftest import MakeStream

LOST = ConnectionLostError(URL, "it broke off")
REFUSED = ConnectFailedError(URL, "connection refused")
FORBIDDEN = ConnectFailedError(URL, "the server answered with HTTP status 403", status=403)
BUSY = ConnectFailedError(URL, "the server answered with HTTP status 503", status=503)
REJECTED = StreamRejectedError("p", str(KEY), "unknown symbol")
TRAP = PluginTrapError("p", "start_stream", "unreachable")

# By error: whether it is tried again before there was a connection, with one, and after items.
VERDICTS: dict[CompatError, tuple[bool, bool, bool]] = {
    BUSY: (True, True, True),
    ConnectFailedError(URL, "HTTP status 429", status=429): (True, True, True),
    GuestStoppedError("p", "handle_stream_message"): (True, True, True),
    REFUSED: (False, True, True),
    FORBIDDEN: (False, True, True),
    LOST: (False, True, True),
    MachineError("this process has too many files open", "ulimit -n"): (False, True, True),
    StreamIdleError(str(KEY), 5): (False, True, True),
    REJECTED: (False, False, True),
    TRAP: (False, False, True),
    PluginTimeoutError("p", "start_stream", 5): (False, False, True),
    errors.PluginProtocolError("p", "start_stream", "no JSON"): (False, False, True),
    NetworkDeniedError("p", URL, "not declared", ""): (False, False, False),
    ConfigurationError("p", "no key"): (False, False, False),
    StreamUsageError("closed"): (False, False, False),
}


def recovery(stream: AdapterStream, **backoff: float) -> Recovery:
    return Recovery("p", stream._channel, Backoff(**{"first": 0.01, "highest": 0.01, **backoff}))  # type: ignore[arg-type]


async def deliver(stream: AdapterStream, count: int = 1) -> None:
    await offer_here(stream, *[1] * count)


@pytest.mark.parametrize("error", VERDICTS, ids=lambda error: type(error).__name__)
async def test_the_table_says_from_when_on_a_failure_is_tried_again(
    error: CompatError, make_stream: MakeStream
) -> None:
    stream = await make_stream()
    made = recovery(stream)
    before = [made.tolerates(error, connected=connected) for connected in (False, True)]
    await deliver(stream)
    assert (*before, made.tolerates(error, connected=False)) == VERDICTS[error]


def test_every_rule_of_the_table_decides_something() -> None:
    assert {rule_for(error) for error in VERDICTS} == {*RULES, None}
    assert {rule.since for rule in RULES} == set(Since)


async def test_the_plugins_failures_use_up_the_attempts(make_stream: MakeStream) -> None:
    stream = await make_stream()
    await deliver(stream)
    made = recovery(stream, attempts=2)
    for _ in range(2):
        assert 0 <= made.after(TRAP) <= 0.01
    with pytest.raises(RestartsExhaustedError) as caught:
        made.after(TRAP)
    assert caught.value.reasons == (str(TRAP),) * 3
    assert caught.value.__cause__ is TRAP


async def test_the_networks_failures_use_up_the_patience_and_not_the_attempts(make_stream: MakeStream) -> None:
    clock = Clock()
    stream = await make_stream(monotonic=clock)
    await deliver(stream)
    made = recovery(stream, attempts=0, patience=1_000)
    for _ in range(100):
        made.after(LOST)
        clock.now += 10.0
    with pytest.raises(OutageError) as caught:
        made.after(REFUSED)
    assert caught.value.failures == 101
    assert caught.value.reasons == (str(LOST),) * 49 + (str(REFUSED),)  # of a long outage the end is kept


async def test_before_the_first_item_the_networks_failures_count_as_attempts_too(make_stream: MakeStream) -> None:
    made = recovery(await make_stream(), attempts=1)
    made.after(LOST)
    with pytest.raises(OutageError):
        made.after(LOST)


async def test_nobody_comes_back_before_the_server_wants_to_be_asked_again(make_stream: MakeStream) -> None:
    made = recovery(await make_stream(), first=0.5, highest=0.5, attempts=50)
    waits = [made.after(ConnectFailedError(URL, "busy", status=429, retry_after=7)) for _ in range(20)]
    assert all(7 <= wait <= 7.5 for wait in waits)
    assert len(set(waits)) == 20  # and not all at once


async def test_a_server_that_asks_for_more_patience_than_there_is_ends_the_stream(make_stream: MakeStream) -> None:
    made = recovery(await make_stream(), patience=100)
    made.after(ConnectFailedError(URL, "busy", status=503, retry_after=99))
    with pytest.raises(OutageError):
        made.after(ConnectFailedError(URL, "busy", status=503, retry_after=101))


async def test_a_wish_is_granted_for_an_hour_at_the_most_and_only_to_a_busy_server(make_stream: MakeStream) -> None:
    made = recovery(await make_stream())
    wait = made.after(ConnectFailedError(URL, "busy", status=503, retry_after=31_536_000))
    assert LONGEST_WISH == 3_600 <= wait <= LONGEST_WISH + 0.01
    assert made.after(ConnectFailedError(URL, "no", status=401, retry_after=60)) <= 0.01


async def test_a_stream_that_is_stale_is_not_healthy_because_its_connection_stood(make_stream: MakeStream) -> None:
    made = recovery(await make_stream(), attempts=1)
    made.after(StreamIdleError(str(KEY), 100), stood=100)
    with pytest.raises(OutageError):
        made.after(StreamIdleError(str(KEY), 100), stood=100)


async def test_items_are_healthy_only_if_they_came_for_long_enough(make_stream: MakeStream) -> None:
    clock = Clock()
    stream = await make_stream(monotonic=clock)
    made = recovery(stream, attempts=1, healthy_after=5.0)
    await deliver(stream)
    made.after(TRAP)
    await deliver(stream)
    clock.now += 4.99
    await deliver(stream)
    clock.now += 60.0  # in which nothing comes: only from the first item to the last counts
    with pytest.raises(RestartsExhaustedError):
        made.after(TRAP)


@pytest.mark.parametrize("seconds", [5.0, 500.0], ids=["just long enough", "far longer"])
async def test_after_healthy_items_waits_and_budgets_begin_anew(make_stream: MakeStream, seconds: float) -> None:
    clock = Clock()
    stream = await make_stream(monotonic=clock)
    made = recovery(stream, attempts=1, healthy_after=5.0, first=1, highest=1_000)
    await deliver(stream)
    for _ in range(5):
        assert made.after(TRAP) <= 1
        await deliver(stream)
        clock.now += seconds
        await deliver(stream)
    made.after(TRAP)
    with pytest.raises(RestartsExhaustedError):  # what flowed before is no excuse twice
        made.after(TRAP)


async def test_a_quiet_connection_that_stood_for_long_was_healthy(make_stream: MakeStream) -> None:
    made = recovery(await make_stream(), attempts=1)
    for stood in (60, 600, 60, 600):
        made.after(LOST, stood=stood)
    with pytest.raises(OutageError):
        made.after(LOST, stood=59)


async def test_a_connection_that_never_was_has_not_stood(make_stream: MakeStream) -> None:
    made = recovery(await make_stream(), attempts=1, healthy_after=0.25)
    made.after(REFUSED)
    with pytest.raises(OutageError):
        made.after(REFUSED)


async def test_one_gap_is_told_however_many_attempts_it_takes(make_stream: MakeStream) -> None:
    stream = await make_stream()
    made = recovery(stream)
    await deliver(stream, 2)
    for _ in range(3):
        made.after(LOST)
        made.tell_gap("the connection was interrupted")
    await deliver(stream)
    made.tell_gap("the connection was interrupted")
    assert stream.state is StreamState.STREAMING
    assert stream.stats.gaps == 2
    await stream.aclose()
    assert [event.sequence for event in await told(stream, EventKind.GAP)] == [2, 3]


# Real guests


def open_kind(kind: str, connector: Connector, **chosen: Any) -> Opening:
    if kind == "generic":
        return open_echo("parks", connector, **chosen)
    return open_module(legacy(), connector, **chosen)


def said(kind: str) -> list[str]:
    return list(messages("constant", 1)) if kind == "generic" else ["data"]


@pytest.mark.parametrize("kind", ["legacy", "generic"])
async def test_a_busy_server_is_asked_again_when_it_said_even_at_the_very_first(kind: str, nothing_left: None) -> None:
    busy = ConnectFailedError(URL, "the server answered with HTTP status 429", status=429, retry_after=0.1)
    asked: list[float] = []

    def feed(number: int) -> Feed:
        asked.append(time.monotonic())
        if number == 0:
            raise busy
        return said(kind)

    async with open_kind(kind, Connector(feed)) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
        event = await event_of(stream, EventKind.RECONNECT, EventKind.RESTART)
        assert "HTTP status 429" in event.message
    assert asked[1] - asked[0] >= 0.1  # by the clock that is slept by: however busy this machine is


@pytest.mark.parametrize("kind", ["legacy", "generic"])
async def test_what_one_stream_was_told_by_a_busy_server_all_others_heed(kind: str, nothing_left: None) -> None:
    busy = ConnectFailedError(URL, "the server answered with HTTP status 503", status=503, retry_after=0.05)
    clock = Clock()

    def feed(number: int) -> Feed:
        if number == 1:
            raise busy
        return said(kind) if number > 1 else breaking(*said(kind))

    connector = Connector(feed)
    chosen: dict[str, Any] = {
        "shared": Shared(pacer=Pacer(clock)),
        "backoff": Backoff(first=0.01, highest=0.05, attempts=1_000_000),
        "progress": Progress(lost_after=0.05),
    }
    async with open_kind(kind, connector, **chosen) as plugin, plugin.stream(KEY) as one:
        await drain(one, 1)
        await until(lambda: connector.asked == 2, "the second connection is asked for, and refused")
        async with plugin.stream(KEY) as other:
            for stream in (one, other):
                await event_with(stream, "the server has asked to be left alone")
            assert connector.asked == 2
            clock.now += 0.05
            await drain(other, 1)
            await drain(one, 1)
    assert connector.asked == 4


@pytest.mark.parametrize("kind", ["legacy", "generic"])
async def test_a_stream_goes_on_once_the_machine_has_files_again(kind: str) -> None:
    lacking = [OSError(errno.EMFILE, "Too many open files")] * 2

    def feed(number: int) -> Feed:
        if number and lacking:
            raise lacking.pop()
        return said(kind) if number else breaking(*said(kind))

    chosen: dict[str, Any] = {"progress": Progress(lost_after=0.05), "backoff": Backoff(first=0.01, highest=0.05)}
    async with open_kind(kind, Connector(feed), **chosen) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
        event = await event_with(stream, "this process has too many files open")
        assert event.kind in {EventKind.RECONNECT, EventKind.RESTART, EventKind.STATE}
    assert lacking == []


@pytest.mark.parametrize("kind", ["legacy", "generic"])
async def test_a_first_connection_for_which_the_machine_has_no_file_fails_at_once(kind: str) -> None:
    def feed(_: int) -> Feed:
        raise OSError(errno.EMFILE, "Too many open files")

    connector = Connector(feed)
    async with open_kind(kind, connector) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(MachineError, match=r"could not connect to wss://.*: this process has too many"):
            await anext(stream)
    assert connector.asked == 1


async def event_with(stream: Stream, words: str) -> StreamEvent:
    """The first event with these words."""
    async with asyncio.timeout(HANG):
        return await anext(event async for event in stream.events() if words in event.message)
