"""Whether the Extism that is installed links a guest with its companion, found out on a small guest.

Extism promises nothing of how the modules of one manifest are linked, so that a release of it could do it differently.
Then every plugin would fail in a way that blames the plugin. Once it has worked, the process does not try it again. A
failure may be the machine's (a full disk, for example) and is told as such; the next guest tries again.
"""

from __future__ import annotations

import functools
import importlib.metadata
import logging
import threading

import wasmtime

from adapters.companion.border import Border
from adapters.companion.linking import link
from adapters.runtime.engine import Instance, InstantiationError
from adapters.runtime.errors import UnsupportedRuntimeError
from adapters.voice import Voice
from detectors.errors import CompatError

__all__ = ["check_links"]

#: Initialises itself, prints, calls the host, and puts out what it was given by it.
_GUEST = """
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store (param i64 i32)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "output_set" (func $output (param i64 i64)))
  (import "env" "http_request" (func $request (param i64) (result i64)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\02\\00\\00\\00")
  (data (i32.const 16) "ok")
  (global $ready (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $ready (i32.const 1)))
  (func (export "probe") (result i32) (local $block i64)
    (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
    (local.set $block (call $alloc (i64.const 1)))
    (call $store (local.get $block) (i32.const 63))
    (local.set $block (call $request (local.get $block)))
    (call $output (local.get $block) (call $length (local.get $block)))
    (i32.eqz (global.get $ready))))
"""
_ANSWER = b"an answer"


def check_links() -> None:
    """Return if the companion works with this Extism.

    Raises:
        UnsupportedRuntimeError: It does not.
        MachineError: The machine has no memory or disk left to find out.
    """
    with _lock:
        _try_links()


_lock = threading.Lock()


@functools.cache  # which keeps no exceptions
def _try_links() -> None:
    problem = _problem()
    if problem:
        raise UnsupportedRuntimeError(importlib.metadata.version("extism-sys"), problem)


def _problem() -> str:
    """What does not work; empty if all does."""
    asked: list[bytes] = []

    def answer(request: bytes) -> bytes:
        asked.append(request)
        return _ANSWER

    voice = Voice(logging.getLogger(f"{__name__}.silent"), quiet=lambda: True)
    border = Border(
        guest="probe",
        plugin="probe",
        handlers={"http_request": answer},
        stopping=threading.Event(),
        voice=voice,
    )
    try:
        linked = link(bytes(wasmtime.wat2wasm(_GUEST)))
    except CompatError as error:
        return str(error)
    try:
        instance = Instance(linked.manifest, border.exchange)
    except InstantiationError as error:
        fault = linked.fault(str(error))
        if fault is not None:
            raise fault from error
        return str(error)
    try:
        outcomes = [instance.call(export, b"") for export in (*linked.initialisers, "probe")]
    finally:
        instance.free()
    if not all(outcome.ok for outcome in outcomes) or outcomes[-1].output != _ANSWER:
        return str(next((outcome.error for outcome in outcomes if outcome.error), "a call does not come through"))
    return "" if asked == [b"?"] and voice.last_words() == "ok" else "a call of the host does not come through"
