"""What a guest does with a block takes as many instructions among 50,000 blocks as among ten."""

from __future__ import annotations

import pytest

from tests.adapters.companion.heap_view import free_orders
from tests.adapters.companion.standing_in import Companion

_ORDERS = 22
_COUNTS = (10, 1_000, 50_000)
_LENGTH = 32

#: The most instructions that an operation may take: a start, and so many for each order of the heap's.
BOUNDS = {
    "env.alloc": 200 + 80 * _ORDERS,
    "env.load_u8": 300,
    "env.load_u64": 300,
    "env.length": 150,
    "env.free": 400 + 120 * _ORDERS,
}


def living(count: int, *, crossed: bool, every: int) -> tuple[Companion, list[int]]:
    """A companion with so many blocks, of which one in `every` has been freed; the handles of some that have not."""
    companion = Companion(retained=2**40, budget=2**30, fuel=True)
    before = int(companion.call("make", 1, _LENGTH))
    companion.call("make", count, _LENGTH)
    handles = [before + (slot << 26) for slot in range(1, count + 1)]
    for handle in handles[:: max(every, count // 100)]:
        companion.call("env.free", handle)
    if crossed:
        companion.begin()
    rest = [handle for at, handle in enumerate(handles) if at % max(every, count // 100)]
    return companion, rest[:: max(1, len(rest) // 20)]


def cost(companion: Companion, name: str, argument: int) -> int:
    before = companion.store.get_fuel()
    companion.call(name, argument)
    return before - companion.store.get_fuel()


@pytest.mark.parametrize("crossed", [False, True], ids=["the guest's alone", "crossed"])
def test_an_operation_costs_the_same_however_many_blocks_there_are(crossed: bool) -> None:
    costs: dict[str, list[int]] = {name: [] for name in BOUNDS}
    for companion, handles in (living(count, crossed=crossed, every=3) for count in _COUNTS):
        for name, found in costs.items():
            arguments = [24, 3_000, 2**18] if name == "env.alloc" else handles
            found.append(max(cost(companion, name, argument) for argument in arguments))
    for name, found in costs.items():
        assert max(found) <= BOUNDS[name], name
        assert max(found) - found[0] <= BOUNDS[name] // 4, f"{name} grows with the number of blocks"


def test_halving_the_greatest_piece_and_joining_it_again_is_within_the_bound() -> None:
    companion = Companion(retained=0, budget=2**30, fuel=True)

    def is_whole() -> bool:
        return 26 in free_orders(companion)

    greatest = int(companion.call("env.alloc", 2**26 - 8))
    small = [int(companion.call("env.alloc", 1)) for _ in range(200)]
    for handle in (greatest, *small[:65]):  # the latest 64 stay
        companion.call("env.free", handle)
    assert is_whole()
    usual = cost(companion, "env.alloc", 1)  # where the first of the small ones was
    before = companion.store.get_fuel()
    halved = int(companion.call("env.alloc", 1))
    halving = before - companion.store.get_fuel()
    assert not is_whole()
    assert usual < halving <= BOUNDS["env.alloc"]
    companion.call("env.free", halved)
    costs = []
    for handle in small[65:]:
        costs.append(cost(companion, "env.free", handle))
        if is_whole():
            break
    assert is_whole()
    assert max(costs[:-1]) < costs[-1] <= BOUNDS["env.free"]
