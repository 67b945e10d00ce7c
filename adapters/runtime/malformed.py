"""What a guest hears that makes the same mistake again and again: requests that nobody can read, or that are refused.

Most guests take an error for an answer, log it and try again at once. The first such requests are answered at once.
Those that follow in a row wait, and at last the guest's call is ended, so that the guest is replaced.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from adapters.progress import Progress
from adapters.runtime.errors import MalformedRequestsError

__all__ = ["Malformed"]


def _is_told(number: int) -> bool:
    """Whether this one is told: the 1st, 10th, 100th, 1,000th, ..."""
    return str(number).strip("0") == "1"


@attrs.define(eq=False)
class Malformed:
    """Counts the malformed requests of one guest to one host function. Used by the guest's thread only.

    Attributes:
        function: The host function.
        plugin: The plugin's name, for errors.
        tell: Told of the 1st, 10th, 100th, ... of them.
        wait: Waits for so many seconds, or until the guest is told to stop.
        progress: How many are answered at once, and at all, and the pace between those.
        kind: What is wrong with these requests, for texts: ``malformed`` or ``refused``.
        in_a_row: How many there were since a good one; whoever sees a good one puts it to 0.
        total: How many there were.
    """

    function: str
    plugin: str = attrs.field(kw_only=True)
    tell: Callable[[str], object] = attrs.field(kw_only=True)
    wait: Callable[[float], object] = attrs.field(kw_only=True)
    progress: Progress = attrs.field(kw_only=True)
    kind: str = attrs.field(default="malformed", kw_only=True)
    in_a_row: int = attrs.field(default=0, init=False)
    total: int = attrs.field(default=0, init=False)

    def note(self, problem: str) -> None:
        """Count one more, and tell of it if its number is a power of ten."""
        self.in_a_row += 1
        self.total += 1
        if _is_told(self.total):
            self.tell(self._text(problem))

    def answer(self, problem: str) -> None:
        """Count one more that is about to be answered, and wait if there were several in a row.

        Raises:
            MalformedRequestsError: There were too many in a row.
        """
        self.note(problem)
        if self.in_a_row > self.progress.malformed_most:
            most = self.progress.malformed_most
            raise MalformedRequestsError(self.plugin, self.function, self.in_a_row, most, problem, kind=self.kind)
        if self.in_a_row > self.progress.malformed_free:
            self.wait(self.progress.malformed_pace)

    def _text(self, problem: str) -> str:
        if self.total == 1:
            return f"a {self.kind} request to {self.function}: {problem}"
        row = " in a row" if self.in_a_row == self.total else ""
        return f"{self.total:,} {self.kind} requests to {self.function}{row}, last: {problem}"
