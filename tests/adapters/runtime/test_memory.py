"""Freeing under a guest that never frees: against a model of the kernel, and against the kernel itself.

The laws: no block is freed that the guest may still use, kept blocks are never freed, a freed block that is used again
is recognised, and what remains held is bounded.
"""

from __future__ import annotations

import itertools
import random
import struct
from typing import TYPE_CHECKING, Any, cast

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.runtime import memory as room
from adapters.runtime.engine import HostFunction
from adapters.runtime.kernel import KernelLayout, probe_kernel
from adapters.runtime.memory import (
    KEPT_REQUESTS,
    QUARANTINE,
    KernelMemory,
    LostRequestError,
    OutOfMemoryError,
    StaleBlockError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.runtime.engine import Instance, KernelAccess
    from tests.adapters.runtime.conftest import MakeInstance

UNKNOWN = KernelLayout(continues=False)
HEADER = 12


@attrs.define(eq=False)
class Block:
    """A block of the model: who allocated it, and what became of it."""

    offset: int
    size: int
    used: int
    owner: str  # "guest" or "host"
    free: bool = False
    requests: int = 0  # how often it was handed over as a request
    first_request: int = 0  # host call
    last_use: int = 0  # host call


class ModelKernel:
    """Extism's allocator as measured: from the end while there is room, then first-fit with splits; nothing merges."""

    def __init__(self, room_for: int = 2_048, on_free: Callable[[Block], None] = lambda _: None) -> None:
        self.blocks: list[Block] = []
        self.by_offset: dict[int, Block] = {}
        self.data: dict[int, bytes] = {}
        self.owner = "host"
        self.end = 77
        self.room_for = room_for
        self.grown = 0
        self.refuse = False
        self._on_free = on_free

    def alloc(self, size: int) -> int:
        if self.refuse:
            return 0
        if self.end + size > self.room_for:
            for block in self.blocks:
                if block.free and block.size >= size:
                    return self._use(block, size)
            self.room_for = self.end + size + 1_024
            self.grown += 1
        block = Block(self.end, size, size, self.owner)
        self._add(block)
        self.end += size + HEADER
        return block.offset

    def _use(self, freed: Block, size: int) -> int:
        index = self.blocks.index(freed)
        block = Block(freed.offset, freed.size, size, self.owner)
        if freed.size >= size + 128:
            block.size = size
            rest = Block(freed.offset + size + HEADER, freed.size - size - HEADER, 0, "nobody", free=True)
            self.blocks.insert(index + 1, rest)
            self.by_offset[rest.offset] = rest
        self.blocks[index] = block
        self.by_offset[block.offset] = block
        return block.offset

    def _add(self, block: Block) -> None:
        self.blocks.append(block)
        self.by_offset[block.offset] = block

    def free(self, offset: int) -> None:
        block = self.by_offset[offset]
        self._on_free(block)
        block.free = True
        self.data.pop(offset, None)

    def length(self, offset: int) -> int:
        block = self.by_offset.get(offset)
        return 0 if block is None or block.free else block.used

    def read(self, offset: int, length: int) -> bytes:
        return self.data[offset][:length]

    def write(self, offset: int, data: bytes) -> None:
        assert len(data) <= self.by_offset[offset].size
        self.data[offset] = data

    def memory(self) -> object:
        return self

    @property
    def access(self) -> KernelAccess:
        return cast("KernelAccess", self)


class ModelGuest:
    """A guest that never frees, on the model; it knows the truth about every block and checks each freeing."""

    def __init__(self, *, quarantine: int, kept: int, reclaim: bool = True, max_request: int = 2**20) -> None:
        self.quarantine, self.kept = quarantine, kept
        self.memory = KernelMemory(reclaim=reclaim, layout=UNKNOWN, max_request=max_request)
        self.kernel = ModelKernel(on_free=self.check_freeing)
        self.requests: list[Block] = []
        self.replies: list[tuple[Block, bytes]] = []
        self.memory.begin()

    def check_freeing(self, block: Block) -> None:
        now = self.memory.host_calls
        assert not block.free, "a block is freed twice"
        assert block.owner == "host" or block.requests == 1, (
            "a block that the host never saw, or a reused one, is freed"
        )
        assert now - block.last_use >= self.quarantine, "a block is freed before its quarantine is over"
        assert block.requests == 0 or block.first_request > self.kept, "one of the first requests is freed"

    def allocate(self, size: int) -> Block:
        self.kernel.owner = "guest"
        offset = self.kernel.alloc(size)
        self.kernel.owner = "host"
        return self.kernel.by_offset[offset]

    def call(self, block: Block, reply_size: int) -> None:
        """Hand over a request and take the reply; check what arrives, and every reply that is in quarantine."""
        number = self.memory.host_calls + 1
        request = b"%d" % number
        block.used = len(request)
        self.kernel.data[block.offset] = request
        if self.kernel.by_offset.get(block.offset) is block and not block.free:
            block.requests += 1
            block.first_request = block.first_request or number
            block.last_use = number
        assert self.memory.take(self.kernel.access, block.offset) == request
        reply = b"%d" % -number + b"x" * reply_size
        given = self.kernel.by_offset[self.memory.give(self.kernel.access, reply)]
        given.last_use = number
        assert self.kernel.data[given.offset].rstrip() == reply
        self.replies.append((given, reply))
        for held, content in self.replies[-self.quarantine :]:
            assert not held.free
            assert self.kernel.data[held.offset].rstrip() == content

    def is_gone(self, block: Block) -> bool:
        """Whether using the block again must be recognised: it is freed, or has become a reply."""
        present = self.kernel.by_offset[block.offset]
        return block.free and (present.free or present.owner == "host")


operations = st.lists(
    st.one_of(
        st.tuples(st.just("fresh"), st.integers(1, 600), st.integers(0, 600)),
        st.tuples(st.just("again"), st.integers(0, 60), st.integers(0, 600)),
        st.tuples(st.just("own"), st.integers(1, 600), st.just(0)),
    ),
    min_size=1,
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(operations)
def test_on_the_model_nothing_in_use_is_freed_and_every_stale_block_is_recognised(script: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "QUARANTINE", 4)
        patch.setattr(room, "KEPT_REQUESTS", 6)
        guest = ModelGuest(quarantine=4, kept=6)
        for what, number, reply_size in script:
            if what == "own":
                guest.allocate(number)
            elif what == "fresh" or not guest.requests:
                block = guest.allocate(max(number, 8))
                guest.requests.append(block)
                guest.call(block, reply_size)
            else:
                block = guest.requests[-1 - number % len(guest.requests)]
                if guest.is_gone(block):
                    with pytest.raises(StaleBlockError):
                        guest.memory.take(guest.kernel.access, block.offset)
                    return
                if block.free:  # it has become another block of the guest's own: nobody can tell
                    return
                guest.call(block, reply_size)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([40, 400, 4_000]))
def test_on_the_model_what_is_held_stays_bounded_and_is_what_the_kernel_holds(seed: int, largest: int) -> None:
    sizes = random.Random(seed)
    guest = ModelGuest(quarantine=QUARANTINE, kept=KEPT_REQUESTS)
    peaks = []
    for number in range(1_500):
        guest.call(guest.allocate(sizes.randint(8, largest)), sizes.randint(0, largest))
        if number in (700, 1_499):
            peaks.append(guest.memory.held)
    kept = sum(
        block.size for block in guest.kernel.blocks if not block.free and block.requests and block.last_use <= 256
    )
    in_quarantine = (QUARANTINE + 1) * 3 * max(largest, 32)
    assert max(peaks) <= kept + in_quarantine
    active = [block for block in guest.kernel.blocks if not block.free]
    assert len(active) <= KEPT_REQUESTS + 2 * (QUARANTINE + 1)


def test_a_request_from_a_block_that_has_become_a_reply_is_recognised() -> None:
    guest = ModelGuest(quarantine=QUARANTINE, kept=KEPT_REQUESTS)
    for _ in range(KEPT_REQUESTS):
        guest.call(guest.allocate(32), 0)
    blocks = [guest.allocate(32) for _ in range(3)]
    for block in blocks:
        guest.call(block, 0)
    for _ in range(1_000):
        guest.call(guest.allocate(32), 0)
        present = [guest.kernel.by_offset[block.offset] for block in blocks]
        reply = next((block for block in present if block.owner == "host" and not block.free), None)
        if reply is not None:
            with pytest.raises(StaleBlockError, match="become a reply"):
                guest.memory.take(guest.kernel.access, reply.offset)
            return
    pytest.fail("no freed request became a reply")


def test_a_guest_that_frees_for_itself_is_left_alone() -> None:
    guest = ModelGuest(quarantine=0, kept=0, reclaim=False)
    for _ in range(1_000):
        guest.call(guest.allocate(8), 8)
    assert not any(block.free for block in guest.kernel.blocks)
    assert guest.memory.held == 1_000 * (len(b"1000") + 32) - 9 * 3 - 90 * 2 - 900


def test_a_new_call_begins_with_nothing_held() -> None:
    guest = ModelGuest(quarantine=QUARANTINE, kept=KEPT_REQUESTS)
    guest.call(guest.allocate(8), 8)
    assert (guest.memory.host_calls, guest.memory.host_calls_in_call) == (1, 1)
    guest.memory.begin()
    assert (guest.memory.host_calls, guest.memory.host_calls_in_call, guest.memory.held) == (0, 0, 0)


@pytest.mark.parametrize(
    ("length", "padded"), [(0, 32), (1, 32), (32, 32), (33, 64), (64, 64), (65, 128), (4_097, 8_192)]
)
def test_replies_are_padded_with_white_space_to_powers_of_two(length: int, padded: int) -> None:
    memory, kernel = KernelMemory(reclaim=True, layout=UNKNOWN), ModelKernel()
    offset = memory.give(kernel.access, b"x" * length)
    assert kernel.data[offset] == b"x" * length + b" " * (padded - length)
    assert memory.held == padded


def test_a_reply_for_which_there_is_no_room_is_told() -> None:
    memory, kernel = KernelMemory(reclaim=True, layout=UNKNOWN), ModelKernel()
    kernel.refuse = True
    with pytest.raises(OutOfMemoryError, match="no room for a reply of 32 bytes"):
        memory.give(kernel.access, b"x")


def test_a_request_that_is_nowhere_is_told_from_one_that_was_freed() -> None:
    memory = KernelMemory(reclaim=True, layout=UNKNOWN)
    with pytest.raises(LostRequestError, match="no block of kernel memory at offset 5"):
        memory.take(ModelKernel().access, 5)


def test_a_request_that_is_longer_than_any_can_be_is_cut() -> None:
    guest = ModelGuest(quarantine=QUARANTINE, kept=KEPT_REQUESTS, max_request=10)
    block = guest.allocate(100)
    guest.kernel.data[block.offset] = b"x" * 100
    assert guest.memory.take(guest.kernel.access, block.offset) == b"x" * 10


@pytest.mark.parametrize("reclaim", [True, False])
def test_the_budget_is_told_when_it_is_spent_and_again_for_each_quarter_more(reclaim: bool) -> None:
    told: list[int] = []
    memory = KernelMemory(reclaim=reclaim, layout=UNKNOWN, budget=10_000, on_budget=lambda: told.append(memory.held))
    kernel = ModelKernel()
    memory.begin()
    for _ in range(200):
        offset = kernel.alloc(8)
        kernel.data[offset] = b"x" * 8
        memory.take(kernel.access, offset)
        memory.give(kernel.access, b"x" * 200)
    assert told
    assert told[0] > 10_000
    assert all(later > earlier * 1.25 for earlier, later in itertools.pairwise(told))


# The real kernel. A guest obeys the first eight bytes of each reply: the size of its next request (0: return), with
# REMEMBER to remember that request's block, or AGAIN to use the remembered block instead. Each request carries its
# number and the first eight bytes of the reply that was given 48 calls before, which has to be still there.
OBEDIENT = """
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "load_u64" (func $load (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "env" "host" (func $host (param i64) (result i64)))
  (memory (export "memory") 1)
  (global $number (mut i32) (i32.const 0))
  (global $kept (mut i64) (i64.const 0))
  (func (export "run") (result i32)
    (local $order i64) (local $block i64) (local $reply i64) (local $slot i32) (local $own i64)
    (local.set $own (call $alloc (i64.const 24)))
    (call $store (local.get $own) (i64.const 0x6e776f20796d2021))
    (local.set $order (i64.const 24))
    (loop $next
      (global.set $number (i32.add (global.get $number) (i32.const 1)))
      (if (i64.ne (i64.const 0) (i64.and (local.get $order) (i64.const 0x200000000)))
        (then (local.set $block (global.get $kept)))
        (else
          (local.set $block (call $alloc (i64.and (local.get $order) (i64.const 0xffffffff))))
          (if (i64.ne (i64.const 0) (i64.and (local.get $order) (i64.const 0x100000000)))
            (then (global.set $kept (local.get $block))))))
      (call $store (local.get $block) (i64.extend_i32_u (global.get $number)))
      (local.set $slot (i32.mul (i32.rem_u (global.get $number) (i32.const 48)) (i32.const 8)))
      (call $store (i64.add (local.get $block) (i64.const 8))
        (if (result i64) (i64.eqz (i64.load (local.get $slot)))
          (then (i64.const 0))
          (else (call $load (i64.load (local.get $slot))))))
      (local.set $reply (call $host (local.get $block)))
      (i64.store (local.get $slot) (local.get $reply))
      (local.set $order (call $load (local.get $reply)))
      (br_if $next (i64.ne (local.get $order) (i64.const 0))))
    (call $output_set (local.get $own) (i64.const 8))
    (i32.const 0))
)
"""
REMEMBER, AGAIN = 1 << 32, 1 << 33
LOOK_BACK = 48


class RealGuest:
    """The obedient guest on the real kernel."""

    def __init__(self, make: Callable[..., Instance], layout: KernelLayout) -> None:
        self.memory = KernelMemory(reclaim=True, layout=layout)
        self._orders: list[tuple[int, int]] = []
        self._given: list[int] = []
        self._make = make
        self.begin_anew()

    def begin_anew(self) -> None:
        """A fresh instance, which counts from one again."""
        functions = [HostFunction("env", "host", ("i64",), ("i64",), self._host)]
        self._instance = self._make(wat=OBEDIENT, functions=functions)

    def run(self, orders: list[tuple[int, int]]) -> bytes:
        """Let it make a request of 24 bytes and then one for each `(order, reply size)`; its output."""
        self._orders = [*orders, (0, 8)]
        self._given = []
        self.memory.begin()
        outcome = self._instance.call("run", b"")
        if outcome.raised is not None:
            raise outcome.raised
        assert outcome.ok
        assert len(self._given) == len(self._orders)
        return outcome.output

    def _host(self, kernel: KernelAccess, argument: int) -> int:
        number, echoed = struct.unpack_from("<QQ", self.memory.take(kernel, argument))
        assert number == len(self._given) + 1
        assert echoed == (self._given[-LOOK_BACK] if len(self._given) >= LOOK_BACK else 0)
        order, size = self._orders[len(self._given)]
        # An order of its own for each reply, or a reply could be confused with another.
        word = order | (number << 40) if order else 0
        self._given.append(word)
        return self.memory.give(kernel, struct.pack("<Q", word) + b"x" * size)


@pytest.fixture
def real_guest(make_instance: MakeInstance) -> RealGuest:
    return RealGuest(make_instance, probe_kernel())


@pytest.mark.parametrize("largest", [64, 1_000, 60_000])
@pytest.mark.parametrize("seed", [1, 2])
def test_on_the_real_kernel_requests_and_replies_of_any_size_stay_whole(
    real_guest: RealGuest, seed: int, largest: int
) -> None:
    sizes = random.Random(seed)
    orders = [(sizes.randint(24, largest), sizes.randint(0, largest)) for _ in range(1_200)]
    assert real_guest.run(orders) == struct.pack("<Q", 0x6E776F20796D2021)
    assert real_guest.memory.held <= (KEPT_REQUESTS + QUARANTINE + 2) * largest + (QUARANTINE + 2) * 2 * largest


def test_on_the_real_kernel_memory_stays_flat(real_guest: RealGuest) -> None:
    extents: list[int] = []
    for count in (600, 6_000):
        real_guest.run([(24 + number % 200, number * 7 % 900) for number in range(count)])
        assert real_guest.memory._raw is not None
        extents.append(probe_kernel().extent(real_guest.memory._raw) or 0)
        real_guest.begin_anew()
    assert extents[1] <= extents[0] * 1.5


PLAIN = (24, 8)


def test_on_the_real_kernel_one_of_the_first_blocks_may_be_used_again_after_any_time(real_guest: RealGuest) -> None:
    real_guest.run([PLAIN] * 10 + [(24 | REMEMBER, 8)] + ([PLAIN] * 700 + [(AGAIN, 8)]) * 2)


def test_on_the_real_kernel_a_block_that_is_used_again_in_time_is_kept_for_ever(real_guest: RealGuest) -> None:
    real_guest.run(
        [PLAIN] * 400
        + [(24 | REMEMBER, 8)]
        + [PLAIN] * (QUARANTINE - 2)
        + [(AGAIN, 8)]
        + ([PLAIN] * 500 + [(AGAIN, 8)]) * 2
    )


@pytest.mark.parametrize("later", [QUARANTINE + 2, 100, 333, 1_000])
def test_on_the_real_kernel_a_block_that_is_used_again_too_late_is_recognised(
    real_guest: RealGuest, later: int
) -> None:
    # Requests of 24 bytes are too small for the freed block of 4,000, so the guest itself does not get it again soon.
    with pytest.raises(StaleBlockError):
        real_guest.run([PLAIN] * 400 + [(4_000 | REMEMBER, 8)] + [(24, 3_000)] * later + [(AGAIN, 8)])
