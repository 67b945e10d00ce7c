"""Keeping Extism's kernel memory alive from one call to the next.

A call begins by resetting the kernel's memory: every block is gone. For a parked guest (its call returned while a
goroutine had not yet read the reply it was given, or had just written its next request) that is a lost message, and no
host function can prevent it: the reset comes before the guest runs.

What the reset clears is what the kernel's *position* says is in use. So between two calls the host sets the position
to zero, and nothing is cleared: every block stays where it is, and is found where it was. What the guest then
allocates before its first host call comes to lie at the very beginning, over blocks that are long dead: the first of
them is the input of the call that parked, padded to ``BALLAST`` bytes for this purpose. At that first host call the
list of blocks is mended (one block from there to the next that is known) and the position put back, and the kernel is
as if there had been one long call.

One thing remains: a guest that, entered again, first allocates and then, before any host call, asks the kernel for the
*length* of an older block is answered 0, for that look-up walks the list that is not mended yet. Go's plugins ask for a
reply's length at once, before anything else can run.

This rests on the layout of the kernel's memory, so nothing is assumed: it is probed, once a process, on a small guest
of our own. Where the probe fails nothing is touched, and whoever enters a parked guest has to tell a gap.

Everything here runs on the guest's thread; between two calls nobody else can be in the instance.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import attrs
import wasmtime

from adapters.runtime.engine import HostFunction, Instance, KernelAccess, RawMemory
from detectors.errors import PluginError

__all__ = ["BALLAST", "KernelDamagedError", "KernelLayout", "Suspension", "probe_kernel"]

BALLAST = 16 * 1024  # bytes

_OUTPUT = 49  # where the kernel keeps the offset of the output
_POSITION = 9  # where the kernel keeps its position: bytes from the first block's header to where the next one goes
_BLOCKS = 65  # where the first block's header is
_HEADER = 12  # bytes of a header: status, three of padding, size, bytes in use
_FIRST = _BLOCKS + _HEADER  # the offset of the first block
_ACTIVE = 1  # the status of a block in use
_ADDRESSES = 2**32  # the kernel's memory has 32-bit addresses


class KernelDamagedError(PluginError):
    """The guest has written where only the kernel writes, so nothing in kernel memory can be relied on."""


@attrs.frozen
class KernelLayout:
    """What the probe found.

    Attributes:
        continues: Whether kernel memory is laid out as expected, so that it can be kept from one call to the next.
    """

    continues: bool

    def extent(self, memory: RawMemory) -> int | None:
        """Bytes from the first block to the end of the last, freed ones included; ``None`` if that cannot be known."""
        return memory.read_u64(_POSITION) if self.continues else None

    def output(self, memory: RawMemory) -> int:
        """The offset of the block that the latest call made its output; 0 if it made none. Needs ``continues``."""
        return memory.read_u64(_OUTPUT)


@attrs.frozen
class Suspension:
    """Kernel memory between two calls: ``suspend`` before the next call, ``resume`` at its first host call or its end.

    Attributes:
        memory: The kernel's memory.
        position: The position to put back.
    """

    memory: RawMemory
    position: int

    @classmethod
    def suspend(cls, memory: RawMemory) -> Suspension:
        """Set the position to zero, so that the next call's reset clears nothing."""
        position = memory.read_u64(_POSITION)
        memory.write_u64(_POSITION, 0)
        return cls(memory, position)

    def resume(self, known: Iterable[int]) -> int:
        """Mend the list of blocks and put the position back.

        Args:
            known: Offsets of blocks that the host knows to be in the list.

        Returns:
            The offset below which no known block has survived: the guest wrote there, or the mending block covers it.

        Raises:
            KernelDamagedError: The guest has written where only the kernel writes.
        """
        used = _BLOCKS + self.memory.read_u64(_POSITION)
        end = _BLOCKS + self.position
        # A guest can write anything anywhere in kernel memory, these fields too; it must not aim our writes.
        if max(used, end) > _ADDRESSES - _HEADER:
            msg = "the guest has overwritten the kernel's own fields in kernel memory"
            raise KernelDamagedError(msg)
        if used == _BLOCKS:
            boundary = used
        else:
            starts = (offset - _HEADER for offset in known)
            boundary = min((start for start in (*starts, end) if start >= used + _HEADER), default=used)
        if boundary > used:
            self.memory.write_header(used, _ACTIVE, boundary - used - _HEADER)
        self.memory.write_u64(_POSITION, max(end, boundary) - _BLOCKS)
        return boundary + _HEADER


