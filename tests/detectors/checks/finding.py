"""What a check finds in a module, and modules that import whatever is to be looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from detectors.checks.imports import (
    foreign_abi,
    foreign_namespace,
    kernel_http,
    mixed_namespaces,
    needs_wasi,
    unknown_host_function,
    unknown_kernel_function,
    unknown_wasi_function,
    wasi_unstable,
    wrong_import_signature,
)
from detectors.classify import classify
from detectors.diagnostics import Case, Finding
from detectors.module import Export, FunctionType, Import, ModuleInterface
from detectors.rules import EXPORT_TYPE, INTERFACES, Interface
from detectors.toolchain import Toolchain

if TYPE_CHECKING:
    from detectors.diagnostics import Check
    from detectors.module import ExternType

__all__ = ["CHECKS", "GENERIC", "OFFSET", "checks_that_find", "findings", "importing", "importing_one"]

GENERIC = ("start_stream", "stop_stream")
OFFSET = FunctionType(("i64",), ("i64",))
#: Those that look at what a module imports.
CHECKS = (
    foreign_abi,
    foreign_namespace,
    kernel_http,
    mixed_namespaces,
    needs_wasi,
    unknown_host_function,
    unknown_kernel_function,
    unknown_wasi_function,
    wasi_unstable,
    wrong_import_signature,
)


def findings(
    check: Check,
    module: ModuleInterface,
    toolchain: str | None = None,
    interfaces: Sequence[Interface] = INTERFACES,
) -> list[Finding]:
    """What one check finds; of a module built by a toolchain, if one is named."""
    if toolchain is not None:
        module = attrs.evolve(module, toolchain=Toolchain(toolchain))
    return list(check(Case(module, classify(module, interfaces), interfaces)))


def checks_that_find(module: ModuleInterface) -> list[str]:
    """The names of the checks of imports that find anything."""
    return [check.__name__ for check in CHECKS if findings(check, module)]


def importing(*imports: tuple[str, str, ExternType], exports: tuple[str, ...] = GENERIC) -> ModuleInterface:
    """A plugin with these imports; or, with other exports, what is none."""
    return ModuleInterface(
        imports=tuple(Import(*item) for item in imports),
        exports=tuple(Export(name, EXPORT_TYPE) for name in exports),
        size=0,
        sha256="",
    )


def importing_one(namespace: str, name: str, type_: ExternType = OFFSET) -> ModuleInterface:
    """A plugin with this one import."""
    return importing((namespace, name, type_))
