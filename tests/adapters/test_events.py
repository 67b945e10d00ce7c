"""The log of a stream's events: who listens hears the past and what comes, who follows hears it at once."""

from __future__ import annotations

import asyncio

from adapters.contract import EventKind, StreamEvent
from adapters.events import EVENTS_KEPT, EventLog
from tests.support.waiting import HANG


def event(number: int) -> StreamEvent:
    return StreamEvent(EventKind.MEMORY, 0, number, str(number))


async def heard(log: EventLog) -> list[int]:
    async with asyncio.timeout(HANG):
        return [event.sequence async for event in log.listen()]


def recorded(*numbers: int) -> EventLog:
    log = EventLog()
    for number in numbers:
        log.record(event(number))
    return log


async def test_whoever_listens_hears_the_past_then_what_comes_until_the_end() -> None:
    log = recorded(0, 1)
    listening = [asyncio.create_task(heard(log)) for _ in range(2)]
    await asyncio.sleep(0)
    log.record(event(2))
    assert not any(task.done() for task in listening)
    log.end()
    assert await asyncio.gather(*listening) == [[0, 1, 2], [0, 1, 2]]
    assert await heard(log) == [0, 1, 2]


async def test_what_is_recorded_after_the_end_can_be_had_too() -> None:
    log = recorded(0)
    log.end()
    log.record(event(1))
    assert await heard(log) == [0, 1]


async def test_the_latest_are_kept() -> None:
    log = recorded(*range(EVENTS_KEPT + 5))
    log.end()
    assert await heard(log) == [event.sequence for event in log] == list(range(5, EVENTS_KEPT + 5))


def test_a_follower_is_called_with_the_past_and_in_the_moment_of_recording_until_it_is_let_go() -> None:
    log = recorded(0, 1)
    one: list[StreamEvent] = []
    two: list[StreamEvent] = []
    leave = log.follow(one.append)
    log.record(event(2))
    log.follow(two.append)
    assert [event.sequence for event in one] == [event.sequence for event in two] == [0, 1, 2]
    leave()
    log.record(event(3))
    assert [event.sequence for event in one] == [0, 1, 2]
    assert [event.sequence for event in two] == [0, 1, 2, 3]


def test_a_follower_may_leave_twice_and_while_it_is_told_something() -> None:
    log, told = EventLog(), []

    def follow(event: StreamEvent) -> None:
        told.append(event.sequence)
        leave()

    leave = log.follow(follow)
    log.record(event(0))
    log.record(event(1))
    leave()
    assert told == [0]
