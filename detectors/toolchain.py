"""Which compiler wrote a module, as far as the module tells: its ``producers`` section and Go's own marks.

Modules lose these marks when they are stripped, so no answer means nothing. Nothing here may decide whether a module
works; it only lets a finding name the right remedy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CUSTOM_SECTIONS", "Toolchain", "recognise"]

_GO_CUSTOMS = frozenset({"go:buildid", "go.buildid"})

#: The custom sections that :func:`recognise` wants to see.
CUSTOM_SECTIONS = _GO_CUSTOMS | {"producers"}

# A producer's entry in the section, and the toolchain it stands for; the more exact one first, since Rust and TinyGo
# link libraries that clang has built.
_PRODUCERS = (
    (b"TinyGo", "TinyGo"),
    (b"Go cmd/compile", "Go"),
    (b"rustc", "Rust"),
    (b"AssemblyScript", "AssemblyScript"),
    (b"clang", "C/C++"),
)
# What Go's linker puts around the build information, which is data of the program and survives `wasm-strip`.
_GO_DATA = (bytes.fromhex("3077af0c9274080241e1c107e6d618e6"), b"\xff Go buildinf:")


@attrs.frozen
class Toolchain:
    """A compiler.

    Attributes:
        name: ``Go``, ``TinyGo``, ``Rust``, ``AssemblyScript`` or ``C/C++``.
        version: As the compiler wrote it, ``go1.26.8`` say; None where the module does not tell.
    """

    name: str
    version: str | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name} ({self.version})"


def recognise(data: bytes, customs: Mapping[str, bytes]) -> Toolchain | None:
    """Return the toolchain that built a module, or None.

    Args:
        data: The whole module.
        customs: Its custom sections, those of :data:`CUSTOM_SECTIONS` at least.
    """
    producers = customs.get("producers", b"")
    for entry, name in _PRODUCERS:
        at = producers.find(bytes([len(entry)]) + entry)
        if at >= 0:
            return Toolchain(name, _version(producers[at + 1 + len(entry) :]))
    if not _GO_CUSTOMS.isdisjoint(customs) or any(mark in data for mark in _GO_DATA):
        return Toolchain("Go")
    return None


def _version(rest: bytes) -> str | None:
    """Read the text that follows a producer's name: one byte of length and that many letters."""
    text = rest[1 : 1 + rest[0]] if rest else b""
    version = text.decode("ascii", errors="replace")
    return version if version and version.isprintable() else None
