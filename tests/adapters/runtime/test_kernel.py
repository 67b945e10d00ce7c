"""Kernel memory kept from one call to the next, on the kernel of the installed Extism."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from adapters.runtime import kernel as room
from adapters.runtime.engine import HostFunction
from adapters.runtime.kernel import BALLAST, KernelDamagedError, KernelLayout, Suspension, probe_kernel
from adapters.runtime.memory import KernelMemory, LostRequestError

if TYPE_CHECKING:
    from adapters.runtime.engine import Instance, KernelAccess, RawMemory
    from tests.adapters.runtime.conftest import MakeInstance

# `receive` keeps the offset of a reply, unread. `again` hands it to the host as a request, `busy` allocates before it
# does, and `fresh` hands over a new block. `idle` does nothing.
PARKED = """
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
  (import "extism:host/env" "input_offset" (func $input (result i64)))
  (import "env" "host" (func $host (param i64) (result i64)))
  (global $reply (mut i64) (i64.const 0))
  (func $fresh (result i64)
    (local $block i64)
    (local.set $block (call $alloc (i64.const 8)))
    (call $store (local.get $block) (i64.const 0x6873657266202020))
    (local.get $block))
  (func (export "receive") (result i32)
    (global.set $reply (call $host (call $input)))
    (i32.const 0))
  (func (export "again") (result i32)
    (drop (call $host (global.get $reply)))
    (i32.const 0))
  (func (export "busy") (result i32)
    (local $i i32)
    (loop $next
      (call $store (call $alloc (i64.const 40)) (i64.const -1))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 100))))
    (drop (call $host (global.get $reply)))
    (drop (call $host (call $fresh)))
    (i32.const 0))
  (func (export "greedy") (result i32)
    (call $store (call $alloc (i64.const 100000)) (i64.const -1))
    (drop (call $host (global.get $reply)))
    (i32.const 0))
  (func (export "idle") (result i32) (i32.const 0))
)
"""


class Parked:
    """A parked guest with its memory: every reply is `reply N`, padded."""

    def __init__(self, make_instance: MakeInstance, *, layout: KernelLayout, reclaim: bool) -> None:
        self.memory = KernelMemory(reclaim=reclaim, layout=layout)
        self.requests: list[bytes] = []
        self.replies = 0
        self.instance: Instance = make_instance(
            wat=PARKED, functions=[HostFunction("env", "host", ("i64",), ("i64",), self._host)]
        )

    def _host(self, kernel: KernelAccess, argument: int) -> int:
        self.requests.append(self.memory.take(kernel, argument))
        self.replies += 1
        return self.memory.give(kernel, b"reply %d" % self.replies)

    def enter(self, export: str, data: bytes = b"") -> None:
        self.memory.begin()
        outcome = self.instance.call(export, data)
        if outcome.raised is not None:
            raise outcome.raised
        assert outcome.ok


class OverwrittenMemory:
    """Kernel memory in which a guest has put a number where the kernel keeps its position; it counts writes."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.written = 0

    def read_u64(self, _: int) -> int:
        return self.position

    def write_u64(self, *_: int) -> None:
        self.written += 1

    write_header = write_u64


@pytest.mark.parametrize("position", [2**32 - 76, 2**40, 2**64 - 1])
def test_a_guest_that_overwrites_the_kernels_fields_cannot_aim_the_hosts_writes(position: int) -> None:
    memory = OverwrittenMemory(position)
    with pytest.raises(KernelDamagedError):
        Suspension(cast("RawMemory", memory), 100).resume(())
    with pytest.raises(KernelDamagedError):
        Suspension(cast("RawMemory", OverwrittenMemory(0)), position).resume(())
    assert memory.written == 0


@pytest.fixture(params=[True, False], ids=["reclaiming", "leaving"])
def parked(make_instance: MakeInstance, request: pytest.FixtureRequest) -> Parked:
    made = Parked(make_instance, layout=probe_kernel(), reclaim=request.param)
    made.enter("receive", b"x".ljust(BALLAST))
    return made


