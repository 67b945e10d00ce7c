"""What a guest hears that makes the same mistake again and again, by counting."""

from __future__ import annotations

import pytest

from adapters.progress import Progress
from adapters.runtime.errors import MalformedRequestsError
from adapters.runtime.malformed import Malformed

DEFAULTS = Progress()


class Counted:
    """A counter with all that it tells and waits."""

    def __init__(self, progress: Progress = DEFAULTS, kind: str = "malformed") -> None:
        self.told: list[str] = []
        self.waited: list[float] = []
        self.requests = Malformed(
            "ws_send",
            plugin="p",
            tell=self.told.append,
            wait=self.waited.append,
            progress=progress,
            kind=kind,
        )


def test_the_first_few_are_answered_at_once_the_others_wait_and_the_last_ends_it() -> None:
    counted = Counted()
    for number in range(1, 1_001):
        counted.requests.answer(f"problem {number}")
        assert len(counted.waited) == max(0, number - 10)
    assert set(counted.waited) == {0.05}
    with pytest.raises(MalformedRequestsError) as caught:
        counted.requests.answer("problem 1001")
    assert (caught.value.count, caught.value.most, caught.value.problem) == (1_001, 1_000, "problem 1001")
    assert "malformed_most=" in caught.value.remedy
    assert len(counted.waited) == 990


def test_powers_of_ten_are_told() -> None:
    counted = Counted()
    for number in range(1, 1_001):
        counted.requests.answer(f"problem {number}")
    assert counted.told == [
        "a malformed request to ws_send: problem 1",
        "10 malformed requests to ws_send in a row, last: problem 10",
        "100 malformed requests to ws_send in a row, last: problem 100",
        "1,000 malformed requests to ws_send in a row, last: problem 1000",
    ]


def test_a_good_one_ends_the_row_and_not_the_count_of_what_is_told() -> None:
    counted = Counted()
    for number in range(1, 101):
        counted.requests.answer(f"problem {number}")
        counted.requests.in_a_row = 0
    assert counted.waited == []
    assert [text.partition(",")[0] for text in counted.told[1:]] == [
        "10 malformed requests to ws_send",
        "100 malformed requests to ws_send",
    ]


def test_noting_neither_waits_nor_ends() -> None:
    counted = Counted(Progress(malformed_free=0, malformed_most=1))
    for _ in range(100):
        counted.requests.note("problem")
    assert len(counted.told) == 3
    assert counted.waited == []


def test_the_kind_is_named() -> None:
    counted = Counted(Progress(malformed_free=0, malformed_pace=2.5, malformed_most=1), "refused")
    counted.requests.answer("source 'x'")
    assert counted.waited == [2.5]
    with pytest.raises(MalformedRequestsError, match="2 refused requests to ws_send in a row, of 1 that it may"):
        counted.requests.answer("source 'y'")
