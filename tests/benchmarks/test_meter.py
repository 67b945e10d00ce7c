"""What the benchmarks take for flat."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from benchmarks.meter import PARTS, Costs

WINDOW = 4 * 2**20
FLAT = Costs(
    seconds=[1e-4] * PARTS,
    cpu=[1e-4] * PARTS,
    resident=[90.0] * PARTS,
    blocks=[10_000] * PARTS,
    bytes_used=[WINDOW] * PARTS,
    window=WINDOW,
    longest=300,
)


def rising(first: float, last: float) -> list[Any]:
    """From one value to another, in a straight line."""
    return [first + (last - first) * part / (PARTS - 1) for part in range(PARTS)]


def test_what_stays_the_same_is_flat() -> None:
    assert FLAT.problems == FLAT.dearer == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"resident": rising(90, 110)}, "resident memory grew by 12.8 MB"),
        ({"blocks": rising(9_000, 11_000)}, "the most blocks grew"),
        ({"bytes_used": rising(WINDOW * 0.985, WINDOW + 60_000)}, "the most bytes of blocks grew"),
        ({"bytes_used": [WINDOW + 80_000] * PARTS}, "the blocks took 4,274,304 bytes, where 4,194,304 are kept"),
        ({"bytes_used": rising(0, 2 * WINDOW)}, "the blocks took 8,388,608 bytes"),
        ({"since": PARTS - 4}, "restarted too near the end"),
    ],
)
def test_what_grows_is_not_flat(change: dict[str, Any], problem: str) -> None:
    (found,) = attrs.evolve(FLAT, **change).problems
    assert problem in found


def test_a_window_that_is_still_being_filled_may_be() -> None:
    filling = attrs.evolve(FLAT, blocks=rising(0, 10_000), bytes_used=rising(0, WINDOW))
    assert filling.problems == []
    large = attrs.evolve(filling, bytes_used=rising(0, 16 * WINDOW), window=16 * WINDOW, resident=rising(90, 154))
    assert large.problems == []
    assert attrs.evolve(large, resident=rising(90, 190)).problems


def test_messages_that_become_dearer_are_told_however_unsteady_the_machine() -> None:
    unsteady = [1.0 if part % 3 else 3.0 for part in range(PARTS)]
    assert attrs.evolve(FLAT, cpu=unsteady).dearer == []
    slower = [one * more for one, more in zip(unsteady, rising(1, 1.3), strict=True)]
    assert attrs.evolve(FLAT, cpu=slower).dearer == ["processor time for each message grew by 17%"]


def test_what_came_before_the_latest_restart_does_not_count() -> None:
    blocks = [30_000] * 15 + [10_000] * 35
    restarted = attrs.evolve(FLAT, blocks=blocks, since=15)
    assert restarted.second(restarted.blocks) == [10_000] * 7
    assert restarted.problems == []