def test_the_probe_knows_the_installed_kernel_and_is_made_once() -> None:
    assert probe_kernel() == KernelLayout(continues=True)
    assert probe_kernel() is probe_kernel()


@pytest.mark.parametrize(
    ("constant", "value"), [("_POSITION", 17), ("_HEADER", 16), ("_FIRST", 81), ("_MARK", b"somewhere else")]
)
def test_a_kernel_that_is_laid_out_otherwise_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, constant: str, value: object
) -> None:
    monkeypatch.setattr(room, constant, value)
    assert probe_kernel.__wrapped__() == KernelLayout(continues=False)


def test_a_reply_that_was_not_read_can_be_read_in_the_next_call(parked: Parked) -> None:
    assert parked.memory.suspend()
    parked.enter("again")
    assert parked.requests[-1].rstrip() == b"reply 1"


def test_it_can_be_read_after_any_number_of_calls_that_did_nothing(parked: Parked) -> None:
    for _ in range(50):
        assert parked.memory.suspend()
        parked.enter("idle")
        assert parked.memory.host_calls_in_call == 0
    assert parked.memory.suspend()
    parked.enter("again")
    assert parked.memory.host_calls_in_call == 1
    assert parked.requests[-1].rstrip() == b"reply 1"


def test_it_can_be_read_although_the_guest_allocated_before(parked: Parked) -> None:
    for _ in range(20):
        assert parked.memory.suspend()
        parked.enter("busy", b"input of the next call")
        assert [request.rstrip() for request in parked.requests[-2:]] == [b"reply 1", b"   fresh"]


def test_input_and_output_of_the_next_call_come_through(parked: Parked) -> None:
    assert parked.memory.suspend()
    parked.enter("receive", b"the next input")
    assert parked.requests[-1] == b"the next input"


def test_a_guest_that_allocates_more_than_the_ballast_loses_the_reply_and_it_is_noticed(parked: Parked) -> None:
    assert parked.memory.suspend()
    with pytest.raises(LostRequestError):
        parked.enter("greedy")


def test_without_suspension_the_reply_is_gone(parked: Parked) -> None:
    with pytest.raises(LostRequestError):
        parked.enter("again")


def test_before_the_first_host_call_there_is_nothing_to_suspend(make_instance: MakeInstance) -> None:
    made = Parked(make_instance, layout=probe_kernel(), reclaim=True)
    made.enter("idle")
    assert not made.memory.suspend()


def test_an_unknown_kernel_is_not_suspended(make_instance: MakeInstance) -> None:
    made = Parked(make_instance, layout=KernelLayout(continues=False), reclaim=True)
    made.enter("receive", b"x".ljust(BALLAST))
    assert not made.memory.suspend()
    with pytest.raises(LostRequestError):
        made.enter("again")


def test_memory_does_not_grow_over_many_re_entries(make_instance: MakeInstance) -> None:
    made = Parked(make_instance, layout=probe_kernel(), reclaim=True)
    made.enter("receive", b"x".ljust(BALLAST))
    assert made.memory._raw is not None
    extents = []
    for number in range(2_000):
        assert made.memory.suspend()
        made.enter("receive", b"y" * 100)
        if number in (1_300, 1_999):
            extents.append(probe_kernel().extent(made.memory._raw) or 0)
    assert extents[1] == extents[0]


def test_the_extent_of_an_unknown_kernel_is_not_known(parked: Parked) -> None:
    assert parked.memory._raw is not None
    assert (probe_kernel().extent(parked.memory._raw) or 0) > BALLAST
    assert KernelLayout(continues=False).extent(parked.memory._raw) is None


def test_suspending_and_resuming_without_a_call_changes_nothing(parked: Parked) -> None:
    memory = parked.memory._raw
    assert memory is not None
    before = probe_kernel().extent(memory)
    suspension = Suspension.suspend(memory)
    assert probe_kernel().extent(memory) == 0
    suspension.resume(())
    assert probe_kernel().extent(memory) == before