_GUEST = """
(module
  (import "env" "probe" (func $probe (param i64) (result i64)))
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "load_u64" (func $load (param i64) (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (global $reply (mut i64) (i64.const 0))
  (func (export "receive") (result i32)
    (global.set $reply (call $probe (i64.const 0)))
    (call $output_set (global.get $reply) (i64.const 8))
    (i32.const 0))
  (func (export "read") (result i32)
    (drop (call $probe (call $length (global.get $reply))))
    (drop (call $probe (call $load (global.get $reply))))
    (i32.const 0))
  (func (export "allocate") (result i32)
    (drop (call $load (call $alloc (i64.const 40))))
    (drop (call $probe (call $load (global.get $reply))))
    (i32.const 0)))
"""
_MARK = b"in-flght"


@functools.cache
def probe_kernel() -> KernelLayout:
    """Probe the kernel of the installed Extism. Takes about 10 ms, once a process."""
    probe = _Probe()
    functions = [HostFunction("env", "probe", ("i64",), ("i64",), probe.on_host_call)]
    instance = Instance(bytes(wasmtime.wat2wasm(_GUEST)), functions)
    try:
        return KernelLayout(continues=probe.run(instance))
    finally:
        instance.free()


class _Probe:
    """The host's side of the probe."""

    def __init__(self) -> None:
        self._step: Callable[[KernelAccess, int], int] = self.give_reply
        self._memory: RawMemory | None = None
        self._reply = 0
        self._stable = False
        self._answers: list[int] = []

    def on_host_call(self, kernel: KernelAccess, argument: int) -> int:
        return self._step(kernel, argument)

    def run(self, instance: Instance) -> bool:
        """Whether a reply given in one call can be found, with its length, in the next two, and memory stays put."""
        instance.call("receive", b"")
        if not self._stable or self._memory is None or self._memory.read_u64(_OUTPUT) != self._reply:
            return False
        suspension = Suspension.suspend(self._memory)
        self._step = self.note_answer
        instance.call("read", b"")
        suspension.resume(())
        found = self._answers == [len(_MARK), int.from_bytes(_MARK, "little")]
        suspension = Suspension.suspend(self._memory)
        self._step = functools.partial(self.check_mended, suspension)
        instance.call("allocate", b"")
        return found and self._stable and self._answers[-1:] == [int.from_bytes(_MARK, "little")]

    def give_reply(self, kernel: KernelAccess, _: int) -> int:
        """Give the guest a reply behind a ballast, and see whether memory is laid out, and stays, as expected."""
        memory = kernel.memory()
        ballast = kernel.alloc(BALLAST)
        self._reply = kernel.alloc(len(_MARK))
        kernel.write(self._reply, _MARK)
        kernel.alloc(8 * 2**20)
        position = 3 * _HEADER + BALLAST + len(_MARK) + 8 * 2**20
        self._memory = kernel.memory()
        self._stable = (
            memory == self._memory
            and (ballast, self._reply) == (_FIRST, _FIRST + BALLAST + _HEADER)
            and memory.read_u64(_POSITION) == position
        )
        return self._reply

    def note_answer(self, _: KernelAccess, argument: int) -> int:
        """The guest tells what it read."""
        self._answers.append(argument & (2**64 - 1))
        return 0

    def check_mended(self, suspension: Suspension, kernel: KernelAccess, argument: int) -> int:
        """The guest has allocated before its first host call: after mending, all blocks must be there."""
        self.note_answer(kernel, argument)
        suspension.resume([self._reply])
        self._stable = (
            self._stable
            and kernel.memory() == self._memory
            and kernel.length(_FIRST) == 40
            and kernel.length(self._reply) == len(_MARK)
            and kernel.alloc(16) >= suspension.position + _FIRST
        )
        return 0
