"""What a guest says: the one door from its log, its standard output and its standard error to the plugin's logger.

Everything goes line by line, without secrets, and without anything that could command a terminal. A guest that never
stops talking is cut short, and what was left out is counted and told.
"""

from __future__ import annotations

import collections
import logging
from collections.abc import Callable, Iterator

from adapters.panics import begins_panic
from adapters.speech import SpeechBudget
from detectors.wording import printable

__all__ = ["LONGEST_LINE", "Voice"]

LONGEST_LINE = 8 * 1024  # characters that are told of it; of a stream, the bytes
_LAST_WORDS = 4 * 1024  # characters of standard error that are kept
_CUT = " [cut]"


_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}


class Voice:
    """Tells the logger what one guest says. Used by the guest's thread only, but for its budget.

    Args:
        logger: The plugin's.
        redact: Takes secrets out of a text.
        quiet: Whether what it says now is nobody's concern, as it is being stopped: it goes to DEBUG.
        budget: How much it may still say, with the plugin's other guests; ``None``: as much as a plugin by itself.
    """

    def __init__(
        self,
        logger: logging.Logger,
        *,
        redact: Callable[[str], str] = str,
        quiet: Callable[[], bool] = lambda: False,
        budget: SpeechBudget | None = None,
    ) -> None:
        self._logger = logger
        self.redact = redact
        self._quiet = quiet
        self._budget = budget or SpeechBudget()
        self._unfinished: dict[int, bytes] = {}  # by level
        self._cut: set[int] = set()  # the levels on which the rest of a line is dropped
        self._stderr: collections.deque[str] = collections.deque()
        self._stderr_length = 0
        self._panic = ""  # the line that began the latest one

    @property
    def level(self) -> int:
        """The lowest level that the logger takes, as Extism numbers levels: 0 trace ... 4 error."""
        levels = (logging.DEBUG, logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)
        return next((number for number, level in enumerate(levels) if self._logger.isEnabledFor(level)), 4)

    def say(self, level: int, text: str) -> None:
        """Tell the logger, in as many records as there are lines."""
        for line in text.splitlines() or [""]:
            self._line(level, line)

    def record(self, event_type: str, message: str, data: object) -> None:
        """Tell the logger of a record of ``log_record``, whose type is whatever the plugin calls it."""
        level = _LEVELS.get(event_type.lower(), logging.INFO)
        self.say(level, message if data is None else f"{message} {data}")

    def print(self, level: int, data: bytes) -> None:
        """What a guest writes to a stream: whole lines are told, the rest waits for its end."""
        for line in self._lines(level, data):
            self._line(level, line)

    def stderr(self, data: bytes) -> None:
        """What it writes to standard error, the end of which is kept as its last words."""
        for line in self._lines(logging.WARNING, data):
            self._remember(line)
            self._line(logging.WARNING, line)

    def forget_words(self) -> None:
        """Forget the last words, as a call begins: those of an earlier one say nothing about it."""
        self._stderr.clear()
        self._stderr_length = 0
        self._panic = ""

    def end_of_call(self) -> None:
        """Tell what is not ended by a line's end."""
        for level, rest in self._unfinished.items():
            if rest:
                line = rest.decode(errors="replace")
                if level == logging.WARNING:
                    self._remember(line)
                self._line(level, line)
        self._unfinished.clear()
        self._cut.clear()

    def tell_left_out(self) -> None:
        """Tell how many lines of the plugin were left out since this was told last, if any were. From any thread."""
        if count := self._budget.left_out():
            self._logger.warning("%d lines that it logged were left out: it logs too much", count)

    def last_words(self) -> str:
        """The end of what it has written to standard error in this call, without secrets; asked again, it is empty.

        At most 4 KiB. Where a panic's first line would be cut off, it comes first.
        """
        unfinished = self._unfinished.get(logging.WARNING, b"").decode(errors="replace")
        said = self.redact("\n".join([*self._stderr, unfinished]).strip())
        words, panic = said[-_LAST_WORDS:], self.redact(self._panic).strip()[: _LAST_WORDS // 4]
        if panic not in words:
            words = f"{panic}\n...\n{said[-_LAST_WORDS + len(panic) + 5 :]}"
        self.forget_words()
        return printable(words)

    def _lines(self, level: int, data: bytes) -> Iterator[str]:
        """Yield the lines of a stream that have ended, and the beginning of one that is far too long to wait for."""
        if level in self._cut:
            _, ended, data = data.partition(b"\n")
            if not ended:
                return
            self._cut.remove(level)
        *lines, rest = (self._unfinished.pop(level, b"") + data).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").removesuffix("\r")
        if len(rest) <= 2 * LONGEST_LINE:
            self._unfinished[level] = rest
            return
        self._cut.add(level)
        yield self._beginning(rest, LONGEST_LINE, 2 * LONGEST_LINE)

    def _beginning(self, line: str | bytes, end: int, further: int) -> str:
        """A line cut at an end, without secrets.

        Where one stands across the cut, what is read up to there and further differs from its beginning on.
        """
        pieces = (line[:end], line[:further])
        texts = [piece if isinstance(piece, str) else piece.decode(errors="replace") for piece in pieces]
        return _common_beginning(*map(self.redact, texts)) + _CUT

    def _remember(self, line: str) -> None:
        """Keep a line among the last words. Whole ones only: of half a secret nobody could tell that it is one."""
        if begins_panic(line):
            self._panic = line
        self._stderr.append(line)
        self._stderr_length += len(line)
        while self._stderr_length - len(self._stderr[0]) > _LAST_WORDS:
            self._stderr_length -= len(self._stderr.popleft())

    def _line(self, level: int, line: str) -> None:
        if self._quiet():  # nobody needs to be woken by what fails when a guest is told to stop
            level = logging.DEBUG
        if not self._logger.isEnabledFor(level) or not self._budget.allows():
            return
        self.tell_left_out()
        text = printable(self.redact(line))
        self._logger.log(level, "%s", text[:LONGEST_LINE] + _CUT if len(text) > LONGEST_LINE else text)


def _common_beginning(one: str, other: str) -> str:
    differs = (at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right)
    return one[: next(differs, len(other))]
