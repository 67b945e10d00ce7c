"""A guest whose exports end in every way that there is, and host functions that hold it up."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from typing import TYPE_CHECKING

import wasmtime

from adapters.errors import GuestStoppedError
from adapters.runtime.engine import HostFunction
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.runtime.engine import KernelAccess
    from adapters.runtime.guest import Guest

    Host = Callable[[KernelAccess, int], int]

__all__ = [
    "GUEST",
    "Attentive",
    "Clock",
    "Host",
    "Turnstile",
    "answer_nothing",
    "echo",
    "guest_wasm",
    "host_functions",
]

NAMESPACES = ("env", "extism:host/user")

# Every way in which an export can end. It imports `host` from both namespaces and never frees.
GUEST = """
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "env" "host" (func $host (param i64) (result i64)))
  (import "extism:host/user" "host" (func $host_user (param i64) (result i64)))

  (memory (export "memory") 1)
  (data (i32.const 0) "from error memory")
  (data (i32.const 64) "{\\"success\\":false,\\"error\\":\\"from the output\\"}")
  ;; 1024: a subscription to the clock (1: monotonic), relative; the time in nanoseconds stands at 1048
  (data (i32.const 1040) "\\01")
  (global $calls (mut i32) (i32.const 0))

  (func $block (param $from i32) (param $length i32) (result i64)
    (local $block i64) (local $i i32)
    (local.set $block (call $alloc (i64.extend_i32_u (local.get $length))))
    (loop $next
      (call $store_u8
        (i64.add (local.get $block) (i64.extend_i32_u (local.get $i)))
        (i32.load8_u (i32.add (local.get $from) (local.get $i))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $length))))
    (local.get $block))

  (func $answer (param $block i64)
    (call $output_set (local.get $block) (call $length (local.get $block))))

  (func (export "echo") (result i32)
    (call $output_set (call $input_offset) (call $input_length))
    (i32.const 0))
  (func (export "count") (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (i32.store8 (i32.const 512) (i32.add (i32.const 48) (global.get $calls)))
    (call $answer (call $block (i32.const 512) (i32.const 1)))
    (i32.const 0))
  (func (export "fail_by_memory") (result i32)
    (call $error_set (call $block (i32.const 0) (i32.const 17)))
    (i32.const 1))
  (func (export "fail_by_output") (result i32)
    (call $answer (call $block (i32.const 64) (i32.const 43)))
    (i32.const 1))
  (func (export "fail_silently") (result i32) (i32.const 7))
  (func (export "trap") (result i32) (unreachable))
  (func (export "exit_0") (result i32) (call $exit (i32.const 0)) (unreachable))
  (func (export "exit_3") (result i32) (call $exit (i32.const 3)) (unreachable))
  (func (export "host") (result i32)
    (call $answer (call $host (call $input_offset)))
    (i32.const 0))
  (func (export "host_user") (result i32)
    (call $answer (call $host_user (call $input_offset)))
    (i32.const 0))
  (func (export "host_nonsense") (result i32)
    (call $answer (call $host (i64.const -5)))
    (i32.const 0))
  (func (export "host_for_ever") (result i32)
    (loop $for_ever (drop (call $host (call $input_offset))) (br $for_ever))
    (unreachable))
  ;; These tell the host that they are running, and then never end by themselves.
  (func (export "loop") (result i32)
    (drop (call $host (call $input_offset)))
    (loop $for_ever (br $for_ever))
    (unreachable))
  (func (export "nap_for_ever") (result i32)
    (i64.store (i32.const 1048) (i64.const 10000000))
    (drop (call $host (call $input_offset)))
    (loop $for_ever
      (drop (call $poll (i32.const 1024) (i32.const 1152) (i32.const 1) (i32.const 1280)))
      (br $for_ever))
    (unreachable))
  ;; An hour. No cancel can come between the host and the sleep: it is looked for where functions and loops begin.
  (func (export "sleep") (result i32)
    (i64.store (i32.const 1048) (i64.const 3600000000000))
    (drop (call $host (call $input_offset)))
    (drop (call $poll (i32.const 1024) (i32.const 1152) (i32.const 1) (i32.const 1280)))
    (unreachable))
)
"""


@functools.cache
def guest_wasm() -> bytes:
    return bytes(wasmtime.wat2wasm(GUEST))


def answer_nothing(_: KernelAccess, __: int) -> int:
    return 0


def host_functions(host: Host) -> list[HostFunction]:
    return [HostFunction(namespace, "host", ("i64",), ("i64",), host) for namespace in NAMESPACES]


def echo(_: KernelAccess, argument: int) -> int:
    return argument


class Turnstile:
    """A host function that waits until it is let through, looking at nothing else."""

    def __init__(self) -> None:
        self._reached = threading.Semaphore(0)
        self._open = threading.Semaphore(0)

    def __call__(self, _: KernelAccess, argument: int) -> int:
        self._reached.release()
        assert self._open.acquire(timeout=HANG)
        return argument

    async def reached(self) -> None:
        """Wait until the guest has come here once more."""
        assert await asyncio.to_thread(self._reached.acquire, timeout=HANG)

    def open(self) -> None:
        """Let it through once."""
        self._open.release()


class Attentive(Turnstile):
    """One that waits for nothing but the guest's stop flag, as host functions must look at it."""

    guest: Guest

    def __call__(self, _: KernelAccess, argument: int) -> int:
        self._reached.release()
        self.guest.stopping.wait()  # it is set when the test has ended, at the latest
        raise GuestStoppedError("example", "host")


class Clock:
    """The monotonic clock, of which a test can skip a part."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._skipped

    def skip(self, seconds: float) -> None:
        self._skipped += seconds
