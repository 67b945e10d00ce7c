"""How much a plugin may say: one allowance for all of its guests, however many and however often they are replaced.

What is left out is counted here, so that somebody tells it: see ``voice.Voice``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import attrs

from adapters.arguments import at_least, whole
from adapters.buckets import Bucket

__all__ = ["Speech", "SpeechBudget"]


@attrs.frozen
class Speech:
    """How many lines a plugin may log and print, with all of its guests together.

    Attributes:
        burst: Lines at once.
        rate: Lines a second, in the long run.

    Raises:
        UsageError: One of them is no such number.
    """

    burst: int = attrs.field(default=1_000, validator=whole(1, "lines"))
    rate: float = attrs.field(default=200.0, validator=at_least(0, "lines"))


class SpeechBudget:
    """What is left of it at the moment. Its guests use it on their threads.

    Args:
        speech: How much may be said.
        monotonic: Seconds, on a clock that never goes back.
    """

    def __init__(self, speech: Speech = Speech(), monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lines = Bucket(speech.rate, speech.burst, monotonic())
        self._needed_when_silenced = max(1.0, speech.burst / 10)
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._silenced = False
        self._left_out = 0

    def allows(self) -> bool:
        """Take a line out of the budget. Returns whether it may be said; one that may not is counted."""
        with self._lock:
            now = self._monotonic()
            # Once silenced, it has to be silent for a while, or every other line would be the one that tells of it.
            needed = self._needed_when_silenced if self._silenced else 1.0
            self._silenced = self._lines.tokens(now) < needed
            if self._silenced:
                self._left_out += 1
            else:
                self._lines.take(1, now)
            return not self._silenced

    def left_out(self) -> int:
        """How many lines were left out since this was asked last: whoever asks has to tell it."""
        with self._lock:
            count, self._left_out = self._left_out, 0
            return count
