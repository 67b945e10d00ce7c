"""The companion's memory as it stands: heap, table of slots, lists. What does not fit together is an error."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.adapters.companion.standing_in import Companion

__all__ = ["HEAP", "Entry", "Heap", "Lists", "entry", "free_orders", "read_heap", "read_lists"]

HEAP = 0x220000
_TABLE = 0x20000
_HEADS = 0x100
_ORDERS = range(27)
_HEADS_OF_LISTS = struct.Struct(f"<{len(_ORDERS)}I")
_ENTRY = struct.Struct("<qIIIIII")
_PRIVATE = 65_535  # the sentinel of the blocks that are the guest's alone


class Entry(NamedTuple):
    """A slot."""

    handle: int
    byte: int
    length: int
    last: int
    next: int
    order: int
    state: int


class Heap(NamedTuple):
    """Pieces of the heap, by where they begin (from the heap's beginning), with their orders."""

    used: dict[int, int]
    free: dict[int, int]


class Lists(NamedTuple):
    """Handles of the blocks of each list, from the one that was used longest ago to the latest."""

    crossed: list[int]
    private: list[int]


def entry(companion: Companion, slot: int) -> Entry:
    """Read a slot."""
    at = _TABLE + slot * _ENTRY.size
    return Entry(*_ENTRY.unpack(companion.own(at, at + _ENTRY.size)))


def free_orders(companion: Companion) -> set[int]:
    """The orders of which there are free pieces."""
    heads = _HEADS_OF_LISTS.unpack(companion.own(_HEADS, _HEADS + _HEADS_OF_LISTS.size))
    return {order for order in _ORDERS if heads[order]}


def read_heap(companion: Companion, length: int) -> Heap:
    """Read the heap.

    Raises:
        AssertionError: A piece stands where it may not, is accounted for twice or not at all, or has a free buddy.
    """
    data = companion.own(HEAP, HEAP + length)
    used: dict[int, int] = {}
    free: dict[int, int] = {}
    at = 0
    while at < length:
        (head,) = struct.unpack_from("<I", data, at)
        order = head & 0xFF
        assert head in {order, order | 0x100}, f"no piece begins at {at:#x}"
        assert 5 <= order <= 26
        assert not at & ((1 << order) - 1), f"the piece at {at:#x} of order {order} stands awry"
        (free if head & 0x100 else used)[at] = order
        at += 1 << order
    assert at == length
    for piece, order in free.items():
        assert free.get(piece ^ (1 << order)) != order, f"free buddies at {piece:#x}"
    listed: dict[int, int] = {}
    heads = _HEADS_OF_LISTS.unpack(companion.own(_HEADS, _HEADS + _HEADS_OF_LISTS.size))
    for order in _ORDERS:
        piece, last = heads[order], 0
        while piece:
            assert piece - HEAP not in listed
            listed[piece - HEAP] = order
            following, before = struct.unpack_from("<II", data, piece - HEAP + 8)
            assert before == last
            piece, last = following, piece
    assert listed == free
    return Heap(used, free)


def read_lists(companion: Companion, slots: int) -> Lists:
    """Read the two lists of blocks.

    Raises:
        AssertionError: They are not linked both ways, or leave out a block that is there.
    """
    data = companion.own(_TABLE, _TABLE + slots * _ENTRY.size)
    table = [Entry(*fields) for fields in _ENTRY.iter_unpack(data)]
    lists = Lists([], [])
    for sentinel, handles in ((0, lists.crossed), (_PRIVATE, lists.private)):
        slot, last, end = entry(companion, sentinel).next, sentinel, entry(companion, sentinel).last
        while slot != sentinel:
            assert table[slot].last == last
            assert table[slot].state in ({1} if sentinel else {2, 3})
            assert len(handles) <= slots, "a list has no end"
            handles.append(table[slot].handle)
            slot, last = table[slot].next, slot
        assert end == last
    living = {one.handle for one in table if one.state in {1, 2, 3}}
    assert living == {*lists.crossed, *lists.private}
    assert len(living) == len(lists.crossed) + len(lists.private)
    return lists
