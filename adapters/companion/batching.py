"""What of a guest's traffic crosses in batches, as the host sees it: how many messages at once, which publications.

The companion's side is ``wat/10-batches.wat``. Nothing is batched for a guest that is observed, or that has not shown
that it handles a message in less than half a millisecond: what it publishes would lie in its outbox for as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import attrs

from adapters.companion.exchange import ACCEPTED, LONGEST_ASKED
from adapters.companion.pace import Pace

__all__ = ["Batches", "Batching", "Replies"]

#: Replies to a request for messages, and how many of them bring one.
Replies = tuple[list[bytes], int]


@attrs.frozen
class Batches:
    """What a guest's batches are taken from and given to. All are called on the guest's thread.

    Attributes:
        receive: Answers a request for messages: with its own reply, and with more, at most so many in all, for requests
            to come of the same bytes; and how many of these replies bring a message.
        publish: Takes a publication whose reply the guest has had already; returns what it would have been.
        log: Takes a log record.
        untaken: Told how many of the messages that were handed out last lie in the guest's inbox still.
        take_back: Told how many of them do not, and were not taken.
        own_clock: Whether the guest is told the machine's time.
    """

    receive: Callable[[bytes, int], Replies]
    publish: Callable[[bytes], bytes]
    log: Callable[[bytes], bytes]
    untaken: Callable[[int], None]
    take_back: Callable[[int], None]
    own_clock: bool = False


class Batching:
    """The batches of one guest. Used on its thread only.

    Args:
        batches: What they are taken from and given to.
        pace: How many messages make one.
        clock: Seconds, on a clock that never goes back.
    """

    def __init__(
        self, batches: Batches, pace: Pace | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._withdraws = False
        self.own_clock = batches.own_clock
        self._batches = batches
        self._pace = pace or Pace()
        self._clock = clock
        self._grants = False  # whether any key is granted
        self._given = 0  # messages that were handed out last
        self._given_at: float | None = None
        self._left = 0  # of them, in the inbox

    def begin(self) -> None:
        """A call begins, in which nothing was handed out yet."""
        self._given_at = None

    def note_left(self, left: int, *, dropped: bool) -> int:
        """A crossing tells what is in the inbox. Returns how many messages were taken from it since the last one."""
        took, self._left = self._left - left, left
        if dropped:
            self._batches.take_back(left)
            self._given -= left
            self._left = 0
        elif took:
            self._batches.untaken(left)
        return took

    def receive(self, request: bytes) -> list[bytes]:
        """The replies to a request for messages: the first is its own."""
        if self._given_at is not None:
            self._pace.took(self._given, self._clock() - self._given_at)
        if self._pace.most == 1 and self._grants:
            self._withdraws = True
        replies, messages = self._batches.receive(request, self._pace.most if len(request) <= LONGEST_ASKED else 1)
        # That nothing had come says nothing of how fast a message is handled.
        self._given, self._left = messages, len(replies) - 1
        self._given_at = self._clock()
        return replies

    def publish(self, request: bytes) -> None:
        """Take a publication that came as a record."""
        if self._batches.publish(request) != ACCEPTED:
            self._withdraws = True

    def log(self, request: bytes) -> None:
        """Take a log record that came as one."""
        self._batches.log(request)

    def grants(self, reply: bytes) -> bool:
        """Whether this reply to a publication that crossed by itself grants its key."""
        if reply == ACCEPTED and not self._withdraws and self._pace.most > 1:
            self._grants = True
            return True
        self._withdraws = self._withdraws or self._grants
        return False

    def withdraw(self) -> bool:
        """Whether all grants are to be withdrawn with the next answer, which is about to be written."""
        withdraws, self._withdraws = self._withdraws, False
        self._grants = self._grants and not withdraws
        return withdraws
