"""What ``run`` tells of events: each line and object to the letter."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from adapters.contract import EventKind, StreamEvent, StreamState
from compat.cli.telling import Telling

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = 1_767_268_800 * 10**9  # of 1 January 2026, in nanoseconds


def happened(second: float, kind: EventKind, message: str, **more: object) -> StreamEvent:
    return StreamEvent(kind, NOON + int(second * 10**9), 3, message, **more)  # type: ignore[arg-type]


OUTAGE = (
    happened(0, EventKind.STATE, "starting", state=StreamState.STARTING),
    happened(0, EventKind.STATE, "streaming", state=StreamState.STREAMING),
    happened(1, EventKind.STATE, "lost", state=StreamState.RECOVERING),
    happened(5, EventKind.RECONNECT, "lost"),
    happened(5, EventKind.GAP, "one is missing", lost=1),
    happened(6.5, EventKind.STATE, "streaming", state=StreamState.STREAMING),
)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """The lines on stderr since this was asked last."""
    return lambda: capsys.readouterr().err.splitlines()  # noqa: PLW0108 - reads each time it is asked


def test_people_read_the_time_the_place_of_gaps_and_how_long_an_outage_took(said: Callable[[], list[str]]) -> None:
    telling = Telling("text")
    for event in OUTAGE:
        telling.event(event)
    assert said() == [
        "12:00:05 reconnect: lost",
        "12:00:05 gap before item 3: one is missing",
        "12:00:06 back after 5.5 s",
    ]


def test_machines_read_every_event_with_all_its_fields(said: Callable[[], list[str]]) -> None:
    telling = Telling("ndjson")
    for event in OUTAGE:
        telling.event(event)
    found = [json.loads(line) for line in said()]
    assert [item["event"] for item in found] == [str(event.kind) for event in OUTAGE]
    lost = {"event": "state", "sequence": 3, "timestamp": NOON + 10**9, "message": "lost", "state": "recovering"}
    gap = {"event": "gap", "sequence": 3, "timestamp": NOON + 5 * 10**9, "message": "one is missing", "lost": 1}
    assert (found[2], found[4]) == (lost, gap)
    telling.items = 12
    telling.end()
    (end,) = (json.loads(line) for line in said())
    assert isinstance(end.pop("timestamp"), int)
    assert end == {"event": "end", "sequence": 12, "message": "12 items, 1 gap", "items": 12, "gaps": 1}


def test_an_event_that_stands_for_several_is_told_with_how_many_and_where(said: Callable[[], list[str]]) -> None:
    spread = happened(5, EventKind.GAP, "lost (and 6 more like it)", lost=9, count=7, until=8)
    at_once = happened(5, EventKind.PLUGIN_ERROR, "bad (and 1 more like it)", count=2)
    for style in ("text", "ndjson"):
        telling = Telling(style)
        telling.event(spread)
        telling.event(at_once)
        assert telling.gaps == 7
    lines = said()
    assert lines[:2] == [
        "12:00:05 gap before items 3 to 8: lost (and 6 more like it)",
        "12:00:05 plugin-error: bad (and 1 more like it)",
    ]
    gap, error = map(json.loads, lines[2:])
    assert (gap["lost"], gap["count"], gap["until"]) == (9, 7, 8)
    assert (error["count"], set(error)) == (2, {"event", "sequence", "timestamp", "message", "count"})


@pytest.mark.parametrize(
    ("items", "interrupted", "words"),
    [
        (0, None, "0 items, 0 gaps"),
        (1, StreamState.STREAMING, "1 item, 0 gaps"),
        (1_234, StreamState.RECOVERING, "1,234 items, 0 gaps, interrupted while recovering"),
    ],
)
def test_the_end_is_told_with_what_it_came_to(
    items: int, interrupted: StreamState | None, words: str, said: Callable[[], list[str]]
) -> None:
    telling = Telling("text")
    telling.items = items
    telling.end(interrupted=interrupted)
    (line,) = said()
    assert re.fullmatch(r"\d\d:\d\d:\d\d " + re.escape(words), line)
