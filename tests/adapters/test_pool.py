"""Places on shared guests: a new stream goes where the fewest are."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from adapters.pool import Pool


def test_five_hundred_streams_are_spread_evenly_over_a_handful_of_guests() -> None:
    pool = Pool(4)
    places = [pool.take() for _ in range(500)]
    assert {place: places.count(place) for place in range(4)} == dict.fromkeys(range(4), 125)


@given(st.integers(1, 6), st.lists(st.booleans(), max_size=80), st.randoms(use_true_random=False))
def test_a_new_stream_is_where_the_fewest_are_whoever_has_left(
    size: int, comes: list[bool], numbers: random.Random
) -> None:
    pool, living = Pool(size), list[int]()
    for came in comes:
        if came or not living:
            fewest = min(living.count(place) for place in range(size))
            living.append(pool.take())
            assert living.count(living[-1]) == fewest + 1
        else:
            pool.give_back(living.pop(numbers.randrange(len(living))))
