"""The frame of the binary format: which sections there are, and where they stand in a module.

Only the headers of sections are read here, never what stands in them; that is :mod:`detectors.sections`.

Encodings: WebAssembly 3.0, binary format, section 5.5.2 (sections).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import attrs

from detectors.formats import ModuleError

if TYPE_CHECKING:
    from detectors.binary import Reader

__all__ = ["Place", "SectionId", "Span", "read_header"]

#: Where something begins and ends in the module.
Span = tuple[int, int]


class SectionId(enum.IntEnum):
    """The byte that a section begins with."""

    CUSTOM = 0
    TYPE = 1
    IMPORT = 2
    FUNCTION = 3
    TABLE = 4
    MEMORY = 5
    GLOBAL = 6
    EXPORT = 7
    START = 8
    ELEMENT = 9
    CODE = 10
    DATA = 11
    DATA_COUNT = 12
    TAG = 13


@attrs.frozen
class Place:
    """Where a section stands in the module.

    Attributes:
        identity: The byte that it begins with, a :class:`SectionId` unless the module is invalid.
        start: The offset of that byte.
        body: The offset of its contents, behind their size.
        end: The offset behind it.
    """

    identity: int
    start: int
    body: int
    end: int


def read_header(reader: Reader) -> Place:
    """Read a section's header, which begins here, up to its body.

    Raises:
        ModuleError: ``truncated`` if the section is longer than the bytes that are left.
        ValueError: Its size is no number.
    """
    start = reader.at
    try:
        identity, size = reader.byte(), reader.number()
    except IndexError:  # the bytes end within the header: one more would be needed at least
        identity, size = SectionId.CUSTOM, 1
    missing = reader.at + size - len(reader.data)
    if missing > 0:
        raise ModuleError(
            "truncated",
            f"The module is cut off: its section at offset {start:,} needs at least {missing:,} bytes "
            f"more than the {len(reader.data):,} that are there",
            "Download or copy the .wasm again and compare its size with the original",
        )
    return Place(identity, start, reader.at, reader.at + size)
