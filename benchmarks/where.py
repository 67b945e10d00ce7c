"""Where the processor time of one message goes, at full speed from a socket to the consumer.

Nothing is sampled. Threads have clocks of their own, and those are read where a message changes hands: where a guest is
entered and left, where it crosses to Python and back, and at each step of a task. Extism's own part cannot be seen from
outside; it is taken to be what an empty call, or an empty crossing, costs a guest that does nothing else.

The clocks are put around ``Instance.call`` and ``Instance._crossed``, the one place that knows Extism's C interface.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any
from unittest import mock

import wasmtime
from extism_sys import ffi

from adapters.runtime.engine import CallOutcome, Instance
from benchmarks.bare import CALLBACK, BarePlugin, bare
from benchmarks.cases import Case, Outcome
from benchmarks.sockets import sockets
from benchmarks.stopwatch import Stopwatch

__all__ = ["PARTS", "where"]

#: The parts of a message's cost, from the guest outwards, by the names of their values.
PARTS = {
    "guest": "the guest, and the companion around it",
    "extism": "Extism: its calls and crossings",
    "host": "Python on the guest's thread",
    "tasks": "tasks that read and drive",
    "consumer": "the consumer",
    "loop": "the event loop and its sockets",
    "other": "other threads, above all Extism's timer",
}
_ROUNDS = 20_000
_EMPTY = f"""
(module
  (import "env" "nothing" (func $nothing (param i64) (result i64)))
  (memory (export "memory") 1)
  (func (export "call") (result i32) i32.const 0)
  (func (export "cross") (result i32) (local $done i32)
    (loop $again
      (drop (call $nothing (i64.const 0)))
      (local.set $done (i32.add (local.get $done) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $done) (i32.const {_ROUNDS}))))
    i32.const 0))
"""


class _Clocks:
    """Nanoseconds of processor time, by part, and how often guests were entered and crossed."""

    def __init__(self) -> None:
        self.host = self.outside = self.calls = self.crossings = self.consumer = self.tasks = 0
        self._threads: dict[int, int] = {}  # the clocks of guests' threads
        self._read: dict[int, int] = {}  # what they showed last, also of threads that have ended
        self._left = threading.local()

    def call(self, call: Callable[..., CallOutcome]) -> Callable[..., CallOutcome]:
        def timed(instance: Instance, export: str, data: bytes) -> CallOutcome:
            thread = threading.get_ident()
            self._threads[thread] = time.pthread_getcpuclockid(thread)
            self.outside += time.thread_time_ns() - getattr(self._left, "at", time.thread_time_ns())
            self.calls += 1
            try:
                return call(instance, export, data)
            finally:
                self._left.at = time.thread_time_ns()

        return timed

    def crossed(self, crossed: Callable[..., None]) -> Callable[..., None]:
        def timed(*arguments: Any) -> None:
            begun = time.thread_time_ns()
            crossed(*arguments)
            self.host += time.thread_time_ns() - begun
            self.crossings += 1

        return timed

    def task(self, loop: asyncio.AbstractEventLoop, coroutine: Any, **named: Any) -> asyncio.Task[Any]:
        return asyncio.Task(_Timed(coroutine, self), loop=loop, **named)

    def reading(self) -> dict[str, int]:
        """All of them, on the thread of the event loop."""
        for clock in self._threads.values():
            with contextlib.suppress(OSError):
                self._read[clock] = time.clock_gettime_ns(clock)
        return {
            "guests": sum(self._read.values()),
            "all": time.process_time_ns(),
            "main": time.thread_time_ns(),
            "host": self.host,
            "outside": self.outside,
            "calls": self.calls,
            "crossings": self.crossings,
            "consumer": self.consumer,
            "tasks": self.tasks,
        }


class _Timed(Coroutine[Any, Any, Any]):
    """A coroutine whose steps are timed."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any] | Generator[Any, Any, Any], clocks: _Clocks) -> None:
        self._coroutine = coroutine
        self._clocks = clocks
        self._consumes = getattr(coroutine, "__name__", "") == _CONSUMER

    def _step(self, step: Callable[..., Any], *arguments: Any) -> Any:
        begun = time.thread_time_ns()
        try:
            return step(*arguments)
        finally:
            took = time.thread_time_ns() - begun
            if self._consumes:
                self._clocks.consumer += took
            else:
                self._clocks.tasks += took

    def send(self, value: Any) -> Any:
        return self._step(self._coroutine.send, value)

    def throw(self, *arguments: Any) -> Any:
        return self._step(self._coroutine.throw, *arguments)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        raise NotImplementedError("only tasks run these")


_CONSUMER = "one"  # the coroutine of benchmarks.sockets that consumes a stream


def where(case: Case) -> Outcome:
    """One stream at full speed: microseconds a message for each of ``PARTS``, and ``bare`` for the bare loop."""
    clocks, readings = _Clocks(), list[tuple[int, dict[str, int]]]()
    add = Stopwatch.add

    def watched(watch: Stopwatch, messages: int) -> None:
        add(watch, messages)
        if watch.done * 5 >= case.count and (not readings or not watch.running):
            readings.append((watch.done, clocks.reading()))

    new_loop = asyncio.new_event_loop

    def timed_loop() -> asyncio.AbstractEventLoop:
        loop = new_loop()
        loop.set_task_factory(clocks.task)
        return loop

    with (
        mock.patch.object(Instance, "call", clocks.call(Instance.call)),
        mock.patch.object(Instance, "_crossed", clocks.crossed(Instance._crossed)),  # noqa: SLF001 - see above
        mock.patch.object(Stopwatch, "add", watched),
        mock.patch("asyncio.events.new_event_loop", timed_loop),
    ):
        outcome = sockets(case)
    if len(readings) < 2:
        return Outcome({}, outcome.problems or ["the messages did not come"])
    (begun, first), (ended, last) = readings[0], readings[-1]
    spent = {name: (last[name] - first[name]) / (ended - begun) for name in first}
    call, crossing = _empty()
    extism = spent["calls"] * call + spent["crossings"] * crossing
    parts = {
        "guest": spent["guests"] - spent["outside"] - spent["host"] - extism,
        "extism": extism,
        "host": spent["host"] + spent["outside"],
        "tasks": spent["tasks"],
        "consumer": spent["consumer"],
        "loop": spent["main"] - spent["tasks"] - spent["consumer"],
        "other": spent["all"] - spent["main"] - spent["guests"],
    }
    values = {name: max(nanoseconds, 0.0) / 1e3 for name, nanoseconds in parts.items()}
    least = bare(Case("bare", case.plugin, count=case.count))
    return Outcome({**values, "bare": least.values["cpu"]}, outcome.problems + least.problems)


def _empty() -> tuple[float, float]:
    """Nanoseconds of processor time of a call, and of a crossing, of a guest that does nothing."""

    @ffi.callback(CALLBACK)  # type: ignore[untyped-decorator]
    def nothing(*_: Any) -> None:
        pass

    plugin = BarePlugin(bytes(wasmtime.wat2wasm(_EMPTY)), more={"nothing": nothing})
    plugin.call("call", b"")
    begun = time.thread_time_ns()
    for _ in range(_ROUNDS):
        plugin.call("call", b"")
    called = time.thread_time_ns()
    plugin.call("cross", b"")
    crossed = time.thread_time_ns()
    plugin.free()
    return (called - begun) / _ROUNDS, (crossed - called) / _ROUNDS
