"""The hot way from the bytes of a connection to its messages. It reads the simplest frames and leaves all others.

Nearly everything that exchanges send are whole, uncompressed data frames of less than 64 KiB. The library makes some
fifty Python calls to read one; here it takes three. So those are read on the spot, and any other (control frames,
fragments, compressed, long and wrong ones) goes to the library as it is, which judges it. The library sees each of
those from its first byte to its last, and both write to one inbox, so neither has to know how far the other has got.

It reads a share at a time, because a turn of the event loop belongs to all connections.
"""

from __future__ import annotations

from collections.abc import Callable

from adapters.net.inbox import Inbox

__all__ = ["FrameReader"]

# RFC 6455, section 5.2. The first byte of a frame: FIN, three reserved bits, the opcode.
_FIN, _OPCODE = 0x80, 0x0F
_LAST_DATA_OPCODE = 0x2  # continuation, text, binary
_TEXT, _BINARY = _SIMPLE = _FIN | 0x1, _FIN | 0x2  # whole and not compressed
# The second byte: the mask bit and the length, or how many bytes hold that.
_IN_TWO_BYTES, _IN_EIGHT_BYTES = 126, 127
_LONGEST = 2**16 - 1  # of those that are read here
_RUN = 2**12  # bytes of frames that the library gets together: compressed, they may become a thousand times as many


class FrameReader:
    """The bytes of one connection that were not read yet.

    Args:
        longest: Bytes that a message may have; ``None``: any number.
        inbox: Where messages go.
        library: Takes the bytes that are not read here; returns whether the connection is open after them.
    """

    def __init__(self, longest: int | None, inbox: Inbox, library: Callable[[bytes], bool]) -> None:
        self._longest = _LONGEST if longest is None else min(longest, _LONGEST)
        self._inbox = inbox
        self._library = library
        self._bytes = b""
        self._at = 0  # how many of those were read
        self._fragmented = False  # whether a message has begun that is not complete
        self._owed = 0  # bytes to come of the frame that the library has begun with
        self._over = False  # whether the library gets all the rest, because the connection ends

    def feed(self, data: bytes) -> None:
        """Add what has come."""
        self._bytes = self._bytes[self._at :] + data if self._bytes else data
        self._at = 0

    def read(self, frames: int, size: int) -> bool:
        """Read so many frames at most, and none once messages of ``size`` lie in the inbox.

        Args:
            frames: How many.
            size: In bytes, or characters of text.

        Returns:
            Whether it stopped for that, and not for want of bytes.
        """
        at, before = self._hand_over(self._at, self._at + self._owed), -1
        while before < at and frames and self._inbox.size < size and not self._over:
            before = at
            at, frames = self._read_simple(at, frames, size)
            at, frames = self._pass_others(at, frames)
        if self._over:
            at = self._hand_over(at, len(self._bytes))
        if at == len(self._bytes):
            self._bytes, at = b"", 0  # it may be much
        self._at = at
        self._inbox.wake()
        return at + 1 < len(self._bytes) and (not frames or self._inbox.size >= size)

    def _read_simple(self, at: int, frames: int, size: int) -> tuple[int, int]:
        """Read until there is something else. Returns where that begins, and how many frames may still be read."""
        if self._fragmented or self._over:
            return at, frames
        data, inbox, longest, append = self._bytes, self._inbox, self._longest, self._inbox.messages.append
        end = len(data)
        try:
            while frames and inbox.size < size and at + 2 <= end and (first := data[at]) in _SIMPLE:
                length, start = data[at + 1], at + 2
                if length == _IN_TWO_BYTES:
                    start += 2
                    length = int.from_bytes(data[at + 2 : start])
                elif length > _IN_TWO_BYTES:
                    break
                stop = start + length
                if stop > end or length > longest:
                    break
                message = data[start:stop].decode() if first == _TEXT else data[start:stop]
                append(message)
                inbox.size += len(message)
                frames -= 1
                at = stop
        except UnicodeDecodeError as error:
            inbox.break_off(error)
            self._over = True
        return at, frames

    def _pass_others(self, at: int, frames: int) -> tuple[int, int]:
        """Give the library the frames that are not simple. Returns the same as ``_read_simple``."""
        begin = stop = at
        while frames and stop - begin < _RUN and (head := self._head_at(stop)) is not None:
            first, length, after = head
            short = self._bytes[stop + 1] < _IN_EIGHT_BYTES and length <= self._longest
            if first in _SIMPLE and short and not self._fragmented:
                break
            if first & _OPCODE <= _LAST_DATA_OPCODE:
                self._fragmented = not first & _FIN
            stop = after
            frames -= 1
        return (self._hand_over(begin, stop) if begin < stop else at), frames

    def _head_at(self, at: int) -> tuple[int, int, int] | None:
        """The first byte of the frame, its length, and where it ends. ``None``: its head has not come yet."""
        data = self._bytes
        if at + 2 > len(data):
            return None
        first, length, start = data[at], data[at + 1], at + 2
        if length > _IN_EIGHT_BYTES:  # masked, which it must not be: the library needs no more to refuse it
            return first, _LONGEST + 1, start
        if length >= _IN_TWO_BYTES:
            start += 2 if length == _IN_TWO_BYTES else 8
            if start > len(data):
                return None
            length = int.from_bytes(data[at + 2 : start])
        return first, length, start + length

    def _hand_over(self, begin: int, stop: int) -> int:
        """Give the library what is there of these bytes, and remember what is not. Returns where the rest begins."""
        there = min(stop, len(self._bytes))
        self._owed = stop - there
        if there > begin:
            is_open = self._library(self._bytes[begin:there])
            self._over = self._over or not is_open or self._inbox.broken is not None
        return there
