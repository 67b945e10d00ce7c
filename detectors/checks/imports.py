"""Checks of what a module imports: whether everything it needs is offered to it, and under that signature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from detectors.diagnostics import Case, Finding
from detectors.foreign import claimed_by, marked_by
from detectors.module import FunctionType, Import, OtherType
from detectors.rules import (
    HOST_FUNCTIONS,
    KERNEL_NAMESPACE,
    NAMESPACES,
    POINTER_LENGTH_ABI,
    WASI_NAMESPACE,
    WASI_UNSTABLE,
    PluginKind,
    host_function,
)
from detectors.runtime import KERNEL_FUNCTIONS, KERNEL_HTTP, WASI_FUNCTIONS
from detectors.wording import capitalised, counted, listed, shown

__all__ = [
    "foreign_abi",
    "foreign_namespace",
    "kernel_http",
    "mixed_namespaces",
    "needs_wasi",
    "unknown_host_function",
    "unknown_kernel_function",
    "unknown_wasi_function",
    "wasi_unstable",
    "wrong_import_signature",
]

_OFFERED = {KERNEL_NAMESPACE: KERNEL_FUNCTIONS, WASI_NAMESPACE: WASI_FUNCTIONS}
_HOST_NAMES = [function.name for function in HOST_FUNCTIONS]


def _name(item: Import) -> str:
    return f"{shown(item.module) or '(no namespace)'} {shown(item.name)}"


def _imports(case: Case) -> Iterator[Import]:
    """Yield each import once, without those that another system's modules make."""
    return (item for item in dict.fromkeys(case.module.imports) if not _is_claimed(item))


def _is_claimed(item: Import) -> bool:
    known = item.module in NAMESPACES and host_function(item.name) is not None
    return not known and item.module not in {*_OFFERED, WASI_UNSTABLE} and claimed_by(item) is not None


def unknown_host_function(case: Case) -> Iterator[Finding]:
    """Find imports that nothing answers."""
    for item in _imports(case):
        if item.module in {*_OFFERED, WASI_UNSTABLE} or _is_misplaced(item):
            continue
        if item.module in NAMESPACES and host_function(item.name) is not None and isinstance(item.type, FunctionType):
            continue
        yield Finding(
            f"import {_name(item)}",
            f"The module imports {_name(item)} ({shown(str(item.type))}), which the host does not offer.",
            _instead(case, item),
        )


def _instead(case: Case, item: Import) -> str:
    if isinstance(item.type, OtherType) and item.type.kind == "memory":
        return "Build without --import-memory: a plugin defines its own memory and exports it as memory."
    if isinstance(item.type, OtherType):
        return f"Define the {item.type} in the module: a host offers plugins functions only."
    toolchain = case.module.toolchain
    if (toolchain is not None and toolchain.name == "AssemblyScript") and item.name in _ASSEMBLYSCRIPT:
        return _ASSEMBLYSCRIPT[item.name]
    near = case.near(item.name, _HOST_NAMES)
    if near is not None:
        return f"Import {near} from {NAMESPACES[0]} if that is meant."
    return f"Remove the call that needs it. The host offers {listed(_HOST_NAMES)}."


_ASSEMBLYSCRIPT = {
    "abort": "Build with asc --use abort=main/abort and a function of that name of your own, which may call "
    "unreachable() or Extism's error_set.",
    "seed": "Do not call Math.random(), or build with asc --use seed=main/seed and a seed of your own.",
    "trace": "Do not call trace(): log with the host function log_record.",
    "console.log": "Do not call console.log(): log with the host function log_record.",
}


def _is_misplaced(item: Import) -> bool:
    """Whether the function exists, but in another namespace."""
    if not isinstance(item.type, FunctionType) or item.module in {*_OFFERED, WASI_UNSTABLE}:
        return False
    if item.module in NAMESPACES:
        return host_function(item.name) is None and item.name in KERNEL_FUNCTIONS
    return host_function(item.name) is not None or item.name in KERNEL_FUNCTIONS or item.name in WASI_FUNCTIONS


def foreign_namespace(case: Case) -> Iterator[Finding]:
    """Find functions that exist under the same name in another namespace."""
    for item in _imports(case):
        if not _is_misplaced(item):
            continue
        if host_function(item.name) is not None:
            right, what = listed(NAMESPACES, "or"), "host function"
        elif item.name in KERNEL_FUNCTIONS:
            right, what = KERNEL_NAMESPACE, "function of Extism's kernel"
        else:
            right, what = WASI_NAMESPACE, "function of WASI"
        namespace = f"the namespace {shown(item.module)}" if item.module else "a namespace without a name"
        yield Finding(
            f"import {_name(item)}",
            f"The module imports the {what} {item.name} from {namespace}, where the host does not serve it.",
            f"Import it from {right}{_written(case, item, right)}.",
        )


def _written(case: Case, item: Import, namespace: str) -> str:
    toolchain = case.module.toolchain
    if toolchain is not None and toolchain.name in {"Go", "TinyGo"}:
        return f": //go:wasmimport {namespace.partition(' ')[0]} {item.name}"
    return ""


def mixed_namespaces(case: Case) -> Iterator[Finding]:
    """Find modules that import host functions from both namespaces."""
    functions = (item for item in dict.fromkeys(case.module.imports) if host_function(item.name) is not None)
    counts = Counter(item.module for item in functions if item.module in NAMESPACES)
    if len(counts) > 1:
        each = listed([f"{counted(count, 'host function')} from {namespace}" for namespace, count in counts.items()])
        yield Finding("module", f"The module imports {each}; both namespaces are served.")


