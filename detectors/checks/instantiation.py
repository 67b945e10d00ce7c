"""Checks of what happens when a module is instantiated: whether the runtime takes it, and what would run by that."""

from __future__ import annotations

from collections.abc import Iterator

from detectors.companion import SHARED_MEMORY
from detectors.diagnostics import Case, Finding, Severity
from detectors.module import ExternType, FunctionType
from detectors.segments import PAGE
from detectors.wording import amount, capitalised, counted, shown

__all__ = [
    "command_and_reactor",
    "huge_memory",
    "segment_out_of_bounds",
    "shared_memory",
    "start_section",
    "wrong_lifecycle_export",
]

_ENTRY = 8  # bytes of a table's entry, in the runtime
_MUCH = 256 << 20  # bytes from the beginning, above which it is worth a warning
_TOO_MUCH = 64 << 40  # bytes of memory: about half of the addresses that a process has
_TOO_LONG = 16 << 30  # bytes of tables, which take real memory


def start_section(case: Case) -> Iterator[Finding]:
    """Find code that WebAssembly runs at instantiation, and the host later."""
    if case.module.starts:
        yield Finding(
            "section start",
            "The module has a start section: the host runs its code as part of the initialisation, before the first "
            "call and under a deadline, and _initialize after it.",
        )


def command_and_reactor(case: Case) -> Iterator[Finding]:
    """Find modules that are both, which the runtime refuses."""
    if case.module.export("_start") is not None and case.module.export("_initialize") is not None:
        yield Finding(
            "export _start",
            "The module exports _start, as a command does, and _initialize, as a reactor does; the runtime refuses "
            "one that is both.",
            f"{capitalised(case.advice.reactor)}.",
        )


def wrong_lifecycle_export(case: Case) -> Iterator[Finding]:
    """Find an ``_initialize`` or ``_start`` that the runtime cannot call."""
    start, initialize = case.module.export("_start"), case.module.export("_initialize")
    if start is not None and initialize is not None:
        return  # which is worse
    if initialize is not None and initialize.type != FunctionType():
        yield Finding(
            "export _initialize",
            f"The export _initialize is {_article(initialize.type)}; the runtime calls it before anything else, as a "
            "function () -> ().",
            f"Leave _initialize to the compiler: {case.advice.reactor}.",
        )
    if start is not None and not isinstance(start.type, FunctionType):
        yield Finding(
            "export _start",
            f"The export _start is a {start.type}; the runtime takes it for a command's and refuses the module.",
            "Give it another name.",
        )


def _article(type_: ExternType) -> str:
    return shown(str(type_)) if isinstance(type_, FunctionType) else f"a {type_}"


def shared_memory(case: Case) -> Iterator[Finding]:
    """Find memories for threads."""
    if any(memory.shared for memory in case.module.memories):
        yield Finding(
            "section memory",
            "The module's memory is shared between threads, which the runtime refuses.",
            f"{SHARED_MEMORY.remedy}.",
        )


def huge_memory(case: Case) -> Iterator[Finding]:
    """Find memories and tables that are large from the beginning."""
    memories = sum(memory.minimum for memory in case.module.memories) * PAGE
    tables = sum(table.minimum for table in case.module.tables) * _ENTRY
    for what, size, limit, how in (
        ("memory", memories, _TOO_MUCH, " (for a linker: --initial-memory)"),
        ("table", tables, _TOO_LONG, ""),
    ):
        if size > _MUCH:
            refused = size > limit
            yield Finding(
                f"section {what}",
                f"The module asks for {amount(size)} of {what} from the beginning"
                f"{', more than can be allocated' if refused else ''}.",
                f"Lower the initial size{how} to {amount(_MUCH)} at most; a {what} can grow later.",
                Severity.ERROR if refused else None,
            )


def segment_out_of_bounds(case: Case) -> Iterator[Finding]:
    """Find initial contents that do not fit."""
    for segment in case.module.misplaced:
        what, home, unit = ("data", "memory", "byte") if segment.what == "data" else ("element", "table", "slot")
        yield Finding(
            f"section {what}",
            f"The {what} segment {segment.index} reaches to {segment.offset + segment.size:,} in a {home} of "
            f"{counted(segment.capacity, unit)}: the module traps while it is instantiated.",
            f"Build the plugin again; if a tool has set the initial size of the {home} afterwards, leave that out.",
        )
