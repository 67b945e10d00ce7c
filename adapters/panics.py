"""Panics in what a guest writes to its standard error: where one begins, and what of it stands in an error's text."""

from __future__ import annotations

import re

__all__ = ["begins_panic", "excerpt"]

_EXCERPT = 300  # characters
# Go and TinyGo; Zig ("panic: ", "thread 1 panic: "); Rust ("thread 'main' panicked at src/lib.rs:1:1:").
_PANIC = r"(?:panic: |fatal error: |thread \S{1,80} (?:panic: |(?:\(\d+\) )?panicked at ))"
_BEGINS = re.compile(_PANIC)
_BEGINS_A_LINE = re.compile(r"(?:^|(?<=\\n))" + _PANIC)


def begins_panic(line: str) -> bool:
    """Whether a line is the first one of a panic."""
    return _BEGINS.match(line) is not None


def excerpt(said: str) -> str:
    r"""What of a guest's last words stands in an error's text, at most 300 characters and an ellipsis.

    Args:
        said: The end of what it wrote, as ``voice.printable`` writes it: a line's end is ``\n``, two characters.

    Returns:
        All of it, if it is short; else the beginning of the last panic in it; else its end.
    """
    if len(said) <= _EXCERPT:
        return said
    panics = [match.start() for match in _BEGINS_A_LINE.finditer(said)]
    if not panics:
        return "..." + said[-_EXCERPT:]
    panic = said[panics[-1] :]
    return panic if len(panic) <= _EXCERPT else panic[:_EXCERPT] + "..."
