"""The room's front: a path or bytes to :class:`ModuleReport`, always.

Whatever the bytes are, the answer is a report that says so; only a path that cannot be read raises. The same bytes
give the same report. Guest code is never compiled, instantiated or run to find out.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import attrs

from detectors.bounds import USUAL, InspectionBounds
from detectors.catalogue import CATALOGUE
from detectors.classify import Evidence, Offer, classify
from detectors.diagnostics import Diagnostic, Severity, diagnose, unreadable
from detectors.errors import PluginError
from detectors.formats import ModuleError
from detectors.module import Export, Import, digest, read_module
from detectors.rules import EXPORT_TYPE, NAMESPACES, WASI_NAMESPACE, PluginKind
from detectors.toolchain import Toolchain
from detectors.wording import counted, listed

__all__ = ["DetectionError", "ModuleReport", "inspect"]


@attrs.frozen
class ModuleReport:
    """What a module is, what it offers and asks for, and what is wrong with it.

    Attributes:
        path: Where it was read from; None for bytes.
        kind: The kind of plugin; ``PluginKind.UNKNOWN`` if it is none, or no module at all.
        dialect: The dialect of its kind, or None.
        offers: Every interface it offers, the one that is used first.
        reason: Why it is of this kind, one clause: ``exports start_stream and stop_stream``.
        evidence: What speaks for it.
        imports: What the host must supply.
        exports: What the module offers.
        size: In bytes.
        sha256: The digest of the bytes in lower-case hexadecimal; empty for a file too large to be read.
        toolchain: The compiler that built it, where the module tells.
        diagnostics: What was found, errors and all else, in the order of the rules.
    """

    path: str | None
    kind: PluginKind
    dialect: str | None
    offers: tuple[Offer, ...]
    reason: str
    evidence: tuple[Evidence, ...]
    imports: tuple[Import, ...]
    exports: tuple[Export, ...]
    size: int
    sha256: str
    toolchain: Toolchain | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that keep the plugin from running."""
        return tuple(found for found in self.diagnostics if found.severity is Severity.ERROR)

    @property
    def runnable(self) -> bool:
        """Whether the module is a plugin of a known kind without errors."""
        return self.kind != PluginKind.UNKNOWN and not self.errors

    @property
    def wasi(self) -> bool:
        """Whether the module imports WASI preview 1."""
        return any(item.module == WASI_NAMESPACE for item in self.imports)

    @property
    def host_imports(self) -> tuple[Import, ...]:
        """The imports from the namespaces in which the host serves plugins."""
        return tuple(item for item in self.imports if item.module in NAMESPACES)

    def has_export(self, name: str) -> bool:
        """Return whether the module exports a function by that name that the host can call, ``() -> i32``."""
        return any(export.name == name and export.type == EXPORT_TYPE for export in self.exports)

    def raise_for_errors(self, *, ignoring: Collection[str] = ()) -> None:
        """Return if there are no errors.

        Args:
            ignoring: Slugs that do not count.

        Raises:
            DetectionError: There are; it carries them all.
        """
        errors = tuple(found for found in self.errors if found.slug not in ignoring)
        if errors:
            raise DetectionError(self, errors)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values that any JSON encoder takes.

        ``docs/schema/inspect-1.schema.json`` describes them. Types stand as text, ``(i64) -> i64`` or ``memory``; kinds
        and severities as their names.
        """
        return {
            "path": self.path,
            "sha256": self.sha256,
            "size": self.size,
            "kind": self.kind.value,
            "dialect": self.dialect,
            "runnable": self.runnable,
            "toolchain": None
            if self.toolchain is None
            else {
                "name": self.toolchain.name,
                "version": self.toolchain.version,
                "sdks": [{"name": sdk.name, "version": sdk.version} for sdk in self.toolchain.sdks],
            },
            "wasi": self.wasi,
            "offers": [
                {
                    "kind": offer.kind.value,
                    "dialect": offer.dialect,
                    "missing": [list(names) for names in offer.missing],
                    "uncallable": list(offer.uncallable),
                }
                for offer in self.offers
            ],
            "reason": self.reason,
            "evidence": [{"subject": item.subject, "meaning": item.meaning} for item in self.evidence],
            "imports": [{"module": item.module, "name": item.name, "type": str(item.type)} for item in self.imports],
            "exports": [{"name": item.name, "type": str(item.type)} for item in self.exports],
            "diagnostics": [found.to_dict() for found in self.diagnostics],
        }


class DetectionError(PluginError):
    """A module is not what it should be, found without running it.

    Its text tells the first finding and names the others.

    Attributes:
        report: The whole report.
        diagnostics: All the errors that count.
    """

    def __init__(self, report: ModuleReport, diagnostics: Sequence[Diagnostic] | None = None) -> None:
        errors = tuple(report.errors if diagnostics is None else diagnostics)
        first, *more = errors
        others = list(dict.fromkeys(found.slug for found in more))
        also = f" (and {counted(len(more), 'more error')}: {listed(others)})" if more else ""
        finding = f"{report.path or 'the module'}: {first.slug}: {first.message.removesuffix('.')}{also}"
        super().__init__(finding, remedy=first.remedy.removesuffix("."))
        self.report = report
        self.diagnostics = errors

    def __reduce__(self) -> tuple[type[DetectionError], tuple[ModuleReport, tuple[Diagnostic, ...]]]:
        return type(self), (self.report, self.diagnostics)


def inspect(
    source: bytes | bytearray | memoryview | str | os.PathLike[str], *, bounds: InspectionBounds = USUAL
) -> ModuleReport:
    """Say what a module is, without running it.

    Args:
        source: The module's bytes, or the path of its file; a text is always a path.
        bounds: How much of it is read, and how long its validation may take (10 s by default); a module beyond that is
            reported as ``too-large``.

    Raises:
        OSError: The path cannot be read.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        data = bytes(source)
        return _report(None, data, len(data), bounds)
    path = os.fspath(source)
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        # Not even as escapes: there can be no such file.
        raise OSError(errno.EINVAL, "A path cannot contain half a character", ascii(path)) from None
    data, size = _read(path, bounds.max_size)
    # A file name need not be valid text, but a report must be.
    return _report(path.encode(errors="backslashreplace").decode(), data, size, bounds)


