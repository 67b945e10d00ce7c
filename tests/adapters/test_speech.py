"""What a plugin may say: one allowance for all of its guests, on whatever threads, and every line is accounted for."""

from __future__ import annotations

import threading

from adapters.speech import Speech, SpeechBudget
from tests.support.waiting import HANG


def test_guests_on_many_threads_have_one_allowance_and_each_line_is_said_or_counted() -> None:
    budget = SpeechBudget(Speech(burst=100, rate=0), lambda: 0.0)
    said: list[int] = []

    def talk() -> None:
        said.append(sum(budget.allows() for _ in range(500)))

    threads = [threading.Thread(target=talk) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert (len(said), sum(said)) == (8, 100)
    assert (budget.left_out(), budget.left_out()) == (8 * 500 - 100, 0)


def test_to_tell_what_was_left_out_gives_nobody_the_word() -> None:
    now = 0.0
    budget = SpeechBudget(Speech(burst=20, rate=1.0), lambda: now)
    assert [budget.allows() for _ in range(21)] == [True] * 20 + [False]
    assert budget.left_out() == 1
    now = 1.5  # a line's worth, but it was silenced
    assert not budget.allows()
    now = 2.0
    assert budget.allows()


def test_where_the_burst_is_one_line_a_line_has_to_be_there() -> None:
    budget = SpeechBudget(Speech(burst=1, rate=0), lambda: 0.0)
    assert [budget.allows() for _ in range(3)] == [True, False, False]
