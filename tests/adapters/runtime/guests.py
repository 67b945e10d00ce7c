"""A guest whose exports end in every way that there is, and host functions that hold it up."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
from typing import TYPE_CHECKING, Any

import wasmtime

from adapters.companion.border import Border
from adapters.runtime.errors import GuestStoppedError
from adapters.voice import Voice
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from adapters.companion.border import Handler
    from adapters.runtime.guest import Guest

__all__ = [
    "AN_HOUR",
    "Attentive",
    "Clock",
    "Turnstile",
    "answer_nothing",
    "border_of",
    "echo",
    "guest_wasm",
    "module",
]

#: What guests of these tests are made of: everything that they import, and how they make a block of kernel memory.
LIBRARY = """
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "free" (func $free (param i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "input_offset" (func $input_offset (result i64)))
  (import "extism:host/env" "input_length" (func $input_length (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
  (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  (import "extism:host/env" "log_trace" (func $log_trace (param i64)))
  (import "extism:host/env" "log_debug" (func $log_debug (param i64)))
  (import "extism:host/env" "log_info" (func $log_info (param i64)))
  (import "extism:host/env" "log_warn" (func $log_warn (param i64)))
  (import "extism:host/env" "log_error" (func $log_error (param i64)))
  (import "extism:host/env" "get_log_level" (func $get_log_level (result i32)))
  (import "extism:host/env" "http_request" (func $http_request (param i64 i64) (result i64)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "env" "ws_send" (func $host (param i64) (result i64)))
  (import "extism:host/user" "ws_send" (func $host_user (param i64) (result i64)))

  (memory (export "memory") 1)
  ;; 0xf000: a subscription to the clock (1: monotonic), relative, with its nanoseconds at 0xf018; the event follows.
  (data (i32.const 0xf010) "\\01")

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

  (func $print (param $fd i32) (param $from i32) (param $length i32)
    (i32.store (i32.const 0xf100) (local.get $from))
    (i32.store (i32.const 0xf104) (local.get $length))
    (drop (call $fd_write (local.get $fd) (i32.const 0xf100) (i32.const 1) (i32.const 0xf108))))

  (func $sleep (param $nanoseconds i64)
    (i64.store (i32.const 0xf018) (local.get $nanoseconds))
    (drop (call $poll (i32.const 0xf000) (i32.const 0xf040) (i32.const 1) (i32.const 0xf0c0))))
"""
#: Nanoseconds that no test waits for.
AN_HOUR = 3_600_000_000_000

# Every way in which an export can end. It imports `ws_send` from both namespaces and never frees.
GUEST = f"""
  (data (i32.const 0) "from error memory")
  (data (i32.const 64) "{{\\"success\\":false,\\"error\\":\\"from the output\\"}}")
  (global $calls (mut i32) (i32.const 0))

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
  (func (export "host_for_ever") (result i32)
    (loop $for_ever (drop (call $host (call $input_offset))) (br $for_ever))
    (unreachable))
  (func (export "loop_at_once") (result i32)
    (loop $for_ever (br $for_ever))
    (unreachable))
  ;; These tell the host that they are running, and then never end by themselves.
  (func (export "loop") (result i32)
    (drop (call $host (call $input_offset)))
    (loop $for_ever (br $for_ever))
    (unreachable))
  (func (export "nap_for_ever") (result i32)
    (drop (call $host (call $input_offset)))
    (loop $for_ever (call $sleep (i64.const 10000000)) (br $for_ever))
    (unreachable))
  (func (export "sleep") (result i32)
    (drop (call $host (call $input_offset)))
    (call $sleep (i64.const {AN_HOUR}))
    (unreachable))
"""


@functools.cache
def module(body: str) -> bytes:
    """A module of the library and this."""
    return bytes(wasmtime.wat2wasm(f"(module {LIBRARY} {body})"))


def guest_wasm() -> bytes:
    return module(GUEST)


def answer_nothing(_: bytes) -> bytes:
    return b""


def echo(request: bytes) -> bytes:
    return request


def border_of(host: Handler = answer_nothing, **options: Any) -> Border:
    """The border of a guest for which ``ws_send`` is this."""
    options = {
        "guest": "example#0",
        "plugin": "example",
        "handlers": {"ws_send": host},
        "stopping": threading.Event(),
        **options,
    }
    options.setdefault("voice", Voice(logging.getLogger("compat.plugin.example")))
    return Border(**options)


class Turnstile:
    """A host function that waits until it is let through, looking at nothing else."""

    def __init__(self) -> None:
        self._reached = threading.Semaphore(0)
        self._open = threading.Semaphore(0)

    def __call__(self, request: bytes) -> bytes:
        self._reached.release()
        assert self._open.acquire(timeout=HANG)
        return request

    async def reached(self) -> None:
        """Wait until the guest has come here once more."""
        assert await asyncio.to_thread(self._reached.acquire, timeout=HANG)

    def open(self) -> None:
        """Let it through once."""
        self._open.release()


class Attentive(Turnstile):
    """One that waits for nothing but the guest's stop flag, as host functions must look at it."""

    guest: Guest

    def __call__(self, request: bytes) -> bytes:
        self._reached.release()
        self.guest.stopping.wait()  # it is set when the test has ended, at the latest
        raise GuestStoppedError("example", "ws_send")


class Clock:
    """The monotonic clock, of which a test can skip a part."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._skipped

    def skip(self, seconds: float) -> None:
        self._skipped += seconds
