"""The letters of the binary format: bytes, numbers, names, value types and constant expressions, read one by one.

A :class:`Reader` is a place in the bytes. It runs off the end with IndexError and raises ValueError at an encoding that
it does not know; what the letters mean together is read by :mod:`detectors.sections`.

Encodings: WebAssembly 3.0, binary format, sections 5.2 (values), 5.3 (types) and 5.4.9 (expressions).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectors.bounds import USUAL
from detectors.formats import SUSPECT, ModuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Reader", "Word"]

_NUMBERS = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x78: "i8", 0x77: "i16"}
_HEAPS = {
    0x74: "noexn",
    0x73: "nofunc",
    0x72: "noextern",
    0x71: "none",
    0x70: "func",
    0x6F: "extern",
    0x6E: "any",
    0x6D: "eq",
    0x6C: "i31",
    0x6B: "struct",
    0x6A: "array",
    0x69: "exn",
}
_SHORT = {"noexn": "nullexnref", "nofunc": "nullfuncref", "noextern": "nullexternref", "none": "nullref"}
_REF_NULL, _REF = 0x63, 0x64

#: A number on the stack of a constant expression; None where it is a reference, a float or a vector.
Word = int | None


class Reader:
    """A place in the bytes, moved on by reading.

    Args:
        data: The bytes.
        at: Where to begin.
        max_instructions: How many instructions of constant expressions it evaluates, all of them together.
    """

    __slots__ = ("_instructions", "_max_instructions", "at", "data")

    def __init__(self, data: bytes, at: int = 0, *, max_instructions: int = USUAL.max_instructions) -> None:
        self.data = data
        self.at = at
        self._instructions = 0
        self._max_instructions = max_instructions

    def byte(self) -> int:
        """Read one byte."""
        value = self.data[self.at]
        self.at += 1
        return value

    def number(self) -> int:
        """Read an unsigned LEB128 of up to 64 bits."""
        value = shift = 0
        while shift < 70:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise ValueError(f"a number longer than 64 bits at offset {self.at}")

    def signed(self) -> int:
        """Read a signed LEB128 of up to 64 bits."""
        start = self.at
        value = self.number()
        bits = 7 * (self.at - start)
        return value - (1 << bits) if value >> (bits - 1) else value

    def name(self) -> str:
        """Read a text."""
        return self.take(self.number()).decode()

    def take(self, size: int) -> bytes:
        """Read so many bytes."""
        start, self.at = self.at, self.at + size
        if self.at > len(self.data):
            raise IndexError(f"{size} bytes announced at offset {start}, {len(self.data) - start} left")
        return self.data[start : self.at]

    def value_types(self) -> tuple[str, ...]:
        """Read a list of value types."""
        return tuple(self.value_type() for _ in range(self.number()))

    def value_type(self) -> str:
        """Read a value type; returns its name in the text format."""
        code = self.byte()
        if code in _NUMBERS:
            return _NUMBERS[code]
        if code in _HEAPS:
            return _reference(_HEAPS[code])
        if code not in {_REF, _REF_NULL}:
            raise ValueError(f"the unknown value type 0x{code:02x}")
        heap = _HEAPS.get(self.data[self.at])
        target = str(self.number()) if heap is None else heap
        self.at += heap is not None
        if code == _REF:
            return f"(ref {target})"
        return f"(ref null {target})" if heap is None else _reference(heap)

    def constant(self, globals_: Sequence[Word]) -> Word:
        """Evaluate a constant expression up to its end.

        Args:
            globals_: The values of the globals before it.

        Raises:
            ModuleError: ``too-large`` beyond the bound.
        """
        stack: list[Word] = []
        while (code := self.byte()) != _END:
            self._instructions += 1
            if self._instructions > self._max_instructions:
                most = f"{self._max_instructions:,}"
                msg = f"The constant expressions of one section take more than {most} instructions"
                raise ModuleError("too-large", msg, SUSPECT)
            if code == _GLOBAL_GET:
                stack.append(globals_[self.number()])
            elif code in _ARITHMETIC:
                right, left = stack.pop(), stack.pop()
                bits, operate = _ARITHMETIC[code]
                known = left is not None and right is not None
                stack.append(operate(left, right) & ((1 << bits) - 1) if known else None)  # type: ignore[arg-type]
            elif code == _PREFIX_VECTOR:
                self.number()
                self.take(16)
                stack.append(None)
            elif code == _PREFIX_GC:
                _skip_gc(self, stack)
            elif code in _PUSHES:
                stack.append(_PUSHES[code](self))
            else:
                raise ValueError(f"the unknown instruction 0x{code:02x} in a constant expression")
        return stack.pop()


def _reference(heap: str) -> str:
    return _SHORT.get(heap, f"{heap}ref")


_END, _GLOBAL_GET, _PREFIX_VECTOR, _PREFIX_GC = 0x0B, 0x23, 0xFD, 0xFB

# The width of the result in bits, and the operation.
_ARITHMETIC: dict[int, tuple[int, Callable[[int, int], int]]] = {
    0x6A: (32, int.__add__),
    0x6B: (32, int.__sub__),
    0x6C: (32, int.__mul__),
    0x7C: (64, int.__add__),
    0x7D: (64, int.__sub__),
    0x7E: (64, int.__mul__),
}


def _unknown(_: object) -> None:
    """What is no number counts for nothing."""


_PUSHES: dict[int, Callable[[Reader], Word]] = {
    0x41: lambda reader: reader.signed() & 0xFFFF_FFFF,
    0x42: lambda reader: reader.signed() & 0xFFFF_FFFF_FFFF_FFFF,
    0x43: lambda reader: _unknown(reader.take(4)),
    0x44: lambda reader: _unknown(reader.take(8)),
    0xD0: lambda reader: _unknown(reader.signed()),
    0xD2: lambda reader: _unknown(reader.number()),
}

# How many indices follow each instruction that makes an object: struct.new and struct.new_default, array.new,
# array.new_default and array.new_fixed, any.convert_extern, extern.convert_any and ref.i31.
_GC_INDICES = {0: 1, 1: 1, 6: 1, 7: 1, 8: 2, 26: 0, 27: 0, 28: 0}


def _skip_gc(reader: Reader, stack: list[Word]) -> None:
    """Step over an instruction that makes an object. What it takes may stay on the stack: only the top one counts."""
    code = reader.number()
    if code not in _GC_INDICES:
        raise ValueError(f"the unknown instruction 0xfb {code} in a constant expression")
    for _ in range(_GC_INDICES[code]):
        reader.number()
    stack.append(None)
