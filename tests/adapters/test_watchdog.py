"""The table of what counts as standing still, driven by hand-made signs and a clock that the test moves."""

from __future__ import annotations

import attrs
import pytest

from adapters.contract import EventKind
from adapters.net.errors import ConnectionLostError
from adapters.progress import Progress
from adapters.recovery import rule_for
from adapters.watchdog import ROWS, Signs, Watchdog
from compat import CompatError, NoProgressError
from tests.support.adapter_streams import KEY
from tests.support.clocks import Clock

PROGRESS = Progress()
LOST = ConnectionLostError("wss://exchange.example/ws", "it broke off")
DEAD = Signs(dead=True, lost=LOST, open=1)
BUSY = Signs(running="start_stream", moves=1)
CONNECTED = attrs.evolve(BUSY, opened=1, open=1, open_for=2.0)
PARKED = attrs.evolve(CONNECTED, running="", returned=True, entered=3, doors=("plugin_info", "meta"))


class Told:
    """A stream, as the watchdog sees it."""

    key = KEY

    def __init__(self) -> None:
        self.events: list[tuple[EventKind, str]] = []

    def tell(self, kind: EventKind, message: str) -> None:
        self.events.append((kind, message))


class Looks:
    """A watchdog, and what it makes of signs that a test makes up."""

    def __init__(self, progress: Progress = PROGRESS) -> None:
        self.clock, self.stream = Clock(), Told()
        self._watchdog = Watchdog("woox", self.stream, progress, self.clock)  # type: ignore[arg-type]

    def see(self, signs: Signs, seconds: float, *, every: float = 0.5) -> None:
        """Show it the same signs for so many seconds."""
        for _ in range(int(seconds / every)):
            self._watchdog.look(signs)
            self.clock.now += every
        self._watchdog.look(signs)

    @property
    def told(self) -> list[str]:
        assert {kind for kind, _ in self.stream.events} <= {EventKind.PROGRESS}
        return [message for _, message in self.stream.events]


#: How a guest stands still, by the words of its row; what it is replaced for, after how many seconds.
STANDING: dict[str, tuple[Signs, float | None, float | None]] = {
    "it runs and makes no host call": (attrs.evolve(CONNECTED, items=1), 10, 30),
    "start_stream has got to no connection": (attrs.evolve(BUSY, inside="a sleep"), 10, 90),
    "it parked with a connection, and nobody receives": (attrs.evolve(PARKED, items=1), 10, 30),
    "it parked, and takes none of the messages that wait": (
        attrs.evolve(PARKED, asked=1, taken=1, items=1, waiting=3),
        None,
        10,
    ),
    "it parked, and takes none of the messages that wait any more": (
        attrs.evolve(PARKED, asked=1, taken=1, items=1, waiting=3, woken=True),
        10,
        30,
    ),
    "it was entered and does not return, and neither gets nor gives anything": (
        attrs.evolve(PARKED, running="meta", inside="time_now", asked=1, taken=1, items=1),
        10,
        30,
    ),
    "it takes none of the messages that wait": (
        attrs.evolve(CONNECTED, inside="a sleep", items=1, asked=1, taken=1, waiting=5),
        10,
        None,
    ),
    "no item has come": (attrs.evolve(CONNECTED, inside="ws_receive", asked=1), 10, None),
}


def test_the_table_here_has_all_of_them() -> None:
    assert {row.seen for row in ROWS if row.because(DEAD) is None} == set(STANDING)
    times = {field.name for field in attrs.fields(Progress)} | {""}
    assert {row.told for row in ROWS} | {row.ends for row in ROWS} <= times


@pytest.mark.parametrize("seen", STANDING)
def test_a_guest_that_stands_still_is_told_of_once_and_then_replaced(seen: str) -> None:
    signs, told, ends = STANDING[seen]
    looks = Looks()
    if told is not None:
        looks.see(signs, told - 0.5)
        assert looks.told == []
        looks.see(signs, 0.5)
    if ends is None:
        looks.see(signs, 1_000)
    else:
        looks.see(signs, ends - (told or 0) - 0.5)
        with pytest.raises(NoProgressError) as caught:
            looks.see(signs, 0.5)
        assert caught.value.seen == seen
        assert caught.value.seconds == ends
        assert str(caught.value).startswith(f"plugin 'woox': stream {KEY} makes no progress: {seen} for {ends} s: ")
        (row,) = (row for row in ROWS if row.seen == seen)
        assert f"Progress({row.ends}=...)" in caught.value.remedy
        assert getattr(PROGRESS, row.ends) == ends
        rule = rule_for(caught.value)
        assert rule is not None
        assert rule.failure == "the guest trapped, hung or stood still"
    assert [message.partition(" for ")[0] for message in looks.told] == ([] if told is None else [seen])


