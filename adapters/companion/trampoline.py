"""The module `main`: generated for each guest, it tells the companion where a call begins and where it ends.

Extism calls what `main` exports. Each of these functions calls ``begin`` of the companion, then the guest's function of
that name, then ``end``. Extism passes no arguments, so only functions ``() -> i32`` and ``() -> ()`` can be called.

Where the guest exports what handles messages, another export of `main` calls that for one message after the other, in
one call of Extism's, with ``next`` of the companion before each, and ``done`` after it, which says whether to go on.

Some names never stand among the exports of `main`, for Extism itself calls ``__wasm_call_ctors``, ``hs_init`` and
``_initialize`` of the module that it takes for the plugin (asked of Extism 1.41 with a module that counts); called by
the host as well, an initialisation would run twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from adapters.companion.writing import KINDS, export, limits, name, number, section, section_of
from detectors.companion import COMPAT, GUEST, SHIM
from detectors.formats import HEADER
from detectors.framing import SectionId
from detectors.module import FunctionType
from detectors.sections import Limits

__all__ = ["CALLABLE", "COLLECT", "HANDLER", "MESSAGES", "STATS", "Table", "Types", "Wrapped", "trampoline"]

#: The signatures under which Extism can call an export.
CALLABLE = (FunctionType((), ()), FunctionType((), ("i32",)))
#: An export ``() -> i32`` of every `main` that calls nothing of the guest's: what a call that trapped has left in the
#: companion crosses, and how large its memory and tables are.
COLLECT = "compat_collect"
#: An export ``() -> i32`` of every `main`: the companion outputs its figures.
STATS = "compat_stats"
#: The guest's export that handles a message.
HANDLER = "handle_stream_message"
#: An export ``() -> i32`` of `main`, where the guest has that one: it is called for one message after the other.
MESSAGES = "compat_messages"

_NO_RESULT, _CODE, _ENTRIES, _VERDICT = 0, 1, 2, 3
_OWN_TYPES = (b"\x60\x00\x00", b"\x60\x00\x01\x7f", b"\x60\x01\x7e\x00", b"\x60\x01\x7f\x01\x7f")
_ZERO, _OVER = b"\x41\x00", b"\x0b"
_TABLE_SIZE, _EXTEND = b"\xfc\x10", b"\xad"  # i64.extend_i32_u
_LOOP, _AGAIN = b"\x03\x40", b"\x0d\x00"  # without a result; br_if 0
_NO_LOCALS = b"\x00"


@attrs.frozen
class Wrapped:
    """One function of the guest, and what `main` exports for it.

    Attributes:
        name: The export of `main`.
        inner: The guest's export.
        type: The guest's signature, one of :data:`CALLABLE` or ``(i32, i32) -> ()``, which is called with zeros.
        index: That of its type in the guest.
    """

    name: str
    inner: str
    type: FunctionType
    index: int


@attrs.frozen
class Table:
    """One table of the guest, whose size is told when a call has trapped.

    Attributes:
        inner: The guest's export.
        reference: The type of its entries, as the guest writes it.
        wide: Whether its indices have 64 bits.
    """

    inner: str
    reference: bytes
    wide: bool


@attrs.frozen
class Types:
    """A guest's type section, with which that of `main` begins: functions of one signature may be of different types.

    Attributes:
        data: Its entries, as they are written.
        entries: How many there are; a group of types is one.
        count: How many types that makes.
    """

    data: bytes = b""
    entries: int = 0
    count: int = 0


def trampoline(functions: Sequence[Wrapped], types: Types, tables: Sequence[Table] = (), *, shim: bool) -> bytes:
    """Return the module `main`.

    Args:
        functions: What it wraps. The names have to be different.
        types: The guest's.
        tables: Those whose sizes are told.
        shim: Whether the shim is linked: a module that nobody imports anything from is not.
    """
    nothing, code = types.count + _NO_RESULT, types.count + _CODE
    imports = [(COMPAT, function, nothing) for function in ("begin", "end", "collect", "stats")]
    imports.append((COMPAT, "entries", types.count + _ENTRIES))
    begin, end, collect, stats, entries = map(_call, range(5))
    sizes = b"".join(_size(index, table) + entries for index, table in enumerate(tables))
    if shim:
        imports.append((SHIM, "ready", nothing))
    handler = next((function for function in functions if function.name == HANDLER), None)
    if handler is not None:
        next_, done = map(_call, range(len(imports), len(imports) + 2))
        imports += [(COMPAT, "next", nothing), (COMPAT, "done", types.count + _VERDICT)]
    first = len(imports)
    imports += [(GUEST, function.inner, function.index) for function in functions]
    bodies = [
        (
            function.name,
            types.count + len(function.type.results),
            begin + _arguments(function) + _call(first + index) + end,
        )
        for index, function in enumerate(functions)
    ]
    bodies += [(COLLECT, code, begin + sizes + collect + _ZERO), (STATS, code, begin + stats + _ZERO)]
    if handler is not None:
        handled = _call(first + functions.index(handler)) + (b"" if handler.type.results else _ZERO)
        bodies.append((MESSAGES, code, begin + _LOOP + next_ + handled + done + _AGAIN + _OVER + end + _ZERO))
    return b"".join(
        (
            HEADER,
            section_of(SectionId.TYPE, types.entries + len(_OWN_TYPES), types.data + b"".join(_OWN_TYPES)),
            section(SectionId.IMPORT, [*(_function(*item) for item in imports), *map(_table, tables)]),
            section(SectionId.FUNCTION, [number(type_) for _, type_, _ in bodies]),
            section(
                SectionId.EXPORT,
                [export(text, "function", len(imports) + index) for index, (text, _, _) in enumerate(bodies)],
            ),
            section(SectionId.CODE, list(_sized(code for _, _, code in bodies))),
        )
    )


def _arguments(function: Wrapped) -> bytes:
    return _ZERO * len(function.type.params)


def _call(index: int) -> bytes:
    return b"\x10" + number(index)


def _size(index: int, table: Table) -> bytes:
    return _TABLE_SIZE + number(index) + (b"" if table.wide else _EXTEND)


def _function(namespace: str, text: str, type_: int) -> bytes:
    return name(namespace) + name(text) + KINDS["function"] + number(type_)


def _table(table: Table) -> bytes:
    """Import a table, whatever its minimum and maximum are."""
    return name(GUEST) + name(table.inner) + KINDS["table"] + table.reference + limits(Limits(0, wide=table.wide))


def _sized(codes: Iterable[bytes]) -> Iterable[bytes]:
    bodies = (_NO_LOCALS + code + _OVER for code in codes)
    return (number(len(body)) + body for body in bodies)
