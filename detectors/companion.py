"""The companion: the modules of ours that a guest is linked beside, and what each form of guest has of them.

Extism links several modules by name. Those of :data:`MODULES` stand between a guest and everything that it imports: so
their names are reserved, and a guest has to be of a form that can be linked there. Two tables say what becomes of the
forms that are out of the ordinary: :data:`REFUSED` and :data:`WITHOUT_SHIM`. The detector's findings and the rewriter
ask the same tables, so that a report says what opening the plugin does. A form in neither table has all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import attrs

from detectors.module import OtherType
from detectors.wording import shown

if TYPE_CHECKING:
    from detectors.module import ModuleInterface
    from detectors.sections import Limits, Sections

__all__ = [
    "COMPAT",
    "GUEST",
    "HOST",
    "IMPORTED",
    "MAIN",
    "MODULES",
    "REFUSED",
    "RESERVED",
    "RESERVED_EXPORT",
    "SHARED_MEMORY",
    "SHIM",
    "SHIM_FUNCTIONS",
    "WITHOUT_SHIM",
    "Form",
    "Shape",
    "refused",
    "reserved",
    "shape_of_module",
    "shape_of_sections",
    "without_shim",
]

#: Extism's kernel for the guest, the host functions, and the exchange with Python.
COMPAT = "compat"
#: The namespace of the one host function in Python.
HOST = "compat:host"
#: WASI's functions that need the guest's memory.
SHIM = "compat:shim"
#: The guest itself, rewritten.
GUEST = "compat:guest"
#: What Extism calls: it wraps each export of the guest.
MAIN = "main"
#: The names under which Extism links them all.
MODULES = (COMPAT, HOST, SHIM, GUEST, MAIN)
#: How the names begin that the companion adds to a guest's exports.
RESERVED_EXPORT = "compat_"

#: The functions of WASI that the shim serves, and what is lost where they stay the runtime's own.
SHIM_FUNCTIONS = {
    "poll_oneoff": "a guest that sleeps cannot be stopped before it wakes",
    "fd_write": "what it writes to stdout and stderr is lost",
}


@attrs.frozen
class Shape:
    """What the form of a guest is told by.

    Attributes:
        imports: (namespace, name, kind); a kind is ``function``, ``table``, ``memory``, ``global`` or ``tag``.
        exports: (name, kind).
        memories: Those that it defines.
    """

    imports: tuple[tuple[str, str, str], ...] = ()
    exports: tuple[tuple[str, str], ...] = ()
    memories: tuple[Limits, ...] = ()


@attrs.frozen
class Form:
    """One form of guest.

    Attributes:
        name: In kebab-case, for errors.
        what: What such a module does or has, words that follow "the module".
        remedy: What its author can do, a sentence without its full stop.
        finds: Yields the subject of each place where a module is of this form, as in
            :class:`detectors.diagnostics.Diagnostic`.
    """

    name: str
    what: str
    remedy: str
    finds: Callable[[Shape], Iterator[str]]


def shape_of_module(module: ModuleInterface) -> Shape:
    """Return what the form of a module is told by."""
    return Shape(
        tuple((item.module, item.name, _kind(item.type)) for item in module.imports),
        tuple((item.name, _kind(item.type)) for item in module.exports),
        module.memories,
    )


def shape_of_sections(sections: Sections) -> Shape:
    """Return what the form of a module is told by."""
    return Shape(
        tuple((namespace, name, kind) for namespace, name, kind, _ in sections.imports),
        tuple((name, kind) for name, kind, _ in sections.exports),
        sections.memories,
    )


def _kind(type_: object) -> str:
    return type_.kind if isinstance(type_, OtherType) else "function"


def _importing(kind: str) -> Callable[[Shape], Iterator[str]]:
    def finds(shape: Shape) -> Iterator[str]:
        items = (item for item in shape.imports if item[2] == kind and item[0] not in MODULES)
        return (_import(namespace, name) for namespace, name, _ in items)

    return finds


def _import(namespace: str, name: str) -> str:
    return f"import {shown(namespace) or '(no namespace)'} {shown(name) or '(no name)'}"


def _from_ours(shape: Shape) -> Iterator[str]:
    return (_import(namespace, name) for namespace, name, _ in shape.imports if namespace in MODULES)


def _with_our_names(shape: Shape) -> Iterator[str]:
    return (f"export {shown(name)}" for name, _ in shape.exports if name.startswith(RESERVED_EXPORT))


def _where(
    holds: Callable[[tuple[Limits, ...]], bool], subject: str = "section memory"
) -> Callable[[Shape], Iterator[str]]:
    return lambda shape: iter([subject] if holds(shape.memories) else [])


def _other_memory(shape: Shape) -> Iterator[str]:
    if shape.memories:
        yield from ("export memory" for name, kind in shape.exports if name == "memory" and kind != "memory")


#: The uses of a name that the host keeps for itself.
RESERVED: tuple[Form, ...] = (
    Form(
        "import-from-companion",
        f"imports from a name that the host keeps for itself ({', '.join(MODULES)})",
        "Import host functions from env, and give modules of your own other names",
        _from_ours,
    ),
    Form(
        "companion-export",
        f"exports a name that begins with {RESERVED_EXPORT}, as the host's own names do",
        "Give the export another name",
        _with_our_names,
    ),
)
#: A memory for threads.
SHARED_MEMORY = Form(
    "shared-memory",
    "has a memory that is shared between threads",
    "Build without threads (no -pthread, --shared-memory or wasm32-wasip1-threads)",
    _where(lambda memories: any(memory.shared for memory in memories)),
)
#: What a guest may import from nowhere, by its kind.
IMPORTED: dict[str, Form] = {
    "memory": Form(
        "imported-memory",
        "imports a memory",
        "Build without --import-memory: a plugin defines its own memory and exports it as memory",
        _importing("memory"),
    ),
    **{
        kind: Form(
            f"imported-{kind}",
            f"imports a {kind}",
            f"Define the {kind} in the module: a host offers plugins functions only",
            _importing(kind),
        )
        for kind in ("table", "global", "tag")
    },
}
#: The forms that cannot be linked beside the companion. The detector tells an error of each.
REFUSED: tuple[Form, ...] = (*RESERVED, SHARED_MEMORY, *IMPORTED.values())

#: The forms whose memory the shim cannot import: everything else of the companion is there.
WITHOUT_SHIM: tuple[Form, ...] = (
    Form(
        "no-memory",
        "has no memory",
        "Build it with a memory, which WASI reads and writes",
        _where(lambda memories: not memories, "module"),
    ),
    Form(
        "several-memories",
        "has several memories",
        "Build it with one memory",
        _where(lambda memories: len(memories) > 1),
    ),
    Form(
        "memory64",
        "has a memory of 64-bit addresses",
        "Build for wasm32 instead of wasm64",
        _where(lambda memories: len(memories) == 1 and memories[0].wide),
    ),
    Form(
        "other-memory-export",
        "exports something else than its memory as memory",
        "Export the memory as memory, and the other under another name",
        _other_memory,
    ),
)


def reserved(shape: Shape) -> Iterator[tuple[Form, str]]:
    """Yield each use of a name that the host keeps for itself, with its subject."""
    return _found(RESERVED, shape)


def refused(shape: Shape) -> Iterator[tuple[Form, str]]:
    """Yield each form for which a guest cannot be linked beside the companion, with its subject."""
    return _found(REFUSED, shape)


def without_shim(shape: Shape) -> Form | None:
    """Return the form for which the shim is left out; None where it is linked."""
    return next((form for form, _ in _found(WITHOUT_SHIM, shape)), None)


def _found(forms: Iterable[Form], shape: Shape) -> Iterator[tuple[Form, str]]:
    return ((form, subject) for form in forms for subject in form.finds(shape))
