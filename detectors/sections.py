"""The binary format's outline: what a module imports and exports, read from its sections without compiling anything.

wasmtime's own reading of a module compiles all of it first (a second for a Go plugin), and its binding to Python ends
the whole process at a signature with a vector or a reference of the garbage-collection proposal in it. This walker
reads the four sections that make up the interface and steps over the rest. It is no validator: it is meant for bytes
that wasmtime has validated, raises on whatever it does not know, and bounds its work for hostile input.

Encodings: WebAssembly 3.0, binary format, sections 5.3 (types) and 5.5 (modules).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from detectors.formats import HEADER, ModuleError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_INTERFACE_SECTION", "MAX_SECTIONS", "Sections", "Signature", "read_sections"]

#: The largest type, import, function or export section that is read, in bytes. Those of a 4 MB Go plugin take 4 KB.
MAX_INTERFACE_SECTION = 1 << 20
#: The most sections that are stepped through. A Go plugin has 14.
MAX_SECTIONS = 10_000

#: Parameters and results, each a tuple of value types in the text format's words.
Signature = tuple[tuple[str, ...], tuple[str, ...]]

_CUSTOM, _TYPE, _IMPORT, _FUNCTION, _EXPORT = 0, 1, 2, 3, 7
_INTERFACE = frozenset({_TYPE, _IMPORT, _FUNCTION, _EXPORT})
_KINDS = ("function", "table", "memory", "global", "tag")

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


@attrs.frozen
class Sections:
    """The interface of a module, still in the indices of the binary format.

    Attributes:
        types: One row a type; None where it is a structure or an array.
        imports: (namespace, name, kind, type index); the index is None unless the kind is ``function``.
        functions: The type index of every function that the module defines.
        exports: (name, kind, index in the space of that kind).
        customs: The first custom section of each wanted name.
    """

    types: tuple[Signature | None, ...]
    imports: tuple[tuple[str, str, str, int | None], ...]
    functions: tuple[int, ...]
    exports: tuple[tuple[str, str, int], ...]
    customs: dict[str, bytes]


class _Reader:
    """A place in the bytes, moved on by reading. Runs off the end with IndexError."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def byte(self) -> int:
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

    def name(self) -> str:
        return self.take(self.number()).decode()

    def take(self, size: int) -> bytes:
        start, self.at = self.at, self.at + size
        if self.at > len(self.data):
            raise IndexError(f"{size} bytes announced at offset {start}, {len(self.data) - start} left")
        return self.data[start : self.at]


def read_sections(data: bytes, customs: frozenset[str] = frozenset()) -> Sections:
    """Read the interface of a core module.

    Args:
        data: The module, which wasmtime should have validated: the walker looks at nothing that it does not need.
        customs: The names of the custom sections to return.

    Raises:
        ModuleError: ``truncated`` if a section is longer than the bytes that are left, ``too-large`` beyond the bounds.
        ValueError, IndexError: The bytes are not what the binary format says, or use an encoding unknown here.
    """
    bodies: dict[int, bytes] = {}
    found: dict[str, bytes] = {}
    reader = _Reader(data, len(HEADER))
    for _ in range(MAX_SECTIONS):
        if reader.at == len(data):
            return Sections(
                types=_types(bodies.get(_TYPE, b"\0")),
                imports=_imports(bodies.get(_IMPORT, b"\0")),
                functions=_functions(bodies.get(_FUNCTION, b"\0")),
                exports=_exports(bodies.get(_EXPORT, b"\0")),
                customs=found,
            )
        identity, end = _section(reader)
        if identity in _INTERFACE:
            bodies[identity] = _bounded(data, reader.at, end)
        elif identity == _CUSTOM and customs:
            _keep_custom(data[reader.at : min(end, reader.at + MAX_INTERFACE_SECTION)], customs, found)
        reader.at = end
    raise ModuleError("too-large", f"The module has more than {MAX_SECTIONS:,} sections", _SUSPECT)


_SUSPECT = "No compiler writes such a module; ask where it comes from before trusting it"


def _section(reader: _Reader) -> tuple[int, int]:
    """Read a section's header: its identity and where its body, which begins here, ends."""
    start = reader.at
    try:
        identity, size = reader.byte(), reader.number()
    except IndexError:  # the bytes end within the header: one more would be needed at least
        identity, size = _CUSTOM, 1
    missing = reader.at + size - len(reader.data)
    if missing > 0:
        raise ModuleError(
            "truncated",
            f"The module is cut off: its section at offset {start:,} needs at least {missing:,} bytes "
            f"more than the {len(reader.data):,} that are there",
            "Download or copy the .wasm again and compare its size with the original",
        )
    return identity, reader.at + size


