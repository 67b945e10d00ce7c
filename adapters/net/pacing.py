"""How fast and how many: connections to one host, over all plugins and streams of this process.

When an exchange comes back, everything that it dropped wants to connect at once, and a server that has just started is
the last that should be stormed. Attempts to one host are spread over time, open connections are bounded, and a host
that asks to be left alone (``Retry-After``) is left alone by all.

The rate is kept by the generic cell rate algorithm: each attempt reserves the next free moment, up to ``burst`` of them
ahead of time. Whoever gives up gives its moment back, and the next to come takes it.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable

import attrs

from adapters.arguments import more_than_0, whole

__all__ = ["LONGEST_WISH", "Pacer", "Pacing"]

#: Seconds for which a host is left alone at the most, whatever it asks: it may mean a date, and its clock may be wrong.
LONGEST_WISH = 3_600.0

_HOSTS_KEPT = 1_000


@attrs.frozen
class Pacing:
    """The limits for each host and port.

    Attributes:
        rate: Attempts to connect a second, in the long run; ``math.inf``: as many as there are.
        burst: Attempts that may begin at once after a quiet time.
        connections: Connections that may be open.

    Raises:
        UsageError: One of them is no number above 0, or none that is whole where it has to be.
    """

    rate: float = attrs.field(default=20.0, validator=more_than_0(endless=True))
    burst: int = attrs.field(default=50, validator=whole(1))
    connections: int = attrs.field(default=1_000, validator=whole(1))


@attrs.define(eq=False)
class _Host:
    next_free: float = 0.0  # when the next attempt is due, were there no burst
    given_back: list[float] = attrs.field(factory=list)  # a heap of moments
    shut_until: float = 0.0  # by the host's own wish
    connections: int = 0

    def is_idle(self, now: float) -> bool:
        return not self.connections and max(self.next_free, self.shut_until) <= now


class Pacer:
    """Keeps account of the hosts. May be used from any thread.

    Args:
        clock: Monotonic seconds.
        hosts_kept: Hosts that are remembered; beyond that, those with which nothing goes on are forgotten.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, hosts_kept: int = _HOSTS_KEPT) -> None:
        self._clock = clock
        self._hosts_kept = hosts_kept
        self._lock = threading.Lock()
        self._hosts: dict[str, _Host] = {}

    def reserve(self, host: str, pacing: Pacing) -> float:
        """Take the next free moment for an attempt, by the clock; it may have passed."""
        with self._lock:
            now, known = self._clock(), self._host(host)
            while known.given_back:
                if (moment := heapq.heappop(known.given_back)) >= now:
                    return moment
            due = max(known.next_free, now)
            known.next_free = due + 1 / pacing.rate
            return due - (pacing.burst - 1) / pacing.rate

    def give_back(self, host: str, moment: float) -> None:
        """An attempt that had reserved a moment is not made after all."""
        with self._lock:
            heapq.heappush(self._host(host).given_back, moment)

    def wait_until(self, moment: float) -> float:
        """Seconds until then, 0 if it has passed."""
        return max(moment - self._clock(), 0.0)

    def shut(self, host: str, seconds: float) -> None:
        """The host asks to be left alone for so long; ``LONGEST_WISH`` at the most."""
        with self._lock:
            known = self._host(host)
            known.shut_until = max(known.shut_until, self._clock() + min(seconds, LONGEST_WISH))

    def shut_for(self, host: str) -> float:
        """Seconds for which the host still wants to be left alone; 0 if it does not."""
        with self._lock:
            return max(self._host(host).shut_until - self._clock(), 0.0)

    def open(self, host: str, pacing: Pacing) -> bool:
        """One more connection is about to be open. Returns whether there may be; ``closed`` takes it back."""
        with self._lock:
            known = self._host(host)
            if known.connections >= pacing.connections:
                return False
            known.connections += 1
            return True

    def closed(self, host: str) -> None:
        """A connection is closed, or did not come to be."""
        with self._lock:
            self._host(host).connections -= 1

    def forget(self) -> None:
        """Forget attempts and the hosts' wishes. Connections that are open stay counted."""
        with self._lock:
            self._hosts = {
                name: _Host(connections=known.connections) for name, known in self._hosts.items() if known.connections
            }

    def _host(self, host: str) -> _Host:
        if host not in self._hosts:
            if len(self._hosts) >= self._hosts_kept:
                now = self._clock()
                self._hosts = {name: known for name, known in self._hosts.items() if not known.is_idle(now)}
            self._hosts[host] = _Host()
        return self._hosts[host]
