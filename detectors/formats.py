"""What the bytes really are, told from their first few: a core WebAssembly module, or something else under its name.

A table of wrong artefacts, each with its mark and its remedy. It looks at the beginning of the bytes only and judges
no module; that is wasmtime's office. It also declares the error of a module that cannot be read at all.
"""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import attrs

from detectors.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FORMATS", "HEADER", "SUSPECT", "Format", "ModuleError", "check_format"]

#: How every core module begins: the magic number and version 1.
HEADER = b"\0asm\x01\0\0\0"
#: What to do with a module beyond the bounds of what is read.
SUSPECT = "No compiler writes such a module; ask where it comes from before trusting it"

_COMPONENT_LAYER = b"\x01\x00"
_LOOKED_AT = 512
_PRINTABLE = frozenset(string.printable.encode()) | frozenset(range(0x80, 0x100))


class ModuleError(PluginError):
    """The bytes are no core module that can be read.

    Attributes:
        slug: The name of the finding, as in :class:`detectors.diagnostics.Diagnostic`.
    """

    def __init__(self, slug: str, message: str, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.slug = slug

    def __reduce__(self) -> tuple[type[ModuleError], tuple[str, str, str]]:
        return type(self), (self.slug, self.message, self.remedy)


@attrs.frozen
class Format:
    """One kind of bytes that is no core module.

    Attributes:
        slug: The name of the finding.
        what: What the bytes are, as the object of a sentence.
        matches: Recognises it by the first bytes (at most 512).
        remedy: What the reader can do about it.
    """

    slug: str
    what: str
    matches: Callable[[bytes], bool]
    remedy: str


def _starts(*marks: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(marks)


def _reads(*marks: bytes) -> Callable[[bytes], bool]:
    return lambda head: _text(head).startswith(marks)


def _text(head: bytes) -> bytes:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()


def _is_truncated(head: bytes) -> bool:
    return len(head) < len(HEADER) and HEADER.startswith(head)


def _is_component(head: bytes) -> bool:
    return head.startswith(b"\0asm") and head[6:8] == _COMPONENT_LAYER


def _is_printable(head: bytes) -> bool:
    return _PRINTABLE.issuperset(head)


_BUILD_FOR_WASI = "Build for WASI; in Go: GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o plugin.wasm"
_UNPACK = "Unpack it first and load the .wasm inside"
_DOWNLOAD = "Download or copy the .wasm again and compare its size with the original"
_NO_PLUGIN = "Load the .wasm that the plugin's build wrote"

#: The wrong artefacts that plugin files turn out to be, the more exact mark first.
FORMATS: tuple[Format, ...] = (
    Format("not-wasm", "an empty file", lambda head: not head, _DOWNLOAD),
    Format("truncated", "the first bytes of a WebAssembly module and nothing more", _is_truncated, _DOWNLOAD),
    Format(
        "component",
        "a WebAssembly component",
        _is_component,
        "Build a core module for WASI preview 1 (Rust: wasm32-wasip1), or take it out of the component with "
        "`wasm-tools component unbundle`",
    ),
    Format(
        "text-format",
        "WebAssembly text (WAT), not the binary format",
        _reads(b"(module", b"(component", b"(;", b";;"),
        "Translate it with `wat2wasm` or `wasm-tools parse` and load the result",
    ),
    Format("compressed", "gzip data", _starts(b"\x1f\x8b"), _UNPACK),
    Format("compressed", "a zip archive", _starts(b"PK\x03\x04", b"PK\x05\x06"), _UNPACK),
    Format("compressed", "zstd data", _starts(b"\x28\xb5\x2f\xfd"), _UNPACK),
    Format("compressed", "xz data", _starts(b"\xfd7zXZ\0"), _UNPACK),
    Format("compressed", "bzip2 data", _starts(b"BZh"), _UNPACK),
    Format(
        "html",
        "an HTML page, probably an error page saved by a download",
        _reads(b"<!doctype html", b"<html", b"<head", b"<body"),
        "Check the address it was downloaded from; a release page is not the release's file",
    ),
    Format(
        "not-wasm",
        "a pointer of Git LFS, not the file it points to",
        _starts(b"version https://git-lfs."),
        "Run `git lfs pull` and load the file again",
    ),
    Format("not-wasm", "a native program (ELF)", _starts(b"\x7fELF"), _BUILD_FOR_WASI),
    Format("not-wasm", "a native program (Mach-O)", _starts(b"\xcf\xfa\xed\xfe"), _BUILD_FOR_WASI),
    Format("not-wasm", "a native program (Windows)", _starts(b"MZ"), _BUILD_FOR_WASI),
    Format("not-wasm", "plain text", _is_printable, _NO_PLUGIN),
)


def check_format(data: bytes) -> None:
    """Return if ``data`` begins as a core module does.

    Raises:
        ModuleError: It does not. The error says what the bytes are instead, or shows the first of them.
    """
    if data.startswith(HEADER):
        return
    head = data[:_LOOKED_AT]
    for row in FORMATS:
        if row.matches(head):
            raise ModuleError(row.slug, f"Not a core WebAssembly module but {row.what}", row.remedy)
    if head.startswith(HEADER[:4]):
        version = int.from_bytes(head[4:8], "little")
        raise ModuleError(
            "not-wasm",
            f"A WebAssembly binary of the unknown version {version}",
            "Build a core module, whose version is 1",
        )
    first = head[:4].hex(" ")
    raise ModuleError("not-wasm", f"Not a WebAssembly module: it begins with the bytes {first}", _NO_PLUGIN)
