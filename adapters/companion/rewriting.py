"""A guest rewritten so that it can be linked beside the companion: its names, and nothing else.

What it imports from Extism's kernel, from the host and from some of WASI is renamed to what the companion exports.
Exports that wasmtime's linker would run by itself get other names, and the start section becomes an export: so the
host calls them as it calls anything else. Tables that reach a ceiling are exported, so that their sizes can be told. No
index moves: code, types and data stay byte for byte, and are copied once.

The bytes are those that the detector has validated. Others are rewritten to something else invalid, or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import attrs

from adapters.companion.trampoline import CALLABLE, Table, Types, Wrapped, trampoline
from adapters.companion.writing import contents, export, limits, name, section
from adapters.runtime.errors import CompanionError
from detectors.binary import Reader
from detectors.companion import COMPAT, RESERVED_EXPORT, SHIM_FUNCTIONS, Shape, refused, shape_of_sections, without_shim
from detectors.formats import ModuleError, check_format
from detectors.framing import SectionId
from detectors.module import FunctionType
from detectors.rules import KERNEL_NAMESPACE, NAMESPACES, WASI_NAMESPACE, host_function
from detectors.sections import Limits, Sections, read_sections
from detectors.wording import amount, shown

__all__ = ["INITIALISER_NAMES", "Ceilings", "RewrittenGuest", "can_be_called", "rewrite"]

#: What the function of a start section is exported as.
START = f"{RESERVED_EXPORT}start"
#: What ``_initialize`` is exported as.
INITIALISE = f"{RESERVED_EXPORT}init"
#: What `main` exports ``__wasm_call_ctors`` as.
CONSTRUCTORS = f"{RESERVED_EXPORT}ctors"
#: What `main` exports ``hs_init`` as, without its two parameters.
HASKELL = f"{RESERVED_EXPORT}hs_init"

#: What a table is exported as, by its index.
TABLE = f"{RESERVED_EXPORT}table_{{}}"

#: What the exports that initialise a module are called by people.
INITIALISER_NAMES = {
    START: "the start section",
    INITIALISE: "_initialize",
    CONSTRUCTORS: "__wasm_call_ctors",
    HASKELL: "hs_init",
}

#: The exports that wasmtime's linker would run, and what they are called instead.
_RENAMED_EXPORTS = {"_initialize": INITIALISE, "_start": f"{RESERVED_EXPORT}main"}
_HS_INIT = FunctionType(("i32", "i32"), ())
#: What is initialisation, in the order in which it runs: the export of `main`, that of the guest, its signatures.
_INITIALISERS = (
    (START, START, CALLABLE),
    (INITIALISE, "_initialize", CALLABLE),
    (CONSTRUCTORS, "__wasm_call_ctors", CALLABLE),
    (HASKELL, "hs_init", (_HS_INIT,)),
)
_NEVER_WRAPPED = {*_RENAMED_EXPORTS, *(inner for _, inner, _ in _INITIALISERS)}
_PAGE = 65_536  # bytes
_MOST_NARROW = {SectionId.MEMORY: 2**16, SectionId.TABLE: 2**32 - 1}  # what 32 bits can say, in pages and entries
#: The sections before which the export section has to stand.
_BEHIND_EXPORTS = {
    SectionId.START,
    SectionId.ELEMENT,
    SectionId.DATA_COUNT,
    SectionId.CODE,
    SectionId.DATA,
}


@attrs.frozen
class Ceilings:
    """How large a guest may become.

    Attributes:
        memory: Bytes of each of its memories.
        table: Entries of each of its tables.
    """

    memory: int = 256 * 2**20
    table: int = 1_000_000


@attrs.frozen
class RewrittenGuest:
    """A guest that is ready to be linked.

    Attributes:
        wasm: The guest, to be linked as ``compat:guest``.
        main: The module ``main``, generated for it.
        exports: The names that ``main`` exports for calls: those of the guest's functions ``() -> i32`` and
            ``() -> ()``, without those that are initialisation.
        initialisers: The exports of ``main`` that have to be called first, in this order.
        shim: Whether ``compat:shim`` has to be linked.
    """

    wasm: bytes = attrs.field(repr=False)
    main: bytes = attrs.field(repr=False)
    exports: frozenset[str]
    initialisers: tuple[str, ...]
    shim: bool


def can_be_called(name: str, type_: object) -> bool:
    """Whether `main` exports a function of the guest's, so that it can be called by its name.

    Initialisation cannot, and no name with a zero byte: in C it would end there, and another function be called.
    """
    return type_ in CALLABLE and name not in _NEVER_WRAPPED and "\0" not in name


def rewrite(wasm: bytes, ceilings: Ceilings | None = None) -> RewrittenGuest:
    """Rewrite a guest, and generate what calls it.

    Args:
        wasm: The module.
        ceilings: How large its memories and tables may become; ``None``: as it says itself.

    Raises:
        CompanionError: The module is of a form that cannot be linked beside the companion, begins with more than it may
            have, or cannot be read.
    """
    try:
        check_format(wasm)
        sections = read_sections(wasm)
        shape = shape_of_sections(sections)
        _check(shape)
        if ceilings is not None:
            _check_sizes(sections, ceilings)
        shim = without_shim(shape) is None
        return _rewritten(wasm, sections, ceilings, shim=shim)
    except ModuleError as error:
        raise CompanionError("unreadable", error.message, error.remedy) from error
    except (ValueError, LookupError) as error:
        problem = f"The module cannot be read: {shown(str(error), limit=300)}"
        raise CompanionError("unreadable", problem, "See plugin-compat inspect for what it is") from error


def _check(shape: Shape) -> None:
    for form, subject in refused(shape):
        msg = f"The module {form.what}, so it cannot be linked ({subject})"
        raise CompanionError(form.name, msg, form.remedy)


def _check_sizes(sections: Sections, ceilings: Ceilings) -> None:
    memory = max((memory.minimum * _PAGE for memory in sections.memories), default=0)
    if memory > ceilings.memory:
        msg = f"The module begins with {amount(memory)} of memory, where a guest may have {amount(ceilings.memory)}"
        raise CompanionError("too-much-memory", msg, "Allow more: AdapterSettings(bounds=Bounds(guest_memory=...))")
    table = max((table.minimum for table in sections.tables), default=0)
    if table > ceilings.table:
        msg = f"The module begins with a table of {table:,} entries, where a guest's may have {ceilings.table:,}"
        raise CompanionError("too-large-table", msg, "Allow more: AdapterSettings(bounds=Bounds(guest_table=...))")


def _rewritten(wasm: bytes, sections: Sections, ceilings: Ceilings | None, *, shim: bool) -> RewrittenGuest:
    functions = dict(_functions(sections))
    initialisers = tuple(_initialisers(functions))
    wrapped = [
        Wrapped(text, text, type_, index)
        for text, (type_, index) in functions.items()
        if type_ is not None and can_be_called(text, type_)
    ]
    tables = [
        Table(TABLE.format(index), sections.tables[index].reference, sections.tables[index].wide)
        for index in _held(sections, ceilings)
    ]
    return RewrittenGuest(
        wasm=b"".join(_spliced(wasm, sections, ceilings, shim=shim)),
        main=trampoline([*initialisers, *wrapped], _types(wasm, sections), tables, shim=shim),
        exports=frozenset(function.name for function in wrapped),
        initialisers=tuple(function.name for function in initialisers),
        shim=shim,
    )


def _types(wasm: bytes, sections: Sections) -> Types:
    place = sections.place(SectionId.TYPE)
    if place is None:
        return Types()
    reader = Reader(wasm, place.body)
    entries = reader.number()
    return Types(wasm[reader.at : place.end], entries, len(sections.types))


def _functions(sections: Sections) -> Iterator[tuple[str, tuple[FunctionType | None, int]]]:
    """Yield the functions that a module exports, and its start function: their signatures and the indices of these."""
    imported = [type_ for _, _, _, type_ in sections.imports if type_ is not None]

    def type_of(index: int) -> tuple[FunctionType | None, int]:
        type_ = imported[index] if index < len(imported) else sections.functions[index - len(imported)]
        return _signature(sections, type_), type_

    if sections.start is not None:
        yield START, type_of(sections.start)
    for text, kind, index in sections.exports:
        if kind == "function":
            yield text, type_of(index)


def _signature(sections: Sections, type_: int) -> FunctionType | None:
    found = sections.types[type_]
    return None if found is None else FunctionType(*found)


def _initialisers(functions: dict[str, tuple[FunctionType | None, int]]) -> Iterator[Wrapped]:
    for text, inner, types in _INITIALISERS:
        if text == CONSTRUCTORS and "_initialize" in functions:
            continue  # which calls them
        type_, index = functions.get(inner, (None, 0))
        if type_ is not None and type_ in types:
            yield Wrapped(text, _RENAMED_EXPORTS.get(inner, inner), type_, index)


def _spliced(wasm: bytes, sections: Sections, ceilings: Ceilings | None, *, shim: bool) -> Iterator[bytes | memoryview]:
    """Yield the module in pieces: what stays, and between them what is written anew."""
    view = memoryview(wasm)
    at = 0
    for start, end, written in sorted(_changes(wasm, sections, ceilings, shim=shim)):
        yield view[at:start]
        yield written
        at = end
    yield view[at:]


def _changes(
    wasm: bytes, sections: Sections, ceilings: Ceilings | None, *, shim: bool
) -> Iterator[tuple[int, int, bytes]]:
    """Yield what stands in the module anew, each with the span that it takes the place of."""
    if ceilings is not None:
        yield from _lowered(wasm, sections, SectionId.TABLE, sections.tables, ceilings.table)
        yield from _lowered(wasm, sections, SectionId.MEMORY, sections.memories, ceilings.memory // _PAGE)
    imports = list(_imports(sections, shim=shim))
    place = sections.place(SectionId.IMPORT)
    if place is not None and imports != [item[:2] for item in sections.imports]:
        rows = zip(imports, sections.import_types, strict=True)
        written = [name(namespace) + name(text) + wasm[start:end] for (namespace, text), (start, end) in rows]
        yield place.start, place.end, section(SectionId.IMPORT, written)
    exports = list(_exports(sections, ceilings, shim=shim))
    if exports != list(sections.exports):
        place = sections.place(SectionId.EXPORT)
        if place is None:
            later = (place.start for place in sections.places if place.identity in _BEHIND_EXPORTS)
            start = end = next(later, len(wasm))
        else:
            start, end = place.start, place.end
        yield start, end, section(SectionId.EXPORT, [export(*item) for item in exports])
    place = sections.place(SectionId.START)
    if place is not None:
        yield place.start, place.end, b""


def _lowered(
    wasm: bytes, sections: Sections, identity: SectionId, rows: Sequence[Limits], most: int
) -> Iterator[tuple[int, int, bytes]]:
    """Yield the section of memories or tables with lower maxima, where one of them is above what may be."""
    place = sections.place(identity)
    if place is None or not any(_passes(row, most) for row in rows):
        return
    at, body = place.body, b""
    for row in rows:
        start, end = row.span
        may = most if row.wide else min(most, _MOST_NARROW[identity])
        maximum = may if row.maximum is None else min(row.maximum, may)
        body += wasm[at : place.body + start] + limits(attrs.evolve(row, maximum=maximum))
        at = place.body + end
    yield place.start, place.end, contents(identity, body + wasm[at : place.end])


def _passes(size: Limits, most: int) -> bool:
    """Whether a memory or a table might become larger than it may, by what it says itself."""
    return size.maximum is None or size.maximum > most


def _held(sections: Sections, ceilings: Ceilings | None) -> Iterator[int]:
    """Yield the indices of the tables that a ceiling keeps from growing; none is imported."""
    if ceilings is not None:
        yield from (index for index, table in enumerate(sections.tables) if _passes(table, ceilings.table))


def _exports(sections: Sections, ceilings: Ceilings | None, *, shim: bool) -> Iterator[tuple[str, str, int]]:
    for text, kind, index in sections.exports:
        yield _RENAMED_EXPORTS.get(text, text), kind, index
    if shim and not any(text == "memory" for text, _, _ in sections.exports):
        yield "memory", "memory", 0
    if sections.start is not None:
        yield START, "function", sections.start
    yield from ((TABLE.format(index), "table", index) for index in _held(sections, ceilings))


def _imports(sections: Sections, *, shim: bool) -> Iterator[tuple[str, str]]:
    for namespace, text, _, type_ in sections.imports:
        renamed = _RENAMERS.get(namespace)
        signature = None if type_ is None else _signature(sections, type_)
        new = renamed(text, signature, shim) if renamed is not None and signature is not None else None
        yield (namespace, text) if new is None else (COMPAT, new)


def _of_kernel(text: str, _signature: FunctionType, _shim: bool) -> str:
    return f"env.{text}"


def _of_host(text: str, signature: FunctionType, _shim: bool) -> str | None:
    function = host_function(text)
    if function is None:
        return None
    index = function.accepted.index(signature) if signature in function.accepted else 0
    return f"host.{text}.{index}" if index else f"host.{text}"


def _of_wasi(text: str, _signature: FunctionType, shim: bool) -> str | None:
    return f"wasi.{text}" if text == "proc_exit" or (shim and text in SHIM_FUNCTIONS) else None


#: How the functions of a namespace are called in the companion; None for one that it does not have.
_RENAMERS: dict[str, Callable[[str, FunctionType, bool], str | None]] = {
    KERNEL_NAMESPACE: _of_kernel,
    **dict.fromkeys(NAMESPACES, _of_host),
    WASI_NAMESPACE: _of_wasi,
}
