"""Words for the reader: foreign text made safe to print, and lists made to read as sentences.

Everything a report says may end in a terminal or a log, and the names in it were chosen by whoever built the module.
Nothing here looks at a module; a name that reaches a message goes through :func:`shown` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["listed", "neither", "shown"]

_LIMIT = 80


def shown(text: str, limit: int = _LIMIT) -> str:
    """Return ``text`` on one line, printable and at most ``limit`` characters and an ellipsis long.

    Control characters, line ends, terminal escapes and everything else that is not printable are written as escapes.
    """
    cut = text[:limit]
    if not cut.isprintable():
        cut = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in cut)
    return cut + "…" if len(text) > limit else cut


def listed(names: Sequence[str], last: str = "and") -> str:
    """Return names as a sentence lists them: ``a``, ``a and b``, ``a, b and c``."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def neither(names: Sequence[str]) -> str:
    """Return names as a sentence denies them: ``no a``, ``neither a nor b``, ``none of a, b and c``."""
    if len(names) < 2:
        return f"no {listed(names)}"
    if len(names) == 2:
        return f"neither {listed(names, 'nor')}"
    return f"none of {listed(names)}"
