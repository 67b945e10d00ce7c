"""Items a second, lately."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.rate import SPAN, Rate


def counted(times: list[float], began: float = 0.0) -> Rate:
    rate = Rate(began)
    for time in times:
        rate.count(time)
    return rate


def test_nothing_is_nothing() -> None:
    assert Rate(5.0).per_second(5.0) == Rate(5.0).per_second(1_000.0) == 0.0


def test_in_its_first_second_a_rate_is_not_blown_up() -> None:
    assert counted([7.3, 7.3], began=7.3).per_second(7.31) == 2.0


@pytest.mark.parametrize("rate", [1, 20, 1_000])
def test_a_steady_flow_has_its_own_rate(rate: int) -> None:
    times = [100.5 + n / rate for n in range(rate * 30)]
    assert counted(times, began=100.5).per_second(times[-1]) == pytest.approx(rate, rel=0.15)


def test_what_is_long_ago_does_not_count() -> None:
    rate = counted([1.0] * 500)
    assert rate.per_second(2.0) == 250.0
    assert rate.per_second(SPAN - 0.1) > 0
    assert rate.per_second(SPAN + 1.0) == 0.0
    assert counted([1.0] * 500 + [1_000_000.5]).per_second(1_000_000.6) == pytest.approx(1 / (SPAN - 0.4))


@given(st.lists(st.floats(0, 50), max_size=200), st.floats(0, 20))
def test_it_is_the_number_of_the_last_seconds(times: list[float], later: float) -> None:
    times.sort()
    now = (times[-1] if times else 0.0) + later
    lately = sum(int(time) > int(now) - SPAN for time in times)
    looked_back = max(min(now, SPAN - 1 + now % 1), 1.0)
    assert counted(times).per_second(now) == pytest.approx(lately / looked_back)


def test_it_needs_no_items_in_order() -> None:
    # Threads may be told the time in one order and count in another.
    times = [20.0 + n / 100 for n in range(300)]
    shuffled = times[:]
    random.Random(3).shuffle(shuffled)
    assert counted(shuffled).per_second(23.5) > 0
