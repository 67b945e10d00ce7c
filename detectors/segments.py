"""Whether a module's initial data and elements fit into its memories and tables.

A segment that does not fit is valid, and makes instantiation trap: an engine finds it only then. Here it is computed
from the constant offsets. A Go plugin has 40,000 data segments, too many to read one by one in the time that there is,
so a single search for an offset that could lie too high goes first; only if it finds one are they read.

Encodings: WebAssembly 3.0, binary format, sections 5.5.12 (elements) and 5.5.14 (data).
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import attrs

from detectors.binary import Reader, Word
from detectors.bounds import USUAL, InspectionBounds
from detectors.formats import SUSPECT, ModuleError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectors.framing import Span
    from detectors.sections import Limits, Sections

__all__ = ["PAGE", "Misplaced", "misplaced"]

#: The size of a page of memory, in bytes.
PAGE = 65_536


@attrs.frozen
class Misplaced:
    """A segment that reaches beyond its memory or table.

    Attributes:
        what: ``data`` or ``element``.
        index: Which of these segments it is, from 0.
        offset: Where it begins: a byte of its memory, or an entry of its table.
        size: How long it is.
        capacity: What the memory or table holds from the beginning.
    """

    what: str
    index: int
    offset: int
    size: int
    capacity: int


def misplaced(data: bytes, sections: Sections, bounds: InspectionBounds = USUAL) -> tuple[Misplaced, ...]:
    """Return the first data segment and the first element segment that do not fit.

    A module that imports a memory, table or global is not looked at: their sizes and values are unknown.

    Args:
        data: The module, validated.
        sections: What was read of it.
        bounds: How much is read.

    Raises:
        ModuleError: ``too-large`` beyond the bounds.
        ValueError, IndexError: It uses an encoding unknown here.
    """
    if any(kind in {"table", "memory", "global"} for _, _, kind, _ in sections.imports):
        return ()
    words = [value for value, _ in sections.globals_]
    found: list[Misplaced] = []
    if sections.elements is not None:
        reader = Reader(data, sections.elements[0], max_instructions=bounds.max_instructions)
        found += _first(_elements(reader, words), "element", sections.tables, 1)
    if sections.data is not None and not _surely_fits(data, sections.data, sections):
        reader = Reader(data, sections.data[0], max_instructions=bounds.max_instructions)
        found += _first(_data(reader, words), "data", sections.memories, PAGE)
    return tuple(found)


#: Of an active segment: its index, that of its memory or table, its offset and its size.
_Placed = tuple[int, int, Word, int]


def _first(segments: Iterator[_Placed], what: str, homes: tuple[Limits, ...], unit: int) -> list[Misplaced]:
    for index, home, offset, size in segments:
        capacity = homes[home].minimum * unit
        if offset is not None and offset + size > capacity:
            return [Misplaced(what, index, offset, size, capacity)]
    return []


def _bounded(count: int) -> int:
    if count > _MOST_SEGMENTS:
        raise ValueError(f"{count:,} segments")
    return count


_MOST_SEGMENTS = 100_000  # which is what wasmtime accepts


def _data(reader: Reader, words: list[Word]) -> Iterator[_Placed]:
    for index in range(_bounded(reader.number())):
        flags = reader.number()
        memory = reader.number() if flags == 2 else 0
        offset = reader.constant(words) if flags != 1 else None
        size = reader.number()
        reader.at += size
        if flags != 1:
            yield index, memory, offset, size


def _elements(reader: Reader, words: list[Word]) -> Iterator[_Placed]:
    count = _bounded(reader.number())
    for index in range(count):
        flags = reader.number()
        active = not flags & 1
        table = reader.number() if active and flags & 2 else 0
        offset = reader.constant(words) if active else None
        if flags & 4 and flags & 3:
            reader.value_type()
        elif flags & 3:
            reader.byte()
        size = reader.number()
        if active:
            yield index, table, offset, size
        if index < count - 1:
            _skip_items(reader, size, expressions=bool(flags & 4))


def _skip_items(reader: Reader, count: int, *, expressions: bool) -> None:
    usual = _REFERENCES if expressions else _INDICES
    while count >= _BATCH and (match := usual.match(reader.data, reader.at)) is not None:
        reader.at = match.end()
        count -= _BATCH
    if count > _MOST_ODD:
        raise ModuleError("too-large", f"The module has more than {_MOST_ODD:,} elements of an unusual form", SUSPECT)
    for _ in range(count):
        if expressions:
            reader.constant(_UNKNOWN)
        else:
            reader.number()


class _Unknown(list[Word]):
    """Globals of which nobody knows the value."""

    def __getitem__(self, _: object) -> None:  # type: ignore[override]
        return None


_UNKNOWN = _Unknown()
_BATCH = 256
_MOST_ODD = 100_000
_LEB = rb"[\x80-\xff]{0,9}[\x00-\x7f]"
_INDICES = re.compile(rb"(?:%s){%d}" % (_LEB, _BATCH), re.DOTALL)
_REFERENCES = re.compile(rb"(?:[\x23\xd0\xd2]%s\x0b){%d}" % (_LEB, _BATCH), re.DOTALL)


def _surely_fits(data: bytes, span: Span, sections: Sections) -> bool:
    """Whether no data segment can reach beyond the memory, found without reading them one by one.

    Wherever in the section a segment's header may stand, it reads: a 0 (the flags, or the index of the memory), an
    i32.const, its number, an end, and the segment's size. One search passes over all that read like that and are
    low and small; the few others, most of them data that happens to look so, are looked at.
    """
    memories = sections.memories
    if len(memories) != 1 or memories[0].wide or not all(mutable for _, mutable in sections.globals_):
        return False
    capacity = memories[0].minimum * PAGE
    words = [value for value, _ in sections.globals_]
    suspects = _suspects(capacity - _SMALL).finditer(data, *span)
    for match in itertools.islice(suspects, _PATIENCE):
        reader = Reader(data[match.start() + 1 : match.start() + 1 + _HEADER])
        try:
            offset = reader.constant(words)
            fits = offset is not None and offset + reader.number() <= capacity
        except IndexError:
            fits = False  # longer than a header usually is
        except ValueError:
            fits = True  # no header at all
        if not fits:
            return False
    return next(suspects, None) is None


_PATIENCE, _HEADER = 1_000, 64
_SMALL = 1 << 14  # a size below it takes two bytes at most


def _suspects(limit: int) -> re.Pattern[bytes]:
    """Finds what may be a data segment, unless it is a small one at an offset below ``limit``.

    Offsets of three and four bytes are passed over, as in modules with many segments. Of the latter, the two highest
    bytes are compared, so a few below the limit are found as well.
    """
    last, before = divmod(max(limit, 0) >> 14, 0x80)
    low = []
    if limit >= 1 << 20:
        low.append(rb"[\x00-\x3f]")
    if last:
        low.append(rb"[\x80-\xff]" + _between(0, min(last, 0x40) - 1))
    if before and last < 0x40:
        low.append(_between(0x80, 0x80 | before - 1) + _between(last, last))
    safe = rb"[\x80-\xff]{2}(?:%s)\x0b(?:[\x00-\x7f]|[\x80-\xff][\x00-\x7f])" % b"|".join(low)
    return re.compile(rb"\x00\x41(?!%s)" % safe if low else rb"\x00\x41", re.DOTALL)


def _between(low: int, high: int) -> bytes:
    return b"[%s-%s]" % (re.escape(bytes([low])), re.escape(bytes([high])))
