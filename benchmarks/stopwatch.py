"""What messages cost: time, processor time, switches between threads and wake-ups of the event loop."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import Callable
from typing import Any

import attrs

__all__ = ["Stopwatch", "Wakeups", "percentiles"]

_FIFTHS = 5


class Wakeups:
    """Counts what other threads give to any event loop of this process, once ``watch`` was called."""

    count = 0

    @classmethod
    def watch(cls) -> None:
        """Count from now on."""
        original: Callable[..., asyncio.Handle] = asyncio.BaseEventLoop.call_soon_threadsafe

        def counted(loop: asyncio.BaseEventLoop, *arguments: Any, **named: Any) -> asyncio.Handle:
            cls.count += 1
            return original(loop, *arguments, **named)

        asyncio.BaseEventLoop.call_soon_threadsafe = counted  # type: ignore[method-assign, assignment]


@attrs.frozen
class _Reading:
    """Everything that is read at one moment."""

    messages: int
    wall: float
    cpu: float
    voluntary: int
    involuntary: int
    wakeups: int

    @classmethod
    def now(cls, messages: int) -> _Reading:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(messages, time.perf_counter(), time.process_time(), used.ru_nvcsw, used.ru_nivcsw, Wakeups.count)


class Stopwatch:
    """Reads the clocks whenever another fifth of the messages has come.

    Args:
        total: How many messages there will be, over all streams.
    """

    def __init__(self, total: int) -> None:
        self.done = 0
        self.threads = 0
        self._total = total
        self._step = max(total // _FIFTHS, 1)
        self._readings: list[_Reading] = []
        self._next = self._step
        self._born = _Reading.now(0)

    def add(self, messages: int) -> None:
        """So many more have come."""
        self.done += messages
        if self.done >= self._next:
            self._readings.append(_Reading.now(self.done))
            self._next = min((self.done // self._step + 1) * self._step, max(self._total, self.done + 1))
            self.threads = max(self.threads, len(os.listdir("/proc/self/task")))  # noqa: PTH208 - five times in all

    @property
    def running(self) -> bool:
        """Whether some messages have yet to come."""
        return self.done < self._total

    def values(self) -> dict[str, float]:
        """What a message has cost after the first fifth of them, which is warming up; empty if they did not come."""
        if not self._readings:
            return {}
        # Few messages may come all at once.
        begun = self._readings[0] if len(self._readings) > 1 else self._born
        ended = self._readings[-1]
        messages, seconds = ended.messages - begun.messages, ended.wall - begun.wall
        return {
            "rate": messages / seconds,
            "cpu": (ended.cpu - begun.cpu) / messages * 1e6,
            "core": (ended.cpu - begun.cpu) / seconds * 100,
            "voluntary": (ended.voluntary - begun.voluntary) / messages,
            "involuntary": (ended.involuntary - begun.involuntary) / messages,
            "wakeups": (ended.wakeups - begun.wakeups) / messages,
            "threads": self.threads,
            "flat": self._rate(-2) / self._rate(0) if len(self._readings) > 2 else 1.0,
        }

    def _rate(self, fifth: int) -> float:
        begun, ended = self._readings[fifth], self._readings[fifth + 1]
        return (ended.messages - begun.messages) / max(ended.wall - begun.wall, 1e-9)


def percentiles(seconds: list[float]) -> dict[str, float]:
    """The median and the 99th percentile, in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    return {"p50": ordered[len(ordered) // 2] * 1e3, "p99": ordered[len(ordered) * 99 // 100] * 1e3}
