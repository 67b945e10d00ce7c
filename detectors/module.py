"""Bytes to :class:`ModuleInterface`: what a core module imports and exports, its size, its digest and its compiler.

wasmtime decides whether the bytes are a valid module; the interface is then read from the sections, since to have
wasmtime read it would compile the module first. Guest code is never compiled here, let alone run. What the names mean
is no business of this room.
"""

from __future__ import annotations

import functools
import hashlib
import os
import threading

import attrs
import wasmtime

from detectors.bounds import USUAL, InspectionBounds
from detectors.formats import SUSPECT, ModuleError, check_format
from detectors.sections import Limits, Sections, read_sections
from detectors.segments import Misplaced, misplaced
from detectors.toolchain import CUSTOM_SECTIONS, Toolchain, recognise
from detectors.wording import shown

__all__ = [
    "MAX_MODULE_SIZE",
    "Export",
    "ExternType",
    "FunctionType",
    "Import",
    "ModuleInterface",
    "OtherType",
    "digest",
    "read_module",
]

#: The largest module that is looked at by default, in bytes.
MAX_MODULE_SIZE = USUAL.max_size


@attrs.frozen
class FunctionType:
    """The signature of a function, in the text format's names: ``i32``, ``i64``, ``f64``, ``externref``, ..."""

    params: tuple[str, ...] = ()
    results: tuple[str, ...] = ()

    def __str__(self) -> str:
        result = self.results[0] if len(self.results) == 1 else f"({', '.join(self.results)})"
        return f"({', '.join(self.params)}) -> {result}"


@attrs.frozen
class OtherType:
    """The type of anything but a function, as far as a host needs it.

    Attributes:
        kind: ``memory``, ``table``, ``global`` or ``tag``.
    """

    kind: str

    def __str__(self) -> str:
        return self.kind


ExternType = FunctionType | OtherType


@attrs.frozen
class Import:
    """Something that the host must supply before any export can be called."""

    module: str
    name: str
    type: ExternType


@attrs.frozen
class Export:
    """Something that the module offers the host."""

    name: str
    type: ExternType


@attrs.frozen
class ModuleInterface:
    """What the host sees of a module.

    Attributes:
        imports: In the module's order; the same name may be imported more than once.
        exports: In the module's order; names are unique.
        size: In bytes.
        sha256: The digest of the bytes, in lower-case hexadecimal.
        toolchain: The compiler, where the module tells.
        memories: Those that it defines.
        tables: Those that it defines.
        starts: Whether code runs when it is instantiated.
        misplaced: Initial contents that do not fit, for which instantiation fails.
        dwarf_size: Bytes of debug information.
        names_size: Bytes that name functions and variables.
    """

    imports: tuple[Import, ...]
    exports: tuple[Export, ...]
    size: int
    sha256: str
    toolchain: Toolchain | None = None
    memories: tuple[Limits, ...] = ()
    tables: tuple[Limits, ...] = ()
    starts: bool = False
    misplaced: tuple[Misplaced, ...] = ()
    dwarf_size: int = 0
    names_size: int = 0

    def export(self, name: str) -> Export | None:
        """Return the export of that name, or None."""
        return next((export for export in self.exports if export.name == name), None)