@pytest.mark.parametrize("seen", STANDING)
def test_a_guest_that_goes_on_in_between_is_left_alone(seen: str) -> None:
    signs, told, ends = STANDING[seen]
    looks = Looks()
    for step in range(50):
        moved = attrs.evolve(
            signs, moves=step, opened=signs.opened + step, requests=step, asked=step, taken=step, items=step + 1
        )
        looks.see(moved, min(filter(None, (told, ends))) - 0.5)
    assert looks.told == []


ALIVE = {
    "asks, and nothing comes any more": attrs.evolve(CONNECTED, inside="ws_receive", asked=5, taken=5, items=5),
    "asleep, and nothing waits": attrs.evolve(CONNECTED, inside="a sleep", asked=5, taken=5, items=5),
    "asleep between two requests": attrs.evolve(BUSY, inside="a sleep", requests=3, items=1),
    "has done nothing yet": Signs(),
    "waits for its turn to connect": attrs.evolve(BUSY, inside="ws_connect", connecting=True),
    "waits for the consumer": attrs.evolve(
        CONNECTED, inside="publish_stream_data", asked=5, taken=5, items=5, waiting=100, backed_up=True
    ),
    "waits for the consumer, without a connection": attrs.evolve(
        BUSY, inside="publish_stream_data", requests=1, backed_up=True
    ),
    "waits for the consumer with its first item": attrs.evolve(
        CONNECTED, inside="publish_stream_data", asked=1, taken=1, backed_up=True
    ),
    "waits for the answer to a request": attrs.evolve(BUSY, inside="http_request"),
    "asks seldom for one of its connections, which is dead": attrs.evolve(
        CONNECTED, inside="ws_receive", dead=True, lost=LOST, failures=3, asked=5, taken=5, items=5
    ),
    "parked, and makes requests beside a connection": attrs.evolve(PARKED, requests=3, items=3, woken=True),
    "parked, and nothing waits": attrs.evolve(PARKED, asked=5, taken=5, items=5),
    "parked, and asleep where it was entered": attrs.evolve(
        PARKED, running="meta", inside="a sleep", asked=5, taken=5, items=5
    ),
    "parked, and asks where it was entered": attrs.evolve(
        PARKED, running="meta", inside="ws_receive", asked=5, taken=5, items=5
    ),
}


@pytest.mark.parametrize("signs", ALIVE.values(), ids=ALIVE)
def test_what_is_no_standing_still_is_not_told(signs: Signs) -> None:
    looks = Looks()
    looks.see(signs, 1_000)
    assert looks.told == []


@pytest.mark.parametrize(("failures", "seconds"), [(20, 0), (2, 3), (1, 30)], ids=["20 times", "twice", "once"])
def test_a_dead_connection_that_a_guest_does_nothing_about_is_why_it_is_replaced(failures: int, seconds: int) -> None:
    looks = Looks()
    signs = attrs.evolve(CONNECTED, open=0, dead=True, lost=LOST, failures=failures, inside="ws_receive", items=1)
    if seconds:
        looks.see(signs, seconds - 0.5)
    looks.see(attrs.evolve(signs, inside="ws_connect", connecting=True), 0.5)  # which counts, and is not cut short
    with pytest.raises(CompatError) as caught:
        looks.see(signs, 0)
    assert caught.value is LOST


def test_one_that_uses_a_connection_that_it_never_opened_or_closed_is_told_as_that() -> None:
    for opened, facts in ((0, "no connection was opened"), (1, "no connection is open")):
        looks = Looks()
        with pytest.raises(NoProgressError) as caught:
            looks.see(attrs.evolve(BUSY, opened=opened, dead=True, failures=20, inside="ws_receive"), 0)
        assert str(caught.value).startswith(
            f"plugin 'woox': stream {KEY} makes no progress: it asks for a dead connection again and again: "
            f"start_stream runs, in ws_receive, {facts}, "
        )
        assert "Progress(dead_answers=...)" in caught.value.remedy


def test_a_dead_connection_beside_others_is_told_of_and_then_why_the_guest_is_replaced() -> None:
    looks = Looks()
    signs = attrs.evolve(CONNECTED, dead=True, lost=LOST, failures=PROGRESS.dead_answers, inside="ws_receive", items=1)
    looks.see(signs, 29.5)
    (told,) = looks.told
    assert told.startswith("it asks for a dead connection again and again, and has others for 10 s: ")
    with pytest.raises(CompatError) as caught:
        looks.see(signs, 0.5)
    assert caught.value is LOST


