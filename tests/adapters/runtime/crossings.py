"""Crossings as bytes, and a border that takes them: for what no guest of ours would send."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, cast

from adapters.companion.exchange import HOST_OPERATIONS

if TYPE_CHECKING:
    from adapters.companion.border import Border
    from adapters.runtime.engine import Window

__all__ = ["AT", "HEAD", "SEND", "FakeWindow", "answer_in", "crossing", "exchanged", "record"]

AT = 4_096
SEND = HOST_OPERATIONS["ws_send"]
HEAD = struct.Struct("<HHIIIIIqqq")


class FakeWindow:
    """Extism's memory with one block in it, the window at ``AT``."""

    def __init__(self, block: bytes, *, room_elsewhere: bool = True) -> None:
        self.blocks = {AT: bytearray(block)}
        self._room_elsewhere = room_elsewhere

    def length(self, offset: int) -> int:
        return len(self.blocks.get(offset, b""))

    def read(self, offset: int, length: int) -> bytes:
        assert length <= len(self.blocks[offset & -AT]) - offset % AT, "it read beyond the block"
        return bytes(self.blocks[offset & -AT][offset % AT :][:length])

    def write(self, offset: int, data: bytes) -> None:
        assert len(data) <= len(self.blocks[offset]), "it wrote beyond the block"
        self.blocks[offset][: len(data)] = data

    def alloc(self, size: int) -> int:
        if not self._room_elsewhere:
            return 0
        self.blocks[2 * AT] = bytearray(size)
        return 2 * AT


def record(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def crossing(
    operation: int,
    request: bytes = b"",
    records: bytes = b"",
    *,
    version: int = 2,
    left: int = 0,
    flags: int = 0,
    one: int = 0,
    other: int = 0,
    records_length: int | None = None,
    request_length: int | None = None,
    room: int = 1_024,
) -> bytes:
    """A block with a crossing; the lengths are the true ones unless others are given."""
    head = HEAD.pack(
        version,
        operation,
        room,
        len(records) if records_length is None else records_length,
        left,
        len(request) if request_length is None else request_length,
        flags,
        one,
        other,
        0,
    )
    return (head + records + request).ljust(room, b"\0")


def exchanged(border: Border, block: bytes, **options: Any) -> tuple[int, FakeWindow]:
    """Let a crossing come to a border: where its answer is, and the memory."""
    window = FakeWindow(block, **options)
    return border.exchange(cast("Window", window), AT), window


def answer_in(window: FakeWindow, at: int) -> bytes:
    """The bytes of the one answer in a block."""
    answers, flags, _, length, _ = struct.unpack_from("<IIQII", window.blocks[at])
    assert (answers, flags) == (1, 0 if at == AT else 2)
    return bytes(window.blocks[at][24 : 24 + length])
