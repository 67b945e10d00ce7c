"""Token buckets that callers wait for in the order in which they came, on any number of event loops and threads.

The law of this room: over any window a bucket grants no more than its capacity and what flows in during the window, and
nobody is served before whoever came earlier to a bucket that both need. A caller takes its tokens from all the
buckets it needs at once, or none; whoever gives up while waiting has taken nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping

import attrs

from adapters.recent import Recent

__all__ = ["Bucket", "Ticket", "TokenBuckets", "WaitTooLongError"]

_ENOUGH = 1 - 1e-9  # of a cost: a wait that was computed in floating point may end a little early
_MOST_BUCKETS = 4_096


class WaitTooLongError(Exception):
    """The tokens will not be there in time.

    Attributes:
        wait: Seconds until they would be.
    """

    def __init__(self, wait: float) -> None:
        super().__init__(f"the tokens are there in {wait:g} s")
        self.wait = wait


class Bucket:
    """Tokens that flow in at a rate, up to a capacity, and the line of those who wait for them. Full at first.

    Args:
        rate: Tokens a second.
        capacity: The most tokens that it holds.
        now: Seconds, on a clock that never goes back.
    """

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        self.rate = rate
        self.capacity = capacity
        self.line: OrderedDict[Ticket, float] = OrderedDict()
        self._tokens = capacity
        self._counted = now

    def tokens(self, now: float) -> float:
        """How many it holds."""
        return min(self.capacity, self._tokens + max(0.0, now - self._counted) * self.rate)

    def take(self, cost: float, now: float) -> None:
        """Take so many, which have to be there."""
        self._tokens, self._counted = self.tokens(now) - cost, max(now, self._counted)

    def wait_for(self, cost: float, now: float) -> float:
        """Seconds until it holds so many, if nobody else takes any; 0 if it does."""
        held = self.tokens(now)
        return 0.0 if held >= cost * _ENOUGH else (cost - held) / self.rate


@attrs.frozen(eq=False)
class Ticket:
    """Someone who waits: for how many tokens of which buckets, and what to call when it may be its turn."""

    needs: Mapping[Bucket, float]
    wake: Callable[[], object]


class TokenBuckets:
    """Buckets by their keys, and the waiting for them. May be used by several threads and event loops.

    Args:
        clock: Seconds, on a clock that never goes back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets = Recent[Bucket](_MOST_BUCKETS)

    def bucket(self, key: Hashable, rate: float, capacity: float) -> Bucket:
        """The bucket of that key; a new and full one if there is none, or none with these numbers."""
        whole = (key, rate, capacity)
        with self._lock:
            found = self._buckets.get(whole)
            if found is None:
                self._buckets.put(whole, found := Bucket(rate, capacity, self._clock()))
            return found

    async def take(
        self, needs: Mapping[Bucket, float], timeout: float | None, waiting: Callable[[float], object] = lambda _: None
    ) -> None:
        """Wait for tokens of several buckets and take them, all at once.

        Args:
            needs: How many of which; none more than its capacity.
            timeout: Seconds to wait at the most; ``None`` for as long as it takes.
            waiting: Told how many seconds it is going to take, if they are not there at once.

        Raises:
            WaitTooLongError: They will not be there in time. That is known at the beginning, so nobody waits for it,
                unless whoever is ahead waits for other buckets longer than could be known.
        """
        loop, moved = asyncio.get_running_loop(), asyncio.Event()
        deadline = math.inf if timeout is None else self._clock() + timeout
        ticket = Ticket(needs, lambda: loop.call_soon_threadsafe(moved.set))
        foretold = self.join(ticket, deadline)
        try:
            if foretold:
                waiting(foretold)
            while True:
                moved.clear()
                wait = self.serve(ticket)
                if wait is None:
                    return
                left = deadline - self._clock()
                if left <= 0:
                    raise WaitTooLongError(self.estimate(ticket))
                pause = min(wait, left)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause if math.isfinite(pause) else None):
                        await moved.wait()
        finally:
            self.leave(ticket)

    # What happens while a caller waits, without an event loop

    def join(self, ticket: Ticket, deadline: float = math.inf) -> float:
        """Go to the end of each bucket's line.

        Returns:
            In how many seconds it will be served, as far as that is known; 0 if at once.

        Raises:
            WaitTooLongError: Its turn would come after the deadline, on the clock.
        """
        with self._lock:
            now = self._clock()
            wait = self._estimate(ticket, now)
            if wait and now + wait > deadline:
                raise WaitTooLongError(wait)
            for bucket, cost in ticket.needs.items():
                bucket.line[ticket] = cost
            return wait

    def serve(self, ticket: Ticket) -> float | None:
        """Take the tokens if it is the ticket's turn and they are there.

        Returns:
            ``None`` if they were taken; otherwise after how many seconds to try again, infinite if not before ``wake``.
        """
        with self._lock:
            if any(next(iter(bucket.line), None) is not ticket for bucket in ticket.needs):
                return math.inf
            now = self._clock()
            wait = max(bucket.wait_for(cost, now) for bucket, cost in ticket.needs.items())
            if wait > 0:
                return wait
            for bucket, cost in ticket.needs.items():
                bucket.take(cost, now)
            return None

    def leave(self, ticket: Ticket) -> None:
        """Go out of every line, served or not, and wake whoever is first now."""
        with self._lock:
            for bucket in ticket.needs:
                was_first = next(iter(bucket.line), None) is ticket
                bucket.line.pop(ticket, None)
                if was_first:
                    _wake_first(bucket)

    def estimate(self, ticket: Ticket) -> float:
        """Seconds until its turn comes, if nobody ahead gives up or waits for something else."""
        with self._lock:
            return self._estimate(ticket, self._clock())

    def _estimate(self, ticket: Ticket, now: float) -> float:
        return max(
            (bucket.wait_for(_ahead(bucket, ticket) + cost, now) for bucket, cost in ticket.needs.items()), default=0.0
        )


def _ahead(bucket: Bucket, ticket: Ticket) -> float:
    """How many tokens those who came earlier are going to take."""
    total = 0.0
    for other, cost in bucket.line.items():
        if other is ticket:
            break
        total += cost
    return total


def _wake_first(bucket: Bucket) -> None:
    while bucket.line:
        first = next(iter(bucket.line))
        try:
            first.wake()
        except RuntimeError:  # its event loop was closed under it: it will never come
            del bucket.line[first]
        else:
            return