def digest(data: bytes) -> str:
    """Return the SHA-256 of the bytes in lower-case hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_module(data: bytes, *, sha256: str | None = None, bounds: InspectionBounds = USUAL) -> ModuleInterface:
    """Validate a module and read its interface.

    Args:
        data: The module.
        sha256: Its digest, if the caller knows it already.
        bounds: How much is read, and how long validation may take.

    Raises:
        ModuleError: The bytes are no valid core module, or one beyond the bounds. The error's ``slug`` tells which.
    """
    if len(data) > bounds.max_size:
        raise ModuleError(
            "too-large",
            f"The module is larger than {bounds.max_size:,} bytes",
            "Plugins have 3 to 5 MiB; check that this is one",
        )
    check_format(data)
    verdict = _Validation(data)
    try:
        found: ModuleInterface | Exception = _read(data, sha256 or digest(data), bounds)
    except (ModuleError, ValueError, LookupError) as error:
        found = error
    problem = verdict.wait(bounds.validation_timeout)
    if problem is not None:
        if isinstance(found, ModuleError) and found.slug == "truncated":
            raise found  # which says more than that the bytes ended
        raise ModuleError(
            "invalid-module",
            f"WebAssembly validation failed: {_first_line(problem)}",
            "Build the plugin again: the compiler's output was damaged or changed afterwards, or uses a proposal that "
            "is not enabled",
        ) from problem
    if isinstance(found, ModuleInterface):
        return found
    if isinstance(found, ModuleError):
        raise found
    raise ModuleError(
        "invalid-module",
        f"The interface cannot be read: {_first_line(found)}",
        "Build the plugin without experimental features of WebAssembly",
    ) from found


class _Validation:
    """wasmtime's validation of a module, on a thread of its own and without Python's lock."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._done = threading.Event()
        self._problem: Exception | None = None
        try:
            # A daemon: a module made to be validated for minutes must not keep the process from ending.
            threading.Thread(target=self._validate, name="validate", daemon=True).start()
        except RuntimeError:  # the interpreter is about to end, and starts no threads any more
            self._validate()

    def _validate(self) -> None:
        try:
            wasmtime.Module.validate(_engine(), self._data)
        except Exception as error:  # noqa: BLE001 - it is told by wait
            self._problem = error
        finally:
            self._done.set()

    def wait(self, timeout: float) -> Exception | None:
        """Return what is wrong with the module, or None.

        Raises:
            ModuleError: ``too-large`` if that takes more than so many seconds to find out.
        """
        if not self._done.wait(min(timeout, threading.TIMEOUT_MAX)):
            msg = f"The module has not been validated within {timeout:g} s"
            raise ModuleError("too-large", msg, SUSPECT)
        if self._problem is not None and not isinstance(self._problem, (wasmtime.WasmtimeError, ValueError)):
            raise self._problem
        return self._problem


def _read(data: bytes, sha256: str, bounds: InspectionBounds) -> ModuleInterface:
    """Read the interface of bytes that need not be valid: then it means nothing, or raises."""
    sections = read_sections(data, CUSTOM_SECTIONS, bounds)
    imports, exports = _resolved(sections)
    return ModuleInterface(
        imports=imports,
        exports=exports,
        size=len(data),
        sha256=sha256,
        toolchain=recognise(data, sections),
        memories=sections.memories,
        tables=sections.tables,
        starts=sections.start is not None,
        misplaced=misplaced(data, sections, bounds),
        dwarf_size=sum(size for name, size in sections.custom_sizes if name.startswith(".debug_")),
        names_size=sum(size for name, size in sections.custom_sizes if name == "name"),
    )


@functools.cache
def _engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    # wasmtime's own threads do not survive a fork, and whoever asks them in the child waits for ever.
    config.parallel_compilation = not _is_forked()
    return wasmtime.Engine(config)


_process = os.getpid()


def _is_forked() -> bool:
    return os.getpid() != _process


os.register_at_fork(after_in_child=_engine.cache_clear)


def _first_line(error: Exception) -> str:
    return shown(str(error).partition("\n")[0], limit=300)


def _resolved(sections: Sections) -> tuple[tuple[Import, ...], tuple[Export, ...]]:
    """Replace the indices of the binary format by the types they stand for."""
    types = [None if row is None else FunctionType(*row) for row in sections.types]
    imported = [index for _, _, _, index in sections.imports if index is not None]

    def extern(kind: str, index: int | None) -> ExternType:
        if index is None:
            return OtherType(kind)
        signature = types[index]
        if signature is None:
            raise ValueError(f"type {index} is not that of a function")
        return signature

    def type_of(index: int) -> int:
        return imported[index] if index < len(imported) else sections.functions[index - len(imported)]

    return (
        tuple(Import(module, name, extern(kind, index)) for module, name, kind, index in sections.imports),
        tuple(
            Export(name, extern(kind, type_of(index) if kind == "function" else None))
            for name, kind, index in sections.exports
        ),
    )
