"""Words for the reader: foreign text made safe to print, and lists made to read as sentences.

Everything a report says may end in a terminal or a log, and the names in it were chosen by whoever built the module.
Nothing here looks at a module; a name that reaches a message goes through :func:`shown` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["amount", "capitalised", "counted", "listed", "neither", "printable", "shown"]

_LIMIT = 80


def shown(text: str, limit: int = _LIMIT) -> str:
    """Return ``text`` on one line, printable and at most ``limit`` characters and an ellipsis long.

    Control characters, line ends, terminal escapes and everything else that is not printable are written as escapes.
    """
    cut = printable(text[:limit])
    return cut[:limit] + "…" if len(text) > limit or len(cut) > limit else cut


def printable(text: str) -> str:
    """Return ``text`` with everything that does not print, line ends too, written as an escape."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


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


def counted(number: int, noun: str) -> str:
    """Return ``1 import``, ``2 imports``."""
    return f"{number:,} {noun}{'s'[: number != 1]}"


def amount(size: int) -> str:
    """Return a number of bytes as people read it: ``612 bytes``, ``74.9 KiB``, ``3.3 MiB``."""
    if size < 1_024:
        return counted(size, "byte")
    steps = min((size.bit_length() - 1) // 10, len(_UNITS))
    return f"{size / 1_024**steps:,.1f} {_UNITS[steps - 1]}"


_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def capitalised(text: str) -> str:
    """Return the text as it begins a sentence."""
    return text[:1].upper() + text[1:]
