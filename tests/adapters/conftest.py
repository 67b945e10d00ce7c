from __future__ import annotations

import asyncio
import functools
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

import pytest
import wasmtime

from adapters.contract import StreamKey
from adapters.runtime.engine import HostFunction, Instance
from adapters.runtime.guest import Guest
from adapters.runtime.kernel import KernelLayout
from adapters.runtime.memory import KernelMemory
from adapters.runtime.watch import lingering_guests
from adapters.stream import AdapterStream
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from adapters.observe import Observer
    from adapters.runtime.engine import KernelAccess

    Host = Callable[[KernelAccess, int], int]

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

  (func $sleep (param $nanoseconds i64)
    (i64.store (i32.const 1048) (local.get $nanoseconds))
    (drop (call $poll (i32.const 1024) (i32.const 1152) (i32.const 1) (i32.const 1280))))

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
  (func (export "loop") (result i32) (loop $for_ever (br $for_ever)) (unreachable))
  (func (export "sleep_1600ms") (result i32) (call $sleep (i64.const 1600000000)) (i32.const 0))
  (func (export "sleep_20s") (result i32) (call $sleep (i64.const 20000000000)) (i32.const 0))
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
)
"""


@functools.cache
def guest_wasm() -> bytes:
    return bytes(wasmtime.wat2wasm(GUEST))


def answer_nothing(_: KernelAccess, __: int) -> int:
    return 0


def host_functions(host: Host) -> list[HostFunction]:
    return [HostFunction(namespace, "host", ("i64",), ("i64",), host) for namespace in NAMESPACES]


class MakeInstance(Protocol):
    def __call__(self, host: Host = ..., wat: str = ..., functions: Sequence[HostFunction] | None = None) -> Instance:
        """Return an instance, freed after the test."""


class MakeGuest(Protocol):
    def __call__(
        self, host: Host = ..., *, wasm: bytes | None = None, observer: Observer | None = None, reclaim: bool = True
    ) -> Guest:
        """Return a guest, stopped after the test."""


class MakeStream(Protocol):
    async def __call__(
        self,
        run: Callable[[AdapterStream], Awaitable[object]] | None = None,
        *,
        capacity: int = 4_096,
        capacity_bytes: int = 2**20,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> AdapterStream:
        """Return an open stream whose driver runs `run` (or waits for ever), closed after the test."""


class Until(Protocol):
    async def __call__(self, condition: Callable[[], object], deadline: float = HANG) -> None:
        """Return once the condition holds; fail at the deadline."""


@pytest.fixture
def make_instance() -> Iterator[MakeInstance]:
    made: list[Instance] = []

    def make(
        host: Host = answer_nothing, wat: str = GUEST, functions: Sequence[HostFunction] | None = None
    ) -> Instance:
        wasm = guest_wasm() if wat is GUEST else bytes(wasmtime.wat2wasm(wat))
        made.append(Instance(wasm, host_functions(host) if functions is None else functions))
        return made[-1]

    yield make
    for instance in made:
        instance.free()


@pytest.fixture
def make_guest() -> Iterator[MakeGuest]:
    made: list[Guest] = []
    lingering = lingering_guests()

    def make(
        host: Host = answer_nothing,
        *,
        wasm: bytes | None = None,
        observer: Observer | None = None,
        reclaim: bool = True,
    ) -> Guest:
        memory = KernelMemory(reclaim=reclaim, layout=KernelLayout(continues=False))
        guest = Guest(
            guest_wasm() if wasm is None else wasm,
            plugin="example",
            name=f"example#{len(made)}",
            functions=host_functions(host),
            memory=memory,
            stopping=threading.Event(),
            observer=observer,
        )
        made.append(guest)
        return guest

    yield make
    for guest in made:
        guest.stop()
    for guest in made:
        assert guest.wait(HANG), f"{guest.name} outlived its test"
    assert lingering_guests() <= lingering


@pytest.fixture
def until() -> Until:
    async def wait(condition: Callable[[], object], deadline: float = HANG) -> None:
        async with asyncio.timeout(deadline):
            while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.002)

    return wait


@pytest.fixture
def key() -> StreamKey:
    return StreamKey("ohlcv", "example", "BTC-USDT", {"timeframe": "1m"})


class Scripted:
    """A driver that runs what a test gives it."""

    def __init__(self, stream: AdapterStream, run: Callable[[AdapterStream], Awaitable[Any]] | None) -> None:
        self._stream = stream
        self._run = run
        self.closed = 0

    async def run(self) -> None:
        if self._run is None:
            await asyncio.Event().wait()
        else:
            await self._run(self._stream)

    async def aclose(self) -> None:
        self.closed += 1


@pytest.fixture
async def make_stream(key: StreamKey) -> AsyncIterator[MakeStream]:
    made: list[AdapterStream] = []

    async def make(
        run: Callable[[AdapterStream], Awaitable[object]] | None = None,
        *,
        capacity: int = 4_096,
        capacity_bytes: int = 2**20,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> AdapterStream:
        stream = AdapterStream(
            key,
            lambda stream: Scripted(stream, run),
            capacity=capacity,
            capacity_bytes=capacity_bytes,
            monotonic=monotonic,
        )
        made.append(stream)
        return await stream.__aenter__()

    yield make
    for stream in made:
        await stream.aclose()


@pytest.fixture(params=["callback", "command"])
def dialect(request: pytest.FixtureRequest) -> str:
    """Each dialect of the legacy interface."""
    return str(request.param)
