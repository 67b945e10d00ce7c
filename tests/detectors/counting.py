"""Work that is counted instead of timed, so that it is the same on any machine, however busy."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

__all__ = ["CountedBytes", "counted_lines"]


@contextlib.contextmanager
def counted_lines() -> Iterator[Callable[[], int]]:
    """Count the lines of Python that this thread runs within the block, in whatever file but this one.

    What the interpreter does in C, the search for a pattern say, counts as the line that calls it. Coverage does not
    see the block.
    """
    lines = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace if frame.f_code.co_filename != __file__ else None

    tracing = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lambda: lines
    finally:
        sys.settrace(tracing)


class CountedBytes(bytes):
    """Bytes that count how many of them are taken out, by index or as a slice."""

    taken = 0

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        self.taken += 1 if isinstance(found, int) else len(found)
        return found
