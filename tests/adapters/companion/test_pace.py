"""How many messages make a batch: what a guest handles in a millisecond, and one at least."""

from __future__ import annotations

import pytest

from adapters.companion.pace import Pace


@pytest.mark.parametrize(
    ("each", "most"), [(10.0, 1), (0.0006, 1), (0.0004, 2), (0.0001, 10), (0.00002, 50), (0.000001, 64), (0.0, 64)]
)
def test_a_batch_is_what_a_guest_handles_in_a_millisecond(each: float, most: int) -> None:
    pace = Pace()
    assert pace.most == 1
    for _ in range(100):
        pace.took(pace.most, pace.most * each)
    assert pace.most in {most, most - 1}  # rounded down


def test_a_guest_that_becomes_slow_is_given_less_and_one_slow_message_is_no_rule() -> None:
    pace = Pace()
    for _ in range(20):
        pace.took(10, 0.0005)
    assert pace.most in {19, 20}
    pace.took(10, 0.002)
    assert 5 < pace.most < 20
    for _ in range(20):
        pace.took(1, 0.01)
    assert pace.most == 1


def test_nothing_says_nothing() -> None:
    pace = Pace()
    pace.took(10, 0.0005)
    before = pace.most
    pace.took(0, 5.0)
    assert pace.most == before
