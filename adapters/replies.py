"""The answers that a plugin lets its host keep for a while (``cacheForSeconds``), bounded in number and in bytes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

import attrs

from adapters.contract import Reply

__all__ = ["KeptReplies", "Question", "lifetime"]


@attrs.frozen
class Question:
    """What was asked: a command and its params, as JSON with sorted names, so that equal questions are equal."""

    command: str
    params: bytes


class KeptReplies:
    """Replies by question, until they expire; of too many, the one that was longest not asked for goes.

    Args:
        most: How many are kept.
        most_bytes: The most bytes of their payloads and questions together.
        clock: Seconds, on a clock that never goes back.
    """

    def __init__(
        self, most: int = 1_024, most_bytes: int = 16 * 2**20, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._clock = clock
        self._kept: OrderedDict[Question, tuple[float, Reply]] = OrderedDict()
        self._bytes = 0

    def get(self, question: Question) -> Reply | None:
        """The reply that still holds, marked as cached."""
        expiry, reply = self._kept.get(question, (0.0, None))
        if reply is None:
            return None
        if expiry <= self._clock():
            self.drop(question)
            return None
        self._kept.move_to_end(question)
        return reply

    def put(self, question: Question, reply: Reply, seconds: float) -> None:
        """Keep a reply in the place of what was kept; of 0 seconds, or one too large, nothing is kept."""
        self.drop(question)
        if seconds > 0 and _size(question, reply) <= self._most_bytes:
            self._kept[question] = (self._clock() + seconds, attrs.evolve(reply, cached=True))
            self._bytes += _size(question, reply)
            while len(self._kept) > self._most or self._bytes > self._most_bytes:
                self.drop(next(iter(self._kept)))

    def drop(self, question: Question) -> None:
        """Keep nothing for a question."""
        _, reply = self._kept.pop(question, (0.0, None))
        if reply is not None:
            self._bytes -= _size(question, reply)


def _size(question: Question, reply: Reply) -> int:
    return len(question.command) + len(question.params) + len(reply.data)


def lifetime(value: object) -> float | None:
    """For how many seconds an answer may be kept, as ``cacheForSeconds`` says.

    Returns:
        The seconds, 0 if it says nothing; ``None`` if what it says is no number of seconds.
    """
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        return None
    return float(value)
