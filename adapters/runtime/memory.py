"""When a block of kernel memory may be freed under a guest that never frees.

Extism frees everything when a call *ends*. A ``start_stream`` that never ends leaks every request and every reply, and
since the kernel's look-ups walk its list of blocks, each message is slower than the one before. Somebody has to free,
and freeing a block that the guest still uses hands its memory to somebody else. This is why what is done here is safe:

1. *A guest that imports the kernel's* ``free`` *manages its memory itself.* Nothing is freed for it: freeing a block
   that it has freed and allocated again would free someone else's data.
2. *Any other guest cannot free*, so a block that the host has seen stays the same block until the host frees it. It is
   freed only ``QUARANTINE`` host calls later: a guest may hold a reply, or write to a request, across several calls.
3. *A block seen in two requests is never freed*: the guest reuses it. Blocks that are reused are allocated early, so
   the first ``KEPT_REQUESTS`` requests are never freed either, however rarely they come back.
4. *What slips through is recognised.* A request from a block that was freed, or that has become a reply since, is a
   ``StaleBlockError``: the guest's call is ended, and reclaiming is over for that module. It never goes unnoticed.
5. *Sizes repeat.* The kernel splits freed blocks and never merges them. Replies padded with JSON white space to powers
   of two fit where an earlier reply was, so the list of blocks stays short.

What remains (guests under rule 1 that do not free, and modules under rule 4) is bounded by ``budget``, which the extent
of the kernel's memory is held against: past it the guest has to be replaced.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable

from adapters.runtime.engine import KernelAccess, RawMemory
from adapters.runtime.kernel import KernelLayout, Suspension
from detectors.errors import PluginError

__all__ = ["KEPT_REQUESTS", "QUARANTINE", "KernelMemory", "LostRequestError", "OutOfMemoryError", "StaleBlockError"]

QUARANTINE = 64  # host calls between the last use of a block and its freeing
KEPT_REQUESTS = 256  # the first requests of a call that are never freed
DEFAULT_BUDGET = 64 * 2**20  # bytes
_CHECK_EVERY = 32  # host calls between two looks at the budget


class StaleBlockError(PluginError):
    """The guest used a block that was freed under it."""


class LostRequestError(Exception):
    """There is no block where the guest says its request is: re-entering it lost it, or the offset is nonsense."""


class OutOfMemoryError(PluginError):
    """The kernel could not allocate a reply."""


class KernelMemory:
    """Reads requests, writes replies, and frees what may be freed. Used by the guest's thread only.

    Args:
        reclaim: Whether to free blocks for the guest; ``False`` for one that imports the kernel's ``free``.
        layout: The kernel's layout, as probed.
        budget: Bytes that the kernel's memory may extend to.
        on_budget: Told when the budget is spent, and again whenever a quarter more is.
        max_request: Bytes of a request; a longer one is cut.
    """

    def __init__(
        self,
        *,
        reclaim: bool,
        layout: KernelLayout,
        budget: int = DEFAULT_BUDGET,
        on_budget: Callable[[], None] = lambda: None,
        max_request: int = 64 * 2**20,
    ) -> None:
        self._max_request = max_request
        self.reclaim = reclaim
        self.host_calls = 0  # since memory was last reset
        self.host_calls_in_call = 0
        self.held = 0  # bytes of blocks that the host knows of and has not freed
        self._layout = layout
        self._budget = budget
        self._on_budget = on_budget
        self._threshold = budget
        self._waiting: deque[tuple[int, int, int]] = deque()  # (due at host call, offset, bytes), oldest first
        self._requests: set[int] = set()  # offsets of requests in quarantine
        self._replies: set[int] = set()  # offsets of replies in quarantine
        self._kept: set[int] = set()  # offsets that are never freed
        self._freed: set[int] = set()  # offsets that were freed and not seen since
        self._freed_requests: set[int] = set()  # those of them that were requests
        self._latest: deque[int] = deque(maxlen=256)  # offsets of the latest blocks, where they are not kept track of
        self._raw: RawMemory | None = None
        self._suspension: Suspension | None = None

    def begin(self) -> None:
        """A call begins: the kernel is reset, unless it was suspended."""
        self.host_calls_in_call = 0
        if self._suspension is not None:
            return
        self.host_calls = 0
        self.held = 0
        self._threshold = self._budget
        self._waiting.clear()
        self._latest.clear()
        for offsets in (self._requests, self._replies, self._kept, self._freed, self._freed_requests):
            offsets.clear()

    def suspend(self) -> bool:
        """Between two calls: keep all blocks for the next one.

        Returns:
            Whether that is sure; if not, the next call begins with empty memory.
        """
        self._resume()
        if self._layout.continues and self._raw is not None:
            self._note_output(self._layout.output(self._raw))
            self._suspension = Suspension.suspend(self._raw)
        return self._suspension is not None

    def _note_output(self, offset: int) -> None:
        """The output of a call that others continue would never be freed: treat it like a request."""
        if offset and self.reclaim:
            self._note_request(offset, 0)

    def _resume(self) -> None:
        """The first host call of a call that continues another, or its end: put the kernel in order."""
        if self._suspension is None:
            return
        lists = (self._requests, self._replies, self._kept, self._freed, self._freed_requests)
        # Where a block begins once, one begins for ever, in use or freed: the kernel never merges blocks.
        survived = self._suspension.resume(itertools.chain(self._latest, *lists))
        self._suspension = None
        self._latest = deque((offset for offset in self._latest if offset >= survived), self._latest.maxlen)
        for offsets in lists:
            offsets.difference_update([offset for offset in offsets if offset < survived])
        self._waiting = deque(entry for entry in self._waiting if entry[1] >= survived)

    def take(self, kernel: KernelAccess, offset: int) -> bytes:
        """Read the request at ``offset`` and arrange for its block.

        Raises:
            StaleBlockError: The block had been freed under the guest.
            LostRequestError: There is no block at ``offset``.
        """
        self._enter(kernel)
        length = kernel.length(offset)
        if not length:
            if offset in self._freed:
                msg = "the guest used a block of kernel memory again that had been freed under it"
                raise StaleBlockError(msg)
            msg = f"there is no block of kernel memory at offset {offset}"
            raise LostRequestError(msg)
        request = kernel.read(offset, min(length, self._max_request))
        if self.reclaim:
            self._note_request(offset, length)
            self._free_due(kernel)
        else:
            self._latest.append(offset)
            self._hold(length)
        return request

    def _note_request(self, offset: int, length: int) -> None:
        if offset in self._replies and offset in self._freed_requests:
            msg = "the guest used a block of kernel memory again that had been freed under it and become a reply"
            raise StaleBlockError(msg)
        self._freed.discard(offset)
        self._freed_requests.discard(offset)
        if offset in self._kept:
            return
        if offset in self._requests or offset in self._replies or self.host_calls <= KEPT_REQUESTS:
            self._kept.add(offset)
            self._hold(length)
            return
        self._requests.add(offset)
        self._waiting.append((self.host_calls + QUARANTINE, offset, length))
        self._hold(length)

    def give(self, kernel: KernelAccess, reply: bytes) -> int:
        """Allocate a block, write ``reply`` padded with JSON white space, and return the block's offset.

        Raises:
            OutOfMemoryError: The kernel has no room.
        """
        self._ready(kernel)
        padded = reply.ljust(1 << max(len(reply) - 1, 31).bit_length())
        offset = kernel.alloc(len(padded))
        if not offset:
            msg = f"the kernel has no room for a reply of {len(padded)} bytes"
            raise OutOfMemoryError(msg)
        kernel.write(offset, padded)
        self._hold(len(padded))
        if self.reclaim:
            self._freed.discard(offset)
            self._replies.add(offset)
            self._waiting.append((self.host_calls + QUARANTINE, offset, len(padded)))
        else:
            self._latest.append(offset)
        return offset

    def _enter(self, kernel: KernelAccess) -> None:
        self.host_calls += 1
        self.host_calls_in_call += 1
        self._ready(kernel)
        self._check_budget()

    def _ready(self, kernel: KernelAccess) -> None:
        if self._raw is None:
            self._raw = kernel.memory()
        self._resume()

    def _free_due(self, kernel: KernelAccess) -> None:
        while self._waiting and self._waiting[0][0] <= self.host_calls:
            _, offset, length = self._waiting.popleft()
            if offset not in self._kept:
                kernel.free(offset)
                self.held -= length
                self._freed.add(offset)
                if offset in self._requests:
                    self._freed_requests.add(offset)
            self._requests.discard(offset)
            self._replies.discard(offset)

    def _hold(self, length: int) -> None:
        self.held += length

    def _check_budget(self) -> None:
        if self._raw is None or self.host_calls % _CHECK_EVERY:
            return
        extent = self._layout.extent(self._raw)
        used = self.held if extent is None else extent
        if used > self._threshold:
            self._threshold = used * 5 // 4  # ask again before it gets much worse
            self._on_budget()
