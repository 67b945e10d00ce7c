"""What a WebAssembly module is, found out from its bytes alone.

:func:`inspect` is the way in: a path or bytes to a :class:`ModuleReport`. This package knows bytes, wasmtime's verdict
on them and its own tables; it never compiles, instantiates or runs guest code, and it knows nothing of the packages
above it.
"""

from __future__ import annotations

from detectors.bounds import InspectionBounds
from detectors.classify import Classification, Evidence, Offer, classify
from detectors.diagnostics import Diagnostic, Severity, diagnose
from detectors.errors import CompatError, MachineError, NetworkError, PluginError, UsageError
from detectors.formats import ModuleError
from detectors.module import Export, FunctionType, Import, ModuleInterface, OtherType, read_module
from detectors.report import DetectionError, ModuleReport, inspect
from detectors.rules import (
    EXPORT_TYPE,
    HOST_FUNCTIONS,
    INTERFACES,
    KERNEL_NAMESPACE,
    NAMESPACES,
    WASI_NAMESPACE,
    HostFunction,
    Interface,
    PluginKind,
    host_function,
)
from detectors.toolchain import Toolchain

__all__ = [
    "EXPORT_TYPE",
    "HOST_FUNCTIONS",
    "INTERFACES",
    "KERNEL_NAMESPACE",
    "NAMESPACES",
    "WASI_NAMESPACE",
    "Classification",
    "CompatError",
    "DetectionError",
    "Diagnostic",
    "Evidence",
    "Export",
    "FunctionType",
    "HostFunction",
    "Import",
    "InspectionBounds",
    "Interface",
    "MachineError",
    "ModuleError",
    "ModuleInterface",
    "ModuleReport",
    "NetworkError",
    "Offer",
    "OtherType",
    "PluginError",
    "PluginKind",
    "Severity",
    "Toolchain",
    "UsageError",
    "classify",
    "diagnose",
    "host_function",
    "inspect",
    "read_module",
]
