"""What is known of the layout of Extism's kernel memory, and how it was found out.

A call begins by resetting the kernel's memory: every block is gone, and the input becomes the first block. A guest that
parked (its call returned while a goroutine had not yet read the reply it was given) finds its reply again only if the
next call's input puts the same bytes at the same offset. That rests on where the kernel places the input, so it is not
assumed but probed, once a process, on a small guest of our own. Where the probe fails, nothing is restored and whoever
re-enters a guest has to tell a gap.

The probe establishes:

- ``base``: the offset of the first block's data, which is where the input lands;
- ``header``: the bytes between one block's end and the next one's data;
- ``restores``: bytes written at an offset in one call, and put there again by the next call's input, are what the guest
  reads at that offset;
- ``splits``: a block can be made two by writing a second header into it, so that one part can be freed and the other
  kept; ``split_block`` does that.

As far as has been measured (Extism 1.41), the kernel takes new blocks from the end of its memory as long as there is
room, then from the first freed block that is large enough, splitting it; it never merges blocks and never gives memory
back within a call.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable

import attrs
import wasmtime

from adapters.runtime.engine import HostFunction, Instance, KernelAccess

__all__ = ["KernelLayout", "probe_kernel", "split_block"]

_GUEST = """
(module
  (import "env" "probe" (func $probe (param i64) (result i64)))
  (import "extism:host/env" "load_u64" (func $load (param i64) (result i64)))
  (func (export "run") (result i32)
    (drop (call $probe (call $load (call $probe (i64.const 0)))))
    (i32.const 0)))
"""
_MARK = b"in-flght"
_TAIL = 512  # bytes that follow the reply in the probe
_HEADER = struct.Struct("<B3xII")  # a block's status, size and bytes in use
_ACTIVE = 1  # the status of a block in use


@attrs.frozen
class KernelLayout:
    """The layout of kernel memory, as probed. See the module's docstring."""

    base: int
    header: int
    restores: bool
    splits: bool


@functools.cache
def probe_kernel() -> KernelLayout:
    """Probe the kernel of the installed Extism. Takes about 10 ms, once a process."""
    probe = _Probe()
    instance = Instance(
        bytes(wasmtime.wat2wasm(_GUEST)), [HostFunction("env", "probe", ("i64",), ("i64",), probe.on_host_call)]
    )
    try:
        probe.enter(instance, probe.measure, b"A" * 16)
        probe.enter(instance, probe.measure, b"B" * 300)
        probe.enter(instance, probe.write_reply, b"")
        image = bytes(max(probe.reply - probe.base, 0)) + _MARK + bytes(_TAIL)
        probe.enter(instance, probe.find_reply, image)
        restores = probe.consistent and probe.loaded == _MARK
        probe.enter(instance, probe.split_input, image)
        splits = restores and probe.split and probe.loaded == _MARK
        return KernelLayout(probe.base, probe.header, restores, splits)
    finally:
        instance.free()


class _Probe:
    """The host's side of the probe: each step is what the host function does at the guest's first call."""

    def __init__(self) -> None:
        self.base = self.header = self.reply = 0
        self.consistent = True
        self.split = False
        self.loaded = b""
        self._input = b""
        self._step: Callable[[KernelAccess], int] = self.measure
        self._first = True

    def enter(self, instance: Instance, step: Callable[[KernelAccess], int], data: bytes) -> None:
        self._step, self._input, self._first = step, data, True
        instance.call("run", data)

    def on_host_call(self, kernel: KernelAccess, argument: int) -> int:
        if self._first:
            self._first = False
            return self._step(kernel)
        self.loaded = (argument & (2**64 - 1)).to_bytes(8, "little")
        return 0

    def measure(self, kernel: KernelAccess) -> int:
        """Find the input and the block that follows it; the second time both must fit the first."""
        following = kernel.alloc(8)
        base = kernel.read(0, following).rfind(self._input)
        header = following - base - len(self._input)
        if self.base:
            self.consistent = (base, header) == (self.base, self.header)
        self.base, self.header = base, header
        return following

    def write_reply(self, kernel: KernelAccess) -> int:
        """Give the guest a reply at an offset that a later call restores."""
        kernel.alloc(300)
        self.reply = kernel.alloc(len(_MARK))
        kernel.write(self.reply, _MARK)
        return self.reply

    def find_reply(self, _: KernelAccess) -> int:
        """Let the guest read where the reply was in the call before."""
        return self.reply

    def split_input(self, kernel: KernelAccess) -> int:
        """Split the input before the reply and free the first part: the reply must stay."""
        self.split = self.header == _HEADER.size and split_block(
            kernel, self.base, self.reply - self.base - self.header
        )
        kernel.free(self.base)
        self.split = self.split and kernel.length(self.base) == 0 and kernel.length(self.reply) == len(_MARK) + _TAIL
        return self.reply


def split_block(kernel: KernelAccess, offset: int, first: int) -> bool:
    """Make two blocks of the one at ``offset``: ``first`` bytes, a header, and the rest. Returns whether it worked."""
    _, size, _ = _HEADER.unpack(kernel.read(offset - _HEADER.size, _HEADER.size))
    second = offset + first + _HEADER.size
    rest = size - first - _HEADER.size
    if first <= 0 or rest <= 0:
        return False
    kernel.write(second - _HEADER.size, _HEADER.pack(_ACTIVE, rest, rest))
    kernel.write(offset - _HEADER.size, _HEADER.pack(_ACTIVE, first, first))
    return kernel.length(offset) == first and kernel.length(second) == rest
