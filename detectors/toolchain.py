"""Which compiler wrote a module and with which plugin SDK, as far as the module tells.

Compilers leave a ``producers`` section, sections of their own, and names and data that no other writes. Modules lose
these marks when they are stripped, so no answer means nothing. It lets a finding name the right remedy; only one
finding rests on it, that a Go command cannot be called.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectors.sections import Sections

__all__ = ["CUSTOM_SECTIONS", "SDKS", "Sdk", "Toolchain", "recognise"]

_GO_CUSTOMS = frozenset({"go:buildid", "go.buildid"})

#: The custom sections that :func:`recognise` wants to see.
CUSTOM_SECTIONS = _GO_CUSTOMS | {"producers"}

#: The libraries that plugins are written with, by the path of their Go module: what tells most comes first.
SDKS = ("github.com/plusev-terminal/go-plugin-common", "github.com/extism/go-pdk", "github.com/extism/rust-pdk")

# A producer's entry in the section, and the toolchain it stands for; the more exact one first, since Rust and TinyGo
# link libraries that clang has built.
_PRODUCERS = (
    (b"TinyGo", "TinyGo"),
    (b"Go cmd/compile", "Go"),
    (b"rustc", "Rust"),
    (b"Zig", "Zig"),
    (b"AssemblyScript", "AssemblyScript"),
    (b"clang", "C/C++"),
)
# What Go's linker puts around the build information, which is data of the program and survives `wasm-strip`.
_GO_BEGINS, _GO_ENDS = (
    bytes.fromhex("3077af0c9274080241e1c107e6d618e6"),
    bytes.fromhex("f932433186182072008242104116d8f2"),
)
_GO_VERSION = re.compile(rb"\0(go1\.\d{1,3}(?:\.\d{1,3}|rc\d{1,2}|beta\d)?)\0")
# Where a panic in the standard library would say that it stands: data of the program, which survives stripping.
_RUST_LIBRARY = re.compile(rb"/rustc/[0-9a-f]{40}/library/")
_RUST_PDK = re.compile(rb"/extism-pdk-(\d{1,4}\.\d{1,4}\.\d{1,4})/")
_ASSEMBLYSCRIPT = "~lib/rt/".encode("utf-16-le")
_LONGEST_BUILD_INFORMATION = 1 << 16
_LONGEST_VERSION = 80  # characters
_SEARCHED = 16 << 20  # bytes


@attrs.frozen
class Sdk:
    """A library that plugins are written with.

    Attributes:
        name: The path of its module.
        version: As its build recorded it, ``v1.1.3`` say.
    """

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@attrs.frozen
class Toolchain:
    """A compiler.

    Attributes:
        name: ``Go``, ``TinyGo``, ``Rust``, ``Zig``, ``AssemblyScript``, ``C/C++``, ``JavaScript`` or ``Haskell``.
        version: As the compiler wrote it, ``go1.26.8`` say; None where the module does not tell.
        sdks: The plugin SDKs that were built in, where the module tells.
    """

    name: str
    version: str | None = None
    sdks: tuple[Sdk, ...] = ()

    def __str__(self) -> str:
        version = "" if self.version is None else f" {self.version.removeprefix(self.name.lower())}"
        return f"{self.name}{version}"


def recognise(data: bytes, sections: Sections) -> Toolchain | None:
    """Return the toolchain that built a module, or None.

    Args:
        data: The whole module.
        sections: What was read of it, with the custom sections of :data:`CUSTOM_SECTIONS`.
    """
    exported = {name for name, _, _ in sections.exports}
    interpreter = next((name for name, marks in _BY_EXPORTS if exported.issuperset(marks)), None)
    if interpreter is not None:  # these are built around a runtime that another compiler wrote
        return Toolchain(interpreter)
    producers = sections.customs.get("producers", b"")
    for entry, name in _PRODUCERS:
        at = producers.find(bytes([len(entry)]) + entry)
        if at >= 0:
            version = _version(producers[at + 1 + len(entry) :])
            return Toolchain(name, version, _SDK_READERS.get(name, _no_sdk)(data, sections))
    return _by_data(data, sections)


# Exports that only these write.
_BY_EXPORTS = (
    ("JavaScript", {"__arg_start", "__invoke"}),
    ("Haskell", {"hs_init"}),
)


def _by_data(data: bytes, sections: Sections) -> Toolchain | None:
    if not _GO_CUSTOMS.isdisjoint(sections.customs) or _find(data, sections, _GO_BEGINS) >= 0:
        version = _GO_VERSION.search(data, *_searched(sections))
        return Toolchain("Go", version[1].decode() if version else None, _go_sdks(data, sections))
    if _RUST_LIBRARY.search(data, *_searched(sections)):
        return Toolchain("Rust", None, _rust_sdks(data, sections))
    if _find(data, sections, _ASSEMBLYSCRIPT) >= 0 or _imports_abort(sections):
        return Toolchain("AssemblyScript")
    return None


def _imports_abort(sections: Sections) -> bool:
    """Whether a module imports what AssemblyScript calls when an assertion fails: message, file, line and column."""
    return any(
        (namespace, name) == ("env", "abort") and index is not None and sections.types[index] == (("i32",) * 4, ())
        for namespace, name, _, index in sections.imports
    )


def _searched(sections: Sections) -> tuple[int, int]:
    """Where marks are looked for: in the data, but not in all of a huge one."""
    start, end = sections.data or (0, 0)
    return start, min(end, start + _SEARCHED)


def _find(data: bytes, sections: Sections, mark: bytes) -> int:
    return data.find(mark, *_searched(sections))


def _go_sdks(data: bytes, sections: Sections) -> tuple[Sdk, ...]:
    """Read the lines ``dep <module> <version> <sum>`` of the build information."""
    start = _find(data, sections, _GO_BEGINS)
    if start < 0:
        return ()
    end = data.find(_GO_ENDS, start, start + _LONGEST_BUILD_INFORMATION)
    found: dict[str, str] = {}
    for line in data[start + len(_GO_BEGINS) : end].split(b"\n") if end >= 0 else ():
        kind, path, version, *_ = (*line.decode(errors="replace").split("\t", 3), "", "")
        if kind == "dep" and path in SDKS and version.isprintable() and 0 < len(version) <= _LONGEST_VERSION:
            found[path] = version
    return tuple(Sdk(path, found[path]) for path in SDKS if path in found)


def _rust_sdks(data: bytes, sections: Sections) -> tuple[Sdk, ...]:
    """Read the version from the paths of source files that a panic would name."""
    found = _RUST_PDK.search(data, *_searched(sections))
    return () if found is None else (Sdk(SDKS[2], found[1].decode()),)


def _no_sdk(_: bytes, __: Sections) -> tuple[Sdk, ...]:
    return ()


_SDK_READERS: dict[str, Callable[[bytes, Sections], tuple[Sdk, ...]]] = {"Go": _go_sdks, "Rust": _rust_sdks}


def _version(rest: bytes) -> str | None:
    """Read the text that follows a producer's name: one byte of length and that many letters."""
    text = rest[1 : 1 + rest[0]] if rest else b""
    version = text.decode("ascii", errors="replace").partition(" (")[0]
    return version if version and version.isprintable() else None
