"""How fast events are told: whatever happens, what is told is all of it, in order, and bounded."""

from __future__ import annotations

import itertools

import attrs
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import EventKind, StreamEvent
from adapters.event_rate import BURST, RATE, SINGLE, EventRate

GAP, ERROR, STATE = EventKind.GAP, EventKind.PLUGIN_ERROR, EventKind.STATE


@attrs.define
class Flood:
    """Events of a stream, what is told of them, and when."""

    rate: EventRate = attrs.field(factory=EventRate)
    now: float = 100.0
    place: int = 0
    happened: list[StreamEvent] = attrs.field(factory=list)
    told: list[StreamEvent] = attrs.field(factory=list)
    releases: int = 0  # for another reason than that it was time

    def tell(self, kind: EventKind, lost: int | None = None, *, items: int = 0) -> list[StreamEvent]:
        """An event happens after so many items more. Returns what is told at once."""
        self.place += items
        event = StreamEvent(kind, len(self.happened), self.place, f"event {len(self.happened)}", lost=lost)
        self.happened.append(event)
        self.releases += kind in SINGLE
        return self._told(self.rate.add(event, self.now))

    def wait(self, seconds: float) -> list[StreamEvent]:
        self.now += seconds
        return self._told(self.rate.due(self.now))

    def end(self) -> list[StreamEvent]:
        self.releases += 1
        return self._told(self.rate.all(self.now))

    def _told(self, events: list[StreamEvent]) -> list[StreamEvent]:
        self.told += events
        return events


def line(event: StreamEvent) -> tuple[EventKind, bool]:
    return event.kind, event.lost is not None


def put_together(parts: list[StreamEvent]) -> StreamEvent:
    """What is to be told of events of one kind."""
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return first
    lost = None if first.lost is None else sum(part.lost or 0 for part in parts)
    until = last.sequence if last.sequence != first.sequence else None
    message = f"{last.message} (and {len(parts) - 1:,} more like it)"
    return StreamEvent(first.kind, first.timestamp, first.sequence, message, None, lost, len(parts), until)


#: What happens, how many items are lost by it if it is a gap, after how many items, how often, and for how long then
#: nothing does.
STEPS = st.tuples(
    st.sampled_from([GAP, GAP, ERROR, EventKind.RECONNECT, STATE, EventKind.RESTART]),
    st.sampled_from([None, 0, 1, 3]),
    st.integers(0, 2),
    st.sampled_from([1, 30, 100]),
    st.sampled_from([0.0, 0.0, 0.05, 0.3, 10.0]),
)


@given(st.lists(STEPS, min_size=2, max_size=20))
def test_whatever_happens_what_is_told_is_all_of_it_in_order_and_bounded(
    steps: list[tuple[EventKind, int | None, int, int, float]],
) -> None:
    flood = Flood()
    for kind, lost, items, times, seconds in steps:
        for _ in range(times):
            flood.tell(kind, lost if kind is GAP else None, items=items)
        flood.wait(seconds)
    flood.end()

    lines = {line(event) for event in flood.happened}
    for one in lines:  # each stands for those that came next of its kind, and for no other
        left = iter([event for event in flood.happened if line(event) == one])
        told = [event for event in flood.told if line(event) == one]
        assert told == [put_together(list(itertools.islice(left, event.count))) for event in told]
        assert list(left) == []
    assert [event.sequence for event in flood.told] == sorted(event.sequence for event in flood.told)
    counted = list(itertools.accumulate((event.count for event in flood.told), initial=0))
    for before, event in zip(counted, flood.told, strict=False):
        if event.kind in SINGLE:  # all that happened before it was told before it
            assert flood.happened[before] == event
    due = len(lines) * (BURST + RATE * (flood.now - 100.0))
    assert len(flood.told) <= len(lines) * (due + flood.releases)


def test_the_first_are_told_at_once_and_then_one_for_all_at_each_turn() -> None:
    flood = Flood()
    for number in range(BURST):
        assert flood.tell(GAP, 1, items=1) == [flood.happened[number]]
    for _ in range(100):
        assert flood.tell(GAP, 2, items=1) == []
    assert flood.wait(0.9 / RATE) == []
    assert [(e.sequence, e.until, e.lost, e.count, e.message) for e in flood.wait(0.2 / RATE)] == [
        (BURST + 1, BURST + 100, 200, 100, f"event {BURST + 99} (and 99 more like it)")
    ]
    assert flood.wait(1_000) == flood.end() == []
    assert len([told for _ in range(1_000) for told in flood.tell(GAP, 1)]) == BURST


def test_a_kind_that_does_not_flood_is_told_at_once_after_what_is_held() -> None:
    flood = Flood()
    for _ in range(BURST + 3):
        flood.tell(GAP, 1)
    told = flood.tell(ERROR)
    assert [(event.kind, event.count) for event in told] == [(GAP, 3), (ERROR, 1)]


def test_two_kinds_that_flood_together_are_told_together() -> None:
    flood = Flood()
    for _ in range(1_000):
        flood.tell(ERROR)
        flood.tell(GAP, 1, items=1)
    told = [flood.wait(0.01) for _ in range(100) if flood.tell(ERROR) or flood.tell(GAP, 1) or True]
    assert sum(map(len, told)) <= 2 * RATE + 2
    assert all([event.kind for event in turn] in ([], [ERROR, GAP]) for turn in told)


def test_what_is_known_to_be_lost_is_not_put_together_with_what_is_not() -> None:
    flood = Flood()
    for _ in range(BURST + 10):
        flood.tell(GAP, 2)
        flood.tell(GAP)
    assert [(event.lost, event.count) for event in flood.end()] == [(20, 10), (None, 10)]


def test_an_event_that_stands_for_several_is_put_together_like_them() -> None:
    flood = Flood()
    for _ in range(BURST):
        flood.tell(GAP, 1)
    one, other = StreamEvent(GAP, 0, 3, "a", lost=2, count=2, until=5), StreamEvent(GAP, 1, 6, "b", lost=3, count=3)
    assert [*flood.rate.add(one, flood.now), *flood.rate.add(other, flood.now)] == []
    (told,) = flood.end()
    assert (told.sequence, told.until, told.lost, told.count) == (3, 6, 5, 5)
    assert flood.rate.add(one, flood.now) == []
    assert flood.end() == [one]