def _read(path: str, most: int) -> tuple[bytes, int]:
    """Read a file, but not much more of it than will be looked at; return that and the file's size in bytes."""
    if "\0" in path:
        raise OSError(errno.EINVAL, "A path cannot contain a null character", path)
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            # A device or a pipe has no size. One byte more than expected tells whether there is more.
            data = file.read(min(size, most) + 1)
            if len(data) > size:
                data += file.read(most + 1 - len(data))
        except OSError as error:
            error.filename = error.filename or path  # which a failing read does not tell
            raise
        return data, max(len(data), size)


def _report(path: str | None, data: bytes, size: int, bounds: InspectionBounds) -> ModuleReport:
    try:
        module = read_module(data, bounds=bounds)
    except ModuleError as error:
        return ModuleReport(
            path=path,
            kind=PluginKind.UNKNOWN,
            dialect=None,
            offers=(),
            reason=error.message,
            evidence=(),
            imports=(),
            exports=(),
            size=size,
            sha256=digest(data) if len(data) == size <= bounds.max_size else "",
            toolchain=None,
            diagnostics=(unreadable(error),),
        )
    judged = classify(module)
    return ModuleReport(
        path=path,
        kind=judged.kind,
        dialect=judged.dialect,
        offers=judged.offers,
        reason=judged.reason,
        evidence=judged.evidence,
        imports=module.imports,
        exports=module.exports,
        size=size,
        sha256=module.sha256,
        toolchain=module.toolchain,
        diagnostics=diagnose(module, judged, CATALOGUE),
    )