def _bounded(data: bytes, start: int, end: int) -> bytes:
    if end - start > MAX_INTERFACE_SECTION:
        raise ModuleError(
            "too-large",
            f"The section at offset {start:,} takes {end - start:,} bytes to declare types, imports or exports; "
            f"{MAX_INTERFACE_SECTION:,} are read",
            _SUSPECT,
        )
    return data[start:end]


def _keep_custom(body: bytes, wanted: frozenset[str], found: dict[str, bytes]) -> None:
    reader = _Reader(body)
    try:
        name = reader.name()
    except (IndexError, UnicodeDecodeError):
        return  # a name beyond the bound; it is none of the wanted ones
    if name in wanted:
        found.setdefault(name, body[reader.at :])


def _types(body: bytes) -> tuple[Signature | None, ...]:
    reader = _Reader(body)
    types: list[Signature | None] = []
    for _ in range(reader.number()):
        form = reader.byte()
        if form == 0x4E:  # a group of types that may refer to each other
            types.extend(_subtype(reader, reader.byte()) for _ in range(reader.number()))
        else:
            types.append(_subtype(reader, form))
    return tuple(types)


def _subtype(reader: _Reader, form: int) -> Signature | None:
    if form in {0x50, 0x4F}:
        for _ in range(reader.number()):
            reader.number()
        form = reader.byte()
    if form == 0x60:
        return _value_types(reader), _value_types(reader)
    if form == 0x5F:
        for _ in range(reader.number()):
            _global_type(reader)  # a field is written as a global is
        return None
    if form == 0x5E:
        _global_type(reader)
        return None
    raise ValueError(f"the unknown type form 0x{form:02x}")


def _value_types(reader: _Reader) -> tuple[str, ...]:
    return tuple(_value_type(reader) for _ in range(reader.number()))


def _value_type(reader: _Reader) -> str:
    code = reader.byte()
    if code in _NUMBERS:
        return _NUMBERS[code]
    if code in _HEAPS:
        return _reference(_HEAPS[code])
    if code not in {_REF, _REF_NULL}:
        raise ValueError(f"the unknown value type 0x{code:02x}")
    heap = _HEAPS.get(reader.data[reader.at])
    target = str(reader.number()) if heap is None else heap
    reader.at += heap is not None
    if code == _REF:
        return f"(ref {target})"
    return f"(ref null {target})" if heap is None else _reference(heap)


def _reference(heap: str) -> str:
    return _SHORT.get(heap, f"{heap}ref")


def _imports(body: bytes) -> tuple[tuple[str, str, str, int | None], ...]:
    reader = _Reader(body)
    imports: list[tuple[str, str, str, int | None]] = []
    for _ in range(reader.number()):
        namespace, name, kind = reader.name(), reader.name(), _kind(reader)
        imports.append((namespace, name, kind, _IMPORTED[kind](reader)))
    return tuple(imports)


def _kind(reader: _Reader) -> str:
    code = reader.byte()
    if code >= len(_KINDS):
        raise ValueError(f"the unknown kind 0x{code:02x} of an import or export")
    return _KINDS[code]


def _table_type(reader: _Reader) -> None:
    _value_type(reader)
    _memory_type(reader)


def _memory_type(reader: _Reader) -> None:
    flags = reader.byte()
    if flags > 7:
        raise ValueError(f"the unknown limits 0x{flags:02x}")
    for _ in range(1 + (flags & 1)):
        reader.number()


def _global_type(reader: _Reader) -> None:
    _value_type(reader)
    reader.byte()


def _tag_type(reader: _Reader) -> None:
    reader.byte()
    reader.number()


_IMPORTED: dict[str, Callable[[_Reader], int | None]] = {
    "function": _Reader.number,
    "table": _table_type,
    "memory": _memory_type,
    "global": _global_type,
    "tag": _tag_type,
}


def _functions(body: bytes) -> tuple[int, ...]:
    reader = _Reader(body)
    return tuple(reader.number() for _ in range(reader.number()))


def _exports(body: bytes) -> tuple[tuple[str, str, int], ...]:
    reader = _Reader(body)
    return tuple((reader.name(), _kind(reader), reader.number()) for _ in range(reader.number()))
