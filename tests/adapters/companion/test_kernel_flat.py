"""Nothing grows, however long a guest runs and whatever it does with its blocks."""

from __future__ import annotations

import pytest

from tests.adapters.companion.heap_view import read_heap, read_lists
from tests.adapters.companion.standing_in import Companion, Stats

_RETAINED = 2**17
_QUEUE = 100

#: Kinds of guests, as `turns` of guest.wat numbers them.
GUESTS = {
    "frees everything": 0,
    "frees its requests": 1,
    "frees late": 2,
    "frees twice": 3,
    "frees nothing": 4,
    "reuses one request": 5,
    "holds replies": 6,
    "only logs": 7,
    "sets the output": 8,
}


def in_use(companion: Companion) -> Stats:
    """What is in use, without what only counts."""
    stats = companion.stats()
    read_heap(companion, stats.heap_bytes)
    lists = read_lists(companion, stats.slots)
    assert (len(lists.crossed), len(lists.private)) == (stats.crossed, stats.blocks - stats.crossed)
    return stats._replace(reclaimed=0)


@pytest.mark.parametrize("kind", GUESTS.values(), ids=GUESTS.keys())
@pytest.mark.parametrize("calls", [1, 10], ids=["in one call", "in calls of 100 turns"])
def test_100_000_turns_hold_what_1_000_did(kind: int, calls: int) -> None:
    companion = Companion(retained=_RETAINED, queue=_QUEUE, quick=True)

    def run(thousands: int) -> Stats:
        for _ in range(thousands * calls):
            if calls > 1:
                companion.call("end")
                companion.begin()
            companion.call("turns", 1_000 // calls, kind)
        return in_use(companion)

    early, later, late = run(1), run(9), run(90)
    assert early._replace(heap_bytes=0) == late._replace(heap_bytes=0)
    assert later == late  # the heap has then had every arrangement of the blocks that there is
    assert late.crossed_bytes <= _RETAINED
    assert late.heap_bytes <= 2 * _RETAINED
    assert late.slots == late.blocks + late.idle + 1
    assert companion.dishonest() == 0


def test_what_never_crosses_is_given_up_in_later_calls() -> None:
    companion = Companion(retained=_RETAINED, queue=_QUEUE, quick=True)
    seen = []
    for _ in range(30):
        companion.begin()
        companion.call("turns", 1_000, 9)
        seen.append(in_use(companion))
    assert seen[1:] == [seen[1]] * 29
    assert seen[1].blocks - seen[1].crossed == 1_000


def test_slots_are_taken_in_turn_once_so_many_of_them_wait() -> None:
    companion = Companion(retained=_RETAINED, quick=True)
    companion.call("churn", 50_000, 24)
    early = in_use(companion)
    companion.call("churn", 50_000, 24)
    assert early == in_use(companion)
    assert early.idle == 16_385
    assert early.slots == early.blocks + early.idle + 1
