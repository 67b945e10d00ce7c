"""The answers that may be kept: for how long, how many, and how large."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import Reply
from adapters.replies import KeptReplies, Question, lifetime
from tests.support.clocks import Clock

ASKED = Question("getMarkets", b"{}")


def test_a_reply_is_kept_until_it_expires_and_says_that_it_was() -> None:
    clock = Clock(0.0)
    kept = KeptReplies(clock=clock)
    kept.put(ASKED, Reply(b"[1]"), 5.0)
    clock.now = 4.999
    assert kept.get(ASKED) == Reply(b"[1]", cached=True)
    assert kept.get(Question("getMarkets", b'{"a":1}')) is None
    clock.now = 5.0
    assert kept.get(ASKED) is None
    assert kept._bytes == 0


def test_a_new_reply_takes_the_place_of_the_old_also_if_it_may_not_be_kept() -> None:
    kept = KeptReplies()
    kept.put(ASKED, Reply(b"[1]"), 60)
    kept.put(ASKED, Reply(b"[2]"), 60)
    assert kept.get(ASKED) == Reply(b"[2]", cached=True)
    kept.put(ASKED, Reply(b"[3]"), 0)
    assert kept.get(ASKED) is None


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60), st.sampled_from([0.0, 1.0, 1e12])), max_size=60),
    st.lists(st.integers(0, 9), max_size=10),
)
def test_what_is_kept_is_bounded_in_number_and_bytes(puts: list[tuple[int, int, float]], gets: list[int]) -> None:
    kept = KeptReplies(most=4, most_bytes=100)
    for number, size, seconds in puts:
        kept.put(Question(str(number), b"{}"), Reply(b"x" * size), seconds)
        for asked in gets:
            kept.get(Question(str(asked), b"{}"))
        assert len(kept._kept) <= 4
        assert kept._bytes == sum(3 + len(reply.data) for _, reply in kept._kept.values()) <= 100
    if puts and puts[-1][2] > 0:
        assert kept.get(Question(str(puts[-1][0]), b"{}")) is not None


def test_a_reply_larger_than_all_that_may_be_kept_is_not() -> None:
    kept = KeptReplies(most_bytes=100)
    kept.put(ASKED, Reply(b"[1]"), 60)
    kept.put(ASKED, Reply(b"x" * 200), 60)
    assert kept.get(ASKED) is None


def test_the_one_that_was_longest_not_asked_for_goes() -> None:
    kept = KeptReplies(most=2)
    one, two, three = (Question(name, b"") for name in ("one", "two", "three"))
    for question in (one, two):
        kept.put(question, Reply(b"[]"), 60)
    assert kept.get(one) is not None
    kept.put(three, Reply(b"[]"), 60)
    assert [question for question in (one, two, three) if kept.get(question)] == [one, three]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (None, 0.0),
        (0, 0.0),
        (300, 300.0),
        (0.5, 0.5),
        (-1, None),
        (True, None),
        ("300", None),
        (math.nan, None),
        (math.inf, None),
        (10**400, None),
        ([], None),
    ],
)
def test_a_lifetime_is_a_number_of_seconds(said: object, seconds: float | None) -> None:
    assert lifetime(said) == seconds