def test_a_start_that_returned_and_did_nothing_is_told_of_and_then_fails() -> None:
    looks = Looks()
    with pytest.raises(
        NoProgressError, match="start_stream has got to no connection for 90 s: start_stream has returned"
    ):
        looks.see(attrs.evolve(PARKED, opened=0, open=0), 90)
    assert len(looks.told) == 1


def test_exports_that_sleep_for_a_moment_do_not_hide_that_a_parked_guest_is_dead() -> None:
    looks = Looks()
    signs = attrs.evolve(PARKED, asked=1, taken=1, items=1, waiting=3)
    entered = attrs.evolve(signs, running="meta", inside="a sleep", running_for=0.05)
    for _ in range(39):
        looks.see(signs, 0)
        looks.clock.now += 0.25
        signs, entered = entered, signs
    looks.see(signs, 0)
    looks.clock.now += 0.25
    with pytest.raises(NoProgressError, match="takes none of the messages that wait for 10 s"):
        looks.see(entered, 0)


def test_what_a_parked_guest_computes_where_it_was_entered_counts_as_a_call_of_its_own() -> None:
    looks = Looks()
    signs = attrs.evolve(PARKED, running="meta", running_for=5.0, asked=1, taken=1, items=1, waiting=3)
    looks.see(signs, 29.5)
    with pytest.raises(NoProgressError, match="it runs and makes no host call for 30 s"):
        looks.see(signs, 0.5)


def test_one_that_goes_on_without_a_connection_is_left_alone_as_long_as_items_come() -> None:
    looks = Looks()
    for items in range(1, 50):
        looks.see(attrs.evolve(CONNECTED, open=0, dead=True, lost=LOST, failures=1, inside="a sleep", items=items), 29)
    assert looks.told == []


def test_time_in_which_nobody_looked_proves_nothing() -> None:
    looks = Looks()
    looks.see(attrs.evolve(CONNECTED, items=1), 5)
    looks.clock.now += 1_000  # the machine was asleep, or the process was stopped, and the guest with it
    looks.see(attrs.evolve(CONNECTED, items=1), 2)
    assert looks.told == []
    looks.see(attrs.evolve(CONNECTED, items=1), 2)
    assert len(looks.told) == 1


def test_what_is_told_says_what_is_and_what_is_not_happening() -> None:
    looks = Looks()
    looks.see(attrs.evolve(PARKED, open_for=12.0, waiting=3, entered=41), 10)
    (told,) = looks.told
    assert told == (
        "it parked with a connection, and nobody receives for 10 s: start_stream has returned and it was "
        "entered 41 times since through plugin_info, meta, connected 12 s ago, 0 messages received, 3 waiting, "
        "the guest has not asked for any, 0 items"
    )


def test_requests_are_told_where_there_is_no_connection() -> None:
    looks = Looks()
    polling = attrs.evolve(BUSY, inside="time_now", requests=2)
    with pytest.raises(NoProgressError, match="start_stream has got to no connection for 90 s"):
        looks.see(polling, 90)
    (told,) = looks.told
    assert told == (
        "start_stream has got to no connection for 10 s: start_stream runs, in time_now, no connection was opened, "
        "2 requests made, 0 items"
    )


def test_one_that_polls_and_sleeps_is_told_of_and_left_alone() -> None:
    looks = Looks()
    looks.see(attrs.evolve(BUSY, inside="a sleep", requests=1), 1_000)
    assert [message.partition(":")[0] for message in looks.told] == ["no item has come for 10 s"]


def test_a_sleep_is_shown_as_one_with_its_length() -> None:
    looks = Looks()
    looks.see(attrs.evolve(CONNECTED, moves=1, inside="a sleep", asked=1), 3)  # another sleep
    looks.see(attrs.evolve(CONNECTED, moves=2, inside="a sleep", asked=1, waiting=1), 7)
    assert "start_stream runs, asleep for 7 s, connected 2 s ago, 0 messages received, 1 waiting" in looks.told[0]


def test_only_the_first_of_several_things_is_told() -> None:
    looks = Looks()
    with pytest.raises(NoProgressError, match="makes no host call"):
        looks.see(attrs.evolve(CONNECTED, waiting=3), 1_000)
    assert [message.partition(" for ")[0] for message in looks.told] == ["it runs and makes no host call"]


def test_what_has_passed_and_comes_again_is_told_again() -> None:
    looks = Looks()
    signs = attrs.evolve(CONNECTED, inside="a sleep", items=1, asked=1, taken=1, waiting=5)
    for taken in range(2, 10):  # it sleeps between any two messages
        looks.see(signs, 15)
        signs = attrs.evolve(signs, taken=taken)
    assert [message.partition(" for ")[0] for message in looks.told] == ["it takes none of the messages that wait"] * 2
