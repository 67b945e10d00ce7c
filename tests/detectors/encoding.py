"""The binary format written by hand, for modules that no assembler writes."""

from __future__ import annotations

from benchmarks.fuzz import leb, section
from detectors.formats import HEADER

__all__ = [
    "custom",
    "leb",
    "module_of",
    "padded",
    "padded_with",
    "producers",
    "section",
    "signed_leb",
    "slow_to_validate",
]


def signed_leb(value: int) -> bytes:
    """A signed number."""
    out = bytearray()
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value & 0x7F])


def padded(number: bytes, size: int) -> bytes:
    """The same number in so many bytes, or in as many as it has if these are more. Its last bit is its sign."""
    sign = number[-1] & 0x40
    return padded_with(number, size, 0x7F if sign else 0)


def padded_with(number: bytes, size: int, last: int) -> bytes:
    """The same number with filling of the one sort or the other."""
    missing = size - len(number)
    if missing <= 0:
        return number
    return number[:-1] + bytes([number[-1] | 0x80]) + bytes([last | 0x80]) * (missing - 1) + bytes([last])


def custom(name: bytes, rest: bytes = b"") -> bytes:
    """A custom section."""
    return section(0, leb(len(name)) + name + rest)


def module_of(*sections: bytes) -> bytes:
    """A module."""
    return HEADER + b"".join(sections)


def producers(*entries: tuple[str, str]) -> bytes:
    """The body of a section ``producers`` behind its name."""

    def text(value: str) -> bytes:
        return leb(len(value.encode())) + value.encode()

    return b"\x01" + text("processed-by") + leb(len(entries)) + b"".join(text(a) + text(b) for a, b in entries)


def slow_to_validate(*, seconds: float) -> bytes:
    """A small valid module on which wasmtime works for about so long, or longer.

    It branches to a block with a thousand results, of which the validator looks at each for every target.
    """
    types = section(1, leb(2) + b"\x60\0\0" + b"\x60\0" + leb(1_000) + b"\x7f" * 1_000)
    targets = 1_000
    branch = b"\x41\0\x0e" + leb(targets) + b"\0" * targets + b"\0"
    body = b"\0\x02\x01\0" + branch * int(100 * seconds) + b"\x0b" + b"\x1a" * 1_000 + b"\x0b"
    return module_of(types, section(3, b"\x01\0"), section(10, leb(1) + leb(len(body)) + body))
