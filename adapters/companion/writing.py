"""The binary format written: numbers, names, lists and sections, the counterpart of :mod:`detectors.binary`.

Encodings: WebAssembly 3.0, binary format, sections 5.1.3 (vectors), 5.2 (values) and 5.5 (modules).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detectors.framing import SectionId
from detectors.sections import Limits

__all__ = ["KINDS", "contents", "export", "limits", "name", "number", "section", "section_of"]

#: How the kind of an import or export is written, by its name in the text format.
KINDS = {"function": b"\x00", "table": b"\x01", "memory": b"\x02", "global": b"\x03", "tag": b"\x04"}


def number(value: int) -> bytes:
    """Return a natural number as unsigned LEB128."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def name(text: str) -> bytes:
    """Return a name, in UTF-8 behind its length."""
    encoded = text.encode()
    return number(len(encoded)) + encoded


def export(text: str, kind: str, index: int) -> bytes:
    """Return an entry of the export section."""
    return name(text) + KINDS[kind] + number(index)


def section(identity: SectionId, items: Sequence[bytes]) -> bytes:
    """Return a section that is a list, as all of those are that are written here."""
    return section_of(identity, len(items), b"".join(items))


def section_of(identity: SectionId, count: int, entries: bytes) -> bytes:
    """Return such a section of so many entries, one written behind the other."""
    return contents(identity, number(count) + entries)


def contents(identity: SectionId, body: bytes) -> bytes:
    """Return a section, whatever it holds."""
    return bytes([identity]) + number(len(body)) + body


def limits(size: Limits) -> bytes:
    """Return the size of a memory or a table."""
    bounded = size.maximum is not None
    flags = bounded | size.shared << 1 | size.wide << 2
    return bytes([flags]) + number(size.minimum) + (number(size.maximum) if size.maximum is not None else b"")
