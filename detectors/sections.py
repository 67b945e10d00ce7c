"""The binary format's outline: what a module imports, exports and declares, read from its sections.

wasmtime's own reading of a module compiles all of it first (a second for a Go plugin), and its binding to Python ends
the whole process at a signature with a vector or a reference of the garbage-collection proposal in it. This walker
reads the small sections and steps over code and data. It is no validator: it is meant for bytes that wasmtime has
validated, raises on whatever it does not know, and bounds its work for hostile input.

Encodings: WebAssembly 3.0, binary format, section 5.5 (modules).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from detectors.binary import Reader, Word
from detectors.bounds import USUAL, InspectionBounds
from detectors.formats import HEADER, SUSPECT, ModuleError
from detectors.framing import Place, SectionId, Span, read_header

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Limits", "Sections", "Signature", "read_sections"]

#: Parameters and results, each a tuple of value types in the text format's words.
Signature = tuple[tuple[str, ...], tuple[str, ...]]

#: The sections that are read; the others are stepped over.
_READ = frozenset(SectionId) - {
    SectionId.CUSTOM,
    SectionId.ELEMENT,
    SectionId.CODE,
    SectionId.DATA,
    SectionId.DATA_COUNT,
    SectionId.TAG,
}
_KINDS = ("function", "table", "memory", "global", "tag")


@attrs.frozen
class Limits:
    """The size of a memory, in pages of 64 KiB, or of a table, in entries.

    Attributes:
        minimum: What there is from the beginning.
        shared: Whether threads may share it.
        wide: Whether its indices have 64 bits.
        maximum: What there may be at the end; None if the module does not say.
        span: Where this is written, from the beginning of its section's contents.
        reference: The type of a table's entries, as it is written; empty for a memory.
    """

    minimum: int
    shared: bool = False
    wide: bool = False
    maximum: int | None = attrs.field(default=None, eq=False)
    span: Span = attrs.field(default=(0, 0), eq=False, repr=False)
    reference: bytes = attrs.field(default=b"", eq=False, repr=False)


@attrs.frozen
class Sections:
    """The interface of a module, still in the indices of the binary format.

    Attributes:
        types: One row a type; None where it is a structure or an array.
        imports: (namespace, name, kind, type index); the index is None unless the kind is ``function``.
        functions: The type index of every function that the module defines.
        tables: The tables that it defines.
        memories: The memories that it defines.
        globals_: (value, whether it is mutable) of the globals that it defines; the value is None unless it is an
            integer that the module alone decides.
        import_types: Where the kind and the type of each import stand in the module.
        exports: (name, kind, index in the space of that kind).
        start: The index of the function that its start section calls; None if it has no such section.
        places: Where each section stands, in the module's order, but for the custom ones.
        customs: The first custom section of each wanted name.
        custom_sizes: The name of every custom section, cut, and its size in bytes.
    """

    types: tuple[Signature | None, ...] = ()
    imports: tuple[tuple[str, str, str, int | None], ...] = ()
    functions: tuple[int, ...] = ()
    tables: tuple[Limits, ...] = ()
    memories: tuple[Limits, ...] = ()
    globals_: tuple[tuple[Word, bool], ...] = ()
    exports: tuple[tuple[str, str, int], ...] = ()
    import_types: tuple[Span, ...] = ()
    start: int | None = None
    places: tuple[Place, ...] = ()
    customs: dict[str, bytes] = attrs.field(factory=dict)
    custom_sizes: tuple[tuple[str, int], ...] = ()

    @property
    def elements(self) -> Span | None:
        """Where the body of its element section stands; None if it has none."""
        return self._body(SectionId.ELEMENT)

    @property
    def data(self) -> Span | None:
        """Where the body of its data section stands; None if it has none."""
        return self._body(SectionId.DATA)

    def place(self, identity: int) -> Place | None:
        """Return where the section of that identity stands; None if there is none."""
        return next((place for place in reversed(self.places) if place.identity == identity), None)

    def _body(self, identity: int) -> Span | None:
        place = self.place(identity)
        return None if place is None else (place.body, place.end)


def read_sections(data: bytes, customs: frozenset[str] = frozenset(), bounds: InspectionBounds = USUAL) -> Sections:
    """Read the interface of a core module.

    Args:
        data: The module, which wasmtime should have validated: the walker looks at nothing that it does not need.
        customs: The names of the custom sections to return.
        bounds: How much is read.

    Raises:
        ModuleError: ``truncated`` if a section is longer than the bytes that are left, ``too-large`` beyond the bounds.
        ValueError, IndexError: The bytes are not what the binary format says, or use an encoding unknown here.
    """
    places: list[Place] = []
    found: dict[str, bytes] = {}
    sizes: list[tuple[str, int]] = []
    reader = Reader(data, len(HEADER))
    for _ in range(bounds.max_sections + 1):  # once more, to see that nothing follows
        if reader.at == len(data):
            return _assembled(data, tuple(places), found, tuple(sizes), bounds)
        place = read_header(reader)
        if place.identity == SectionId.CUSTOM:
            name = _keep_custom(data[place.body : min(place.end, place.body + bounds.max_section)], customs, found)
            sizes.append((name, place.end - place.start))
        else:
            places.append(place)
        reader.at = place.end
    raise ModuleError("too-large", f"The module has more than {bounds.max_sections:,} sections", SUSPECT)


def _assembled(
    data: bytes,
    places: tuple[Place, ...],
    customs: dict[str, bytes],
    sizes: tuple[tuple[str, int], ...],
    bounds: InspectionBounds,
) -> Sections:
    read_places = {place.identity: place for place in places if place.identity in _READ}
    bodies = {
        identity: _bounded(data, place.body, place.end, bounds.max_section) for identity, place in read_places.items()
    }

    def read(identity: SectionId) -> Reader:
        return Reader(bodies.get(identity, b"\0"), max_instructions=bounds.max_instructions)

    first = read_places[SectionId.IMPORT].body if SectionId.IMPORT in read_places else 0
    imports, import_types = _imports(read(SectionId.IMPORT), first, bounds.max_imports)
    imported: list[Word] = [None for _, _, kind, _ in imports if kind == "global"]
    return Sections(
        types=_types(read(SectionId.TYPE)),
        imports=imports,
        functions=_functions(read(SectionId.FUNCTION)),
        tables=_tables(read(SectionId.TABLE), imported),
        memories=_memories(read(SectionId.MEMORY)),
        globals_=_globals(read(SectionId.GLOBAL), imported),
        exports=_exports(read(SectionId.EXPORT), bounds.max_exports),
        import_types=import_types,
        start=read(SectionId.START).number() if SectionId.START in bodies else None,
        places=places,
        customs=customs,
        custom_sizes=sizes,
    )


def _bounded(data: bytes, start: int, end: int, most: int) -> bytes:
    if end - start > most:
        raise ModuleError(
            "too-large",
            f"The section at offset {start:,} takes {end - start:,} bytes to declare types, imports or exports; "
            f"{most:,} are read",
            SUSPECT,
        )
    return data[start:end]


def _keep_custom(body: bytes, wanted: frozenset[str], found: dict[str, bytes]) -> str:
    """Keep a custom section if it is wanted. Returns its name, as far as it is one and no longer than a line."""
    reader = Reader(body)
    try:
        name = reader.name()
    except (IndexError, UnicodeDecodeError):
        return ""  # a name beyond the bound; it is none of the wanted ones
    if name in wanted:
        found.setdefault(name, body[reader.at :])
    return name[:_NAME]


_NAME = 120


def _types(reader: Reader) -> tuple[Signature | None, ...]:
    types: list[Signature | None] = []
    for _ in range(reader.number()):
        form = reader.byte()
        if form == 0x4E:  # a group of types that may refer to each other
            types.extend(_subtype(reader, reader.byte()) for _ in range(reader.number()))
        else:
            types.append(_subtype(reader, form))
    return tuple(types)


def _subtype(reader: Reader, form: int) -> Signature | None:
    if form in {0x50, 0x4F}:
        for _ in range(reader.number()):
            reader.number()
        form = reader.byte()
    if form == 0x60:
        return reader.value_types(), reader.value_types()
    if form == 0x5F:
        for _ in range(reader.number()):
            _global_type(reader)  # a field is written as a global is
        return None
    if form == 0x5E:
        _global_type(reader)
        return None
    raise ValueError(f"the unknown type form 0x{form:02x}")


def _count(reader: Reader, most: int, what: str) -> int:
    """How many entries follow: no more than are read."""
    count = reader.number()
    if count > most:
        raise ModuleError("too-large", f"The module has {count:,} {what}; {most:,} are read", SUSPECT)
    return count


def _imports(
    reader: Reader, first: int, most: int
) -> tuple[tuple[tuple[str, str, str, int | None], ...], tuple[Span, ...]]:
    """Read the imports, and where their types stand. The body begins at the offset ``first`` of the module."""
    imports: list[tuple[str, str, str, int | None]] = []
    spans: list[Span] = []
    for _ in range(_count(reader, most, "imports")):
        namespace, name, start = reader.name(), reader.name(), reader.at
        kind = _kind(reader)
        imports.append((namespace, name, kind, _IMPORTED[kind](reader)))
        spans.append((first + start, first + reader.at))
    return tuple(imports), tuple(spans)


def _kind(reader: Reader) -> str:
    code = reader.byte()
    if code >= len(_KINDS):
        raise ValueError(f"the unknown kind 0x{code:02x} of an import or export")
    return _KINDS[code]


def _limits(reader: Reader) -> Limits:
    flags = reader.byte()
    if flags > 7:
        raise ValueError(f"the unknown limits 0x{flags:02x}")
    start = reader.at - 1
    minimum = reader.number()
    maximum = reader.number() if flags & 1 else None
    return Limits(minimum, bool(flags & 2), bool(flags & 4), maximum, (start, reader.at))


def _table_type(reader: Reader) -> None:
    reader.value_type()
    _limits(reader)


def _memory_type(reader: Reader) -> None:
    _limits(reader)


def _global_type(reader: Reader) -> None:
    reader.value_type()
    reader.byte()


def _tag_type(reader: Reader) -> None:
    reader.byte()
    reader.number()


_IMPORTED: dict[str, Callable[[Reader], int | None]] = {
    "function": Reader.number,
    "table": _table_type,
    "memory": _memory_type,
    "global": _global_type,
    "tag": _tag_type,
}


def _functions(reader: Reader) -> tuple[int, ...]:
    return tuple(reader.number() for _ in range(reader.number()))


def _tables(reader: Reader, imported: list[Word]) -> tuple[Limits, ...]:
    tables = []
    for _ in range(reader.number()):
        has_value = reader.data[reader.at] == 0x40
        if has_value:
            reader.take(2)
        start = reader.at
        reader.value_type()
        reference = reader.data[start : reader.at]
        tables.append(attrs.evolve(_limits(reader), reference=reference))
        if has_value:
            reader.constant(imported)
    return tuple(tables)


def _memories(reader: Reader) -> tuple[Limits, ...]:
    return tuple(_limits(reader) for _ in range(reader.number()))


def _globals(reader: Reader, imported: list[Word]) -> tuple[tuple[Word, bool], ...]:
    known = list(imported)
    found: list[tuple[Word, bool]] = []
    for _ in range(reader.number()):
        reader.value_type()
        mutable = bool(reader.byte())
        known.append(reader.constant(known))
        found.append((known[-1], mutable))
    return tuple(found)


def _exports(reader: Reader, most: int) -> tuple[tuple[str, str, int], ...]:
    count = _count(reader, most, "exports")
    return tuple((reader.name(), _kind(reader), reader.number()) for _ in range(count))