def wrong_import_signature(case: Case) -> Iterator[Finding]:
    """Find functions that are offered, under another signature, or under two of which one can be served."""
    served: dict[tuple[str, str], object] = {}
    for item in _imports(case):
        function = host_function(item.name) if item.module in NAMESPACES else None
        if function is not None:
            accepted, what = function.accepted, "the host function"
        else:
            offered = _OFFERED.get(item.module, {}).get(item.name)
            accepted, what = (() if offered is None else (offered,)), "what is offered"
        if not accepted or not isinstance(item.type, FunctionType):
            continue
        if item.type in accepted:
            first = served.setdefault((item.module, item.name), item.type)
            if first != item.type:
                yield Finding(
                    f"import {_name(item)}",
                    f"The module imports {_name(item)} twice, as {first} and as {item.type}; a module can be served "
                    "one of them.",
                    f"Declare it once, as {accepted[0]}.",
                )
            continue
        by_pointer = function is not None and item.type == POINTER_LENGTH_ABI
        abi = ", the (ptr, length) ABI of another SDK" if by_pointer else ""
        yield Finding(
            f"import {_name(item)}",
            f"The module imports {_name(item)} as {shown(str(item.type))}{abi}; {what} is {accepted[0]}.",
            _right_signature(item, accepted[0], is_host=function is not None),
        )


def _right_signature(item: Import, right: FunctionType, *, is_host: bool) -> str:
    if not is_host:
        return f"Declare {shown(item.name)} as {right}, or update the PDK that declares it."
    return (
        f"Declare it as {right}: the parameter is the offset of a JSON request in Extism memory, the result that of "
        "the JSON reply (in Go: func(uint64) uint64)."
    )


def unknown_kernel_function(case: Case) -> Iterator[Finding]:
    """Find imports from Extism's kernel that this Extism lacks."""
    for item in _imports(case):
        if item.module != KERNEL_NAMESPACE:
            continue
        if isinstance(item.type, FunctionType) and item.name in KERNEL_FUNCTIONS:
            continue
        near = case.near(item.name, KERNEL_FUNCTIONS)
        misplaced = host_function(item.name)
        if misplaced is not None:
            remedy = f"Import it from {listed(NAMESPACES, 'or')}: it is a host function, not one of the kernel's."
        elif near is not None and isinstance(item.type, FunctionType):
            remedy = f"Import {near} if that is meant; otherwise build with a PDK for Extism 1."
        else:
            remedy = "Build with a PDK for Extism 1."
        yield Finding(
            f"import {_name(item)}",
            f"The module imports {_name(item)} ({shown(str(item.type))}), which Extism's kernel does not have.",
            remedy,
        )


def kernel_http(case: Case) -> Iterator[Finding]:
    """Find the use of Extism's own HTTP client, which no policy of the host's sees."""
    used = [item.name for item in _imports(case) if item.module == KERNEL_NAMESPACE and item.name in KERNEL_HTTP]
    if used:
        yield Finding(
            f"import {KERNEL_NAMESPACE} {used[0]}",
            f"The module imports Extism's own HTTP client ({listed(sorted(set(used)))}), which is closed: the host's "
            "network policy does not reach it, and every request made with it fails.",
            f"Make requests with the host function http_request from {NAMESPACES[0]}.",
        )


def needs_wasi(case: Case) -> Iterator[Finding]:
    """Find that a module uses WASI."""
    count = len({item.name for item in case.module.imports if item.module == WASI_NAMESPACE})
    if count:
        yield Finding(
            "module", f"The module imports {counted(count, 'function')} of WASI preview 1, which is enabled for it."
        )


def unknown_wasi_function(case: Case) -> Iterator[Finding]:
    """Find imports from WASI that it does not have."""
    for item in _imports(case):
        if item.module != WASI_NAMESPACE or (isinstance(item.type, FunctionType) and item.name in WASI_FUNCTIONS):
            continue
        near = case.near(item.name, WASI_FUNCTIONS)
        yield Finding(
            f"import {_name(item)}",
            f"The module imports {_name(item)} ({shown(str(item.type))}), which WASI preview 1 does not have.",
            f"Import {near} if that is meant." if near else "Build for WASI preview 1 (wasip1).",
        )


def wasi_unstable(case: Case) -> Iterator[Finding]:
    """Find the generation of WASI before preview 1."""
    count = sum(item.module == WASI_UNSTABLE for item in dict.fromkeys(case.module.imports))
    if count:
        yield Finding(
            "module",
            f"The module imports {counted(count, 'function')} from {WASI_UNSTABLE}, the WASI of 2019, which is not "
            "offered.",
            f"Build with a toolchain of 2020 or newer, for WASI preview 1 ({WASI_NAMESPACE}).",
        )


def foreign_abi(case: Case) -> Iterator[Finding]:
    """Find modules that were made for another system."""
    claimed = [item for item in dict.fromkeys(case.module.imports) if _is_claimed(item)]
    by_name = {abi.name: abi for item in claimed if (abi := claimed_by(item)) is not None}
    for name, abi in by_name.items():
        items = [item for item in claimed if claimed_by(item) is abi]
        more = f" and {counted(len(items) - 1, 'other import')}" if len(items) > 1 else ""
        yield Finding(
            f"import {_name(items[0])}",
            f"This is a {name} module, not an Extism plugin: it imports {_name(items[0])}{more} from that system's "
            "host.",
            capitalised(abi.remedy),
        )
    if by_name or case.classification.kind != PluginKind.UNKNOWN:
        return
    for export in case.module.exports:
        abi = marked_by(export)
        if abi is not None:
            yield Finding(
                f"export {shown(export.name)}",
                f"This is a {abi.name} module, not an Extism plugin: it exports {shown(export.name)} for that system's "
                "host.",
                capitalised(abi.remedy),
            )
            return
