"""The account of hosts: no more attempts than the rate allows, no more connections than may be open."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.net.pacing import LONGEST_WISH, Pacer, Pacing


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@given(
    st.floats(0.5, 100),
    st.integers(1, 20),
    st.lists(st.floats(0, 3), min_size=1, max_size=60),
)
def test_in_no_stretch_of_time_are_there_more_attempts_than_burst_and_rate_allow(
    rate: float, burst: int, pauses: list[float]
) -> None:
    clock, pacing = Clock(), Pacing(rate=rate, burst=burst)
    pacer, attempts = Pacer(clock), list[float]()
    for pause in pauses:
        clock.now += pause
        attempts.append(max(clock.now, pacer.reserve("a:443", pacing)))
    assert attempts == sorted(attempts)
    for first in range(len(attempts)):
        for last in range(first, len(attempts)):
            allowed = burst + rate * (attempts[last] - attempts[first])
            assert last - first + 1 <= allowed + 1e-6


def test_two_hundred_streams_that_come_back_at_once_are_spread_over_seconds() -> None:
    pacer, pacing = Pacer(Clock()), Pacing()
    waits = [pacer.wait_until(pacer.reserve("a:443", pacing)) for _ in range(200)]
    assert waits[:50] == [0.0] * 50
    assert waits[-1] == pytest.approx(150 / 20)
    assert pacer.wait_until(pacer.reserve("b:443", pacing)) == 0  # another host has nothing to do with it


def test_after_a_quiet_time_the_burst_is_there_again() -> None:
    clock, pacing = Clock(), Pacing(rate=10, burst=3)
    pacer = Pacer(clock)
    for _ in range(2):
        waits = [pacer.wait_until(pacer.reserve("a:443", pacing)) for _ in range(4)]
        assert waits == [0, 0, 0, pytest.approx(0.1)]
        clock.now += 60


def test_a_moment_that_is_given_back_is_taken_by_the_next_to_come_unless_it_has_passed() -> None:
    clock, pacing = Clock(), Pacing(rate=1, burst=1)
    pacer = Pacer(clock)
    moments = [pacer.reserve("a:443", pacing) for _ in range(5)]
    for moment in (moments[3], moments[1]):
        pacer.give_back("a:443", moment)
    clock.now += 1.5
    assert pacer.reserve("a:443", pacing) == moments[3]
    assert pacer.reserve("a:443", pacing) == moments[4] + 1


def test_whoever_gives_up_does_not_make_others_wait() -> None:
    pacer, pacing = Pacer(Clock()), Pacing(rate=1, burst=1)
    for _ in range(2_000):
        pacer.give_back("a:443", pacer.reserve("a:443", pacing))
    assert pacer.wait_until(pacer.reserve("a:443", pacing)) == 0


def test_no_wish_is_granted_without_end() -> None:
    clock = Clock()
    pacer = Pacer(clock)
    pacer.shut("a:443", 31_536_000)
    assert pacer.shut_for("a:443") == LONGEST_WISH == 3_600


def test_a_host_that_wants_to_be_left_alone_is_for_as_long_as_it_said_at_the_longest() -> None:
    clock = Clock()
    pacer = Pacer(clock)
    assert pacer.shut_for("a:443") == 0
    pacer.shut("a:443", 30)
    pacer.shut("a:443", 5)  # an older answer that came late
    clock.now += 10
    assert pacer.shut_for("a:443") == pytest.approx(20)
    clock.now += 20
    assert pacer.shut_for("a:443") == 0


def test_no_more_connections_are_open_than_may_be() -> None:
    pacer, pacing = Pacer(), Pacing(connections=2)
    assert [pacer.open("a:443", pacing) for _ in range(3)] == [True, True, False]
    pacer.closed("a:443")
    assert pacer.open("a:443", pacing)
    assert pacer.open("b:443", pacing)


def test_hosts_that_nobody_uses_any_more_are_forgotten() -> None:
    clock, pacing = Clock(), Pacing(rate=1, burst=1)
    pacer = Pacer(clock, hosts_kept=3)
    pacer.open("open:443", pacing)
    pacer.shut("shut:443", 1_000)
    for number in range(10):
        clock.now += 2
        pacer.reserve(f"h{number}:443", pacing)
    assert len(pacer._hosts) <= 4
    assert {"open:443", "shut:443"} <= set(pacer._hosts)
