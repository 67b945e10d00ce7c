"""What a stream costs from beginning to end: time, processor time, memory of the process and of the companion.

Everything is measured in parts of equal numbers of messages, fifty in all. What is compared are fifths of those parts
that lie behind the latest restart of the guest: the second of these fifths, when everything is warm, and the last.

The companion keeps what a guest has used until so many bytes have been used after it: a window. So every guest comes to
have as much as the window holds, some only after many messages. Its memory is flat if

- its blocks never take more bytes than the window, give or take what is in use and does not count yet: two blocks for
  the longest message, and 64 KiB;
- once the window is full, the most bytes of the last fifth are at most 1 % more than those of the second, and the most
  blocks at most 5 %: how many fill the window depends on where a guest parked, or found no message.
"""

from __future__ import annotations

import contextlib
import statistics
import struct
import time
from collections.abc import Iterator
from unittest import mock

import attrs

from adapters.companion.border import Border
from adapters.companion.trampoline import STATS
from adapters.runtime.engine import CallOutcome, Instance, Window
from benchmarks.feed import Feed, resident_mib

__all__ = ["PARTS", "Costs", "Heap", "Meter"]

PARTS = 50
_FIFTHS = 5
_MOST_CPU = 1.10  # times
_MOST_GROWTH = 10.0  # MB
_FULL = 0.98  # of the window
_MORE_BLOCKS, _MORE_BYTES = 1.05, 1.01  # times
_UNCOUNTED = 64 * 1024  # bytes
_ASK_EVERY = 8  # calls


@attrs.frozen
class Costs:
    """What each part of a stream's messages has cost.

    Attributes:
        seconds: For each message.
        cpu: Seconds of processor time for each message, of the whole process: plugin, host, feed and consumer.
        resident: MiB of resident memory at the part's end.
        blocks: The most blocks that a guest had at a crossing.
        bytes_used: The most bytes that they took.
        window: The bytes that the companion kept for the guest, in the end.
        longest: Bytes of the longest message.
        since: Parts that do not count, as the guest was restarted in the last of them.
    """

    seconds: list[float]
    cpu: list[float]
    resident: list[float]
    blocks: list[int]
    bytes_used: list[int]
    window: int
    longest: int
    since: int = 0

    def second(self, values: list[float] | list[int]) -> list[float]:
        """The parts of the second fifth."""
        size = self._fifth
        return list(values[self.since + size : self.since + 2 * size])

    def last(self, values: list[float] | list[int]) -> list[float]:
        """The parts of the last fifth."""
        return list(values[PARTS - self._fifth :])

    @property
    def _fifth(self) -> int:
        return (PARTS - self.since) // _FIFTHS

    @property
    def comparable(self) -> bool:
        """Whether enough came after the latest restart to be compared."""
        return self._fifth > 0

    @property
    def cpu_ratio(self) -> float:
        """Processor time for each message in the last fifth against the second.

        All parts have messages of the same sizes. The median part of either fifth counts, which is least disturbed by
        other work on the machine.
        """
        return statistics.median(self.last(self.cpu)) / statistics.median(self.second(self.cpu))

    @property
    def growth(self) -> float:
        """By how many MB the most resident memory of the last fifth exceeds that of the second."""
        return (max(self.last(self.resident)) - max(self.second(self.resident))) * 2**20 / 1e6

    @property
    def problems(self) -> list[str]:
        """What is not flat."""
        if not self.comparable:
            return ["the guest was restarted too near the end to tell whether it is flat: give it more messages"]
        found = []
        blocks = max(self.second(self.blocks)), max(self.last(self.blocks))
        taken = max(self.second(self.bytes_used)), max(self.last(self.bytes_used))
        filled = taken[0] >= self.window * _FULL
        if self.growth > _MOST_GROWTH + (0 if filled else (taken[1] - taken[0]) / 1e6):
            found.append(f"resident memory grew by {self.growth:.1f} MB")
        if filled and blocks[1] > blocks[0] * _MORE_BLOCKS:
            found.append(f"the most blocks grew from {blocks[0]:,.0f} to {blocks[1]:,.0f}")
        if filled and taken[1] > taken[0] * _MORE_BYTES:
            found.append(f"the most bytes of blocks grew from {taken[0]:,.0f} to {taken[1]:,.0f}")
        if max(taken) > self.window + 2 * (1 << (self.longest * 5 // 4).bit_length()) + _UNCOUNTED:
            found.append(f"the blocks took {max(taken):,.0f} bytes, where {self.window:,} are kept")
        return found

    @property
    def dearer(self) -> list[str]:
        """Whether a message costs more in the end. On a busy machine it may, once or twice."""
        if self.comparable and self.cpu_ratio > _MOST_CPU:
            return [f"processor time for each message grew by {self.cpu_ratio - 1:.0%}"]
        return []


class Heap:
    """The most blocks and bytes that any guest of the process has, part by part.

    They are seen wherever a guest crosses to the host; and every few calls it is asked, for a guest that only answers
    calls never crosses.
    """

    def __init__(self) -> None:
        self.blocks = [0]
        self.bytes_used = [0]
        self.window = 0
        self._calls = 0

    def turn(self) -> None:
        """Begin another part. Guests may be some messages ahead of whoever says so."""
        self.bytes_used.append(0)
        self.blocks.append(0)

    def _note(self, blocks: int, bytes_used: int) -> None:
        if blocks > self.blocks[-1]:
            self.blocks[-1] = blocks
        if bytes_used > self.bytes_used[-1]:
            self.bytes_used[-1] = bytes_used

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Look at every guest that is made within."""
        exchange, call = Border.exchange, Instance.call

        def look(border: Border, window: Window, at: int) -> int:
            answer = exchange(border, window, at)
            self.window = border.limits.retained
            self._note(border.blocks, border.bytes_used)
            return answer

        def ask(instance: Instance, export: str, data: bytes) -> CallOutcome:
            outcome = call(instance, export, data)
            self._calls += 1
            if self._calls % _ASK_EVERY == 0 and not outcome.trapped:
                self._note(*struct.unpack("<QQ48x", call(instance, STATS, b"").output))
            return outcome

        with mock.patch.object(Border, "exchange", look), mock.patch.object(Instance, "call", ask):
            yield


class Meter:
    """Takes the measures of a stream while it is read.

    Args:
        feed: What will come; of a multiple of ``PARTS`` messages.
        heap: Where the guests' blocks are seen.
    """

    def __init__(self, feed: Feed, heap: Heap) -> None:
        self.done = 0
        self._step = feed.count // PARTS
        self._heap = heap
        self._costs = Costs([], [], [], heap.blocks, heap.bytes_used, 0, feed.longest)
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def tick(self) -> None:
        """Count one more message."""
        self.done += 1
        if self.done % self._step == 0:
            wall, cpu = time.perf_counter(), time.process_time()
            self._costs.seconds.append((wall - self._wall) / self._step)
            self._costs.cpu.append((cpu - self._cpu) / self._step)
            self._costs.resident.append(resident_mib())
            self._wall, self._cpu = wall, cpu
            if self.done < self._step * PARTS:
                self._heap.turn()

    def costs(self, restarts: list[int]) -> Costs:
        """What it has cost.

        Args:
            restarts: The messages before which the guest was restarted.
        """
        since = max(restarts, default=-1) // self._step + 1
        return attrs.evolve(self._costs, window=self._heap.window, since=since)
