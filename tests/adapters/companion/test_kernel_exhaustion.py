"""What happens where something comes to its end: the budget, the slots, their generations."""

from __future__ import annotations

import pytest

from tests.adapters.companion.heap_view import entry, read_heap, read_lists
from tests.adapters.companion.standing_in import Companion, Fault

_SLOTS = 65_534  # that there are
_TABLE = 0x20000
_LAST_GENERATION = 2**21 - 1


def sound(companion: Companion) -> None:
    stats = companion.stats()
    heap = read_heap(companion, stats.heap_bytes)
    lists = read_lists(companion, stats.slots)
    assert (len(lists.crossed), len(lists.private)) == (stats.crossed, stats.blocks - stats.crossed)
    assert len(heap.used) == stats.blocks
    assert companion.dishonest() == 0


def age(companion: Companion, slot: int, *, left: int) -> None:
    """Age a slot, so that it can be used so many times more."""
    handle = (entry(companion, slot).handle & (2**42 - 1)) | (_LAST_GENERATION - left) << 42
    companion.exports["own"].write(companion.store, handle.to_bytes(8, "little"), _TABLE + 32 * slot)


def test_a_spent_budget_is_a_fault_that_names_the_bytes_and_harms_nothing() -> None:
    companion = Companion(retained=2**40, budget=2**16)
    texts = [bytes([number]) * 500 for number in range(1, 65)]
    made = [companion.make(text) for text in texts]
    for length in (2**16 - 8, 2**16, 40_000, 2**26, 2**40, -1):
        with pytest.raises(Fault) as caught:
            companion.call("env.alloc", length)
        assert (caught.value.reason, caught.value.handle) == (4 if 0 < length < 2**26 - 8 else 10, length)
        sound(companion)
    assert companion.stats().heap_bytes <= 2**16
    assert [companion.read(handle + 480, 20) for handle in made] == [text[-20:] for text in texts]


def test_what_has_gone_for_want_of_room_is_told_from_what_was_used_long_ago() -> None:
    companion = Companion(retained=2**40, budget=2**16)
    made = [companion.make(bytes([number]) * 400) for number in range(200)]
    with pytest.raises(Fault) as caught:
        companion.call("env.load_u8", made[0])
    assert (caught.value.reason, caught.value.handle) == (9, made[0])
    assert companion.read(made[-1], 4) == bytes([199]) * 4
    sound(companion)


def test_a_budget_may_be_spent_to_its_last_byte() -> None:
    companion = Companion(retained=2**40, budget=2**16)
    companion.call("make", 64, 2**10 - 8)
    assert companion.stats().heap_bytes == 2**16
    with pytest.raises(Fault):
        companion.call("env.alloc", 1)
    sound(companion)


def test_a_reply_that_the_budget_has_no_room_for_is_a_fault_and_not_a_shorter_reply() -> None:
    companion = Companion(retained=2**40, budget=2**16)
    companion.reply = bytes(2**16)
    with pytest.raises(Fault) as caught:
        companion.call("host.ws_receive", companion.make(b"request"))
    assert (caught.value.reason, caught.value.handle) == (4, 2**16)
    sound(companion)


@pytest.mark.parametrize("budget", [2**32, 2**62])
def test_a_budget_beyond_what_can_be_addressed_is_as_much_as_can_be(budget: int) -> None:
    companion = Companion(retained=2**62, budget=budget)
    made = [int(companion.call("env.alloc", 2**26 - 8)) for _ in range(32)]
    with pytest.raises(Fault) as caught:
        companion.call("env.alloc", 2**26 - 8)
    assert caught.value.reason == 4
    for number, handle in enumerate(made):
        companion.call("env.store_u8", handle + 2**26 - 9, number)
    assert [companion.call("env.load_u8", handle + 2**26 - 9) for handle in made] == list(range(32))


@pytest.mark.parametrize("crossed", [False, True], ids=["the guest's alone", "crossed"])
def test_where_there_is_no_slot_any_more_the_oldest_block_is_reclaimed(crossed: bool) -> None:
    companion = Companion(retained=2**40)
    first = companion.make(b"first")
    second = companion.make(b"second")
    companion.call("make", _SLOTS - 2, 8)
    if crossed:
        companion.begin()
    before = companion.stats()
    assert (before.blocks, before.slots, before.reclaimed) == (_SLOTS, _SLOTS + 1, 0)
    new = companion.make(b"new")
    after = companion.stats()
    assert (after.blocks, after.bytes, after.slots, after.reclaimed) == (_SLOTS, before.bytes, _SLOTS + 1, 1)
    assert new == first + (1 << 42)
    with pytest.raises(Fault) as caught:
        companion.call("env.load_u8", first)
    assert (caught.value.reason, caught.value.handle) == (1, first)
    assert companion.read(second, 6) == b"second"
    assert companion.read(new, 3) == b"new"
    sound(companion)


def test_no_handle_is_given_out_twice_and_a_slot_is_not_used_beyond_its_last_generation() -> None:
    companion = Companion(retained=0, queue=0)
    handles = [companion.make(b"x") for _ in range(200)]
    for handle in handles:
        companion.call("env.free", handle)
    gone = [slot for slot in range(1, 201) if entry(companion, slot).state == 4]
    assert len(gone) == 136
    for number, slot in enumerate(gone):
        age(companion, slot, left=1 + number % 3)
    seen = set(handles)
    for _ in range(2_000):
        handle = companion.make(b"x")
        assert 0 < handle < 2**63
        assert handle not in seen
        seen.add(handle)
        companion.call("env.free", handle)
    sound(companion)
    assert {entry(companion, slot).handle >> 42 for slot in gone} == {_LAST_GENERATION}
    for slot in gone:
        with pytest.raises(Fault) as caught:
            companion.call("env.load_u8", entry(companion, slot).handle)
        assert caught.value.reason == 1


def test_a_guest_without_a_slot_that_could_be_used_again_ends_in_a_fault() -> None:
    companion = Companion(retained=0, queue=0)
    companion.call("make", _SLOTS, 8)
    companion.begin()
    for slot in range(1, _SLOTS + 1):
        age(companion, slot, left=1)
    companion.call("churn", _SLOTS - 100, 8)
    seen = {int(companion.call("churn", 1, 8)) for _ in range(100)}
    assert len(seen) == 100
    assert {handle >> 42 for handle in seen} == {_LAST_GENERATION}
    with pytest.raises(Fault) as caught:
        companion.call("churn", 1, 8)
    assert (caught.value.reason, caught.value.handle) == (4, 8)


def test_a_guest_is_worn_once_a_slot_has_been_used_so_often_and_every_crossing_tells() -> None:
    companion = Companion(retained=0, generations=3, queue=0)
    told = []
    greatest = 0
    for _ in range(300):
        greatest = max(greatest, int(companion.call("churn", 1, 8)) >> 42)
        companion.call("sleep", 0)
        (crossing,) = companion.take_crossings()
        assert crossing.worn == (greatest >= 3)
        told.append(crossing.worn)
    assert told.count(True) > 10
    assert told.count(False) > 64
    sound(companion)


def test_handles_stay_below_2_to_the_53rd_for_ten_million_blocks() -> None:
    companion = Companion(retained=2**12)
    greatest = [int(companion.call("churn", 1_000_000, 24)) for _ in range(3)]
    growth = max(greatest[1] - greatest[0], greatest[2] - greatest[1])
    assert growth > 0
    assert greatest[2] + 7 * growth < 2**53
