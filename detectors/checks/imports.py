"""Checks of what a module imports: whether everything it needs is offered to it, and under that signature."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from detectors.companion import IMPORTED, MODULES
from detectors.diagnostics import Case, Finding
from detectors.foreign import FOREIGN_ABIS, ForeignAbi, marked_by
from detectors.module import FunctionType, Import, OtherType
from detectors.rules import (
    HOST_FUNCTIONS,
    KERNEL_NAMESPACE,
    NAMESPACES,
    POINTER_LENGTH_ABI,
    WASI_NAMESPACE,
    WASI_UNSTABLE,
    HostFunction,
    PluginKind,
    host_function,
)
from detectors.runtime import KERNEL_FUNCTIONS, KERNEL_HTTP, KERNEL_ONLY, WASI_FUNCTIONS
from detectors.wording import counted, listed, shown

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
    return f"{shown(item.module) or '(no namespace)'} {shown(item.name) or '(no name)'}"


def _imports(case: Case) -> Iterator[Import]:
    """Yield each import once, without those from the host's own modules or for another system, which are told apart."""
    return (item for item in case.imports if item not in case.claims and item.module not in MODULES)


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
    if isinstance(item.type, OtherType):
        return f"{IMPORTED[item.type.kind].remedy}."
    toolchain = case.module.toolchain
    if (toolchain is not None and toolchain.name == "AssemblyScript") and item.name in _ASSEMBLYSCRIPT:
        return _ASSEMBLYSCRIPT[item.name]
    near = host_function(case.near(item.name, _HOST_NAMES) or "")
    if near is not None:
        namespace = item.module if item.module in NAMESPACES else NAMESPACES[0]
        signature = "" if item.type in near.accepted else f" as {near.type}"
        return (
            f"Import {near.name} from {namespace}{signature}, if that is meant{_declared(case, namespace, near.name)}."
        )
    return f"Remove the call that needs it. The host offers {listed(_HOST_NAMES)}."


_ASSEMBLYSCRIPT = {
    "abort": "Build with asc --use abort=assembly/index/abort (the entry file without .ts, then the function) and add "
    "to that file: function abort(m: string | null, f: string | null, l: u32, c: u32): void { unreachable(); }",
    "seed": "Do not call Math.random(); or build with asc --use seed=assembly/index/seed (the entry file without .ts, "
    "then the function) and add to that file: function seed(): f64 { return 1; }",
    "trace": "Do not call trace(): log with the host function log_record.",
    "console.log": "Do not call console.log(): log with the host function log_record.",
    "Date.now": "Do not call Date.now(): call the host function time_now, (i64) -> i64.",
}


def _declared(case: Case, namespace: str, name: str) -> str:
    """How the import is declared, where the toolchain is known: words to follow its name."""
    return f": {case.advice.declare.format(namespace, name)}" if case.advice.declare else ""


def _is_misplaced(item: Import) -> bool:
    """Whether the function exists, but in another namespace.

    The names of the runtime's functions are everyday words, so there the signature must be the same.
    """
    if not isinstance(item.type, FunctionType) or item.module in {*_OFFERED, WASI_UNSTABLE}:
        return False
    if host_function(item.name) is not None:
        return item.module not in NAMESPACES
    return any(functions.get(item.name) == item.type for functions in _OFFERED.values())


def foreign_namespace(case: Case) -> Iterator[Finding]:
    """Find functions that exist under the same name in another namespace."""
    for item in _imports(case):
        if not _is_misplaced(item):
            continue
        if host_function(item.name) is not None:
            right, what = NAMESPACES[0], "host function"
        elif item.name in KERNEL_FUNCTIONS:
            right, what = KERNEL_NAMESPACE, "function of Extism's kernel"
        else:
            right, what = WASI_NAMESPACE, "function of WASI"
        namespace = f"the namespace {shown(item.module)}" if item.module else "a namespace without a name"
        yield Finding(
            f"import {_name(item)}",
            f"The module imports the {what} {item.name} from {namespace}, where the host does not serve it.",
            f"Import it from {right}{_declared(case, right, item.name)}.",
        )


def mixed_namespaces(case: Case) -> Iterator[Finding]:
    """Find modules that import host functions from both namespaces."""
    functions = (item for item in case.imports if host_function(item.name) is not None)
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
            _right_signature(item, accepted[0], function),
        )


def _right_signature(item: Import, right: FunctionType, function: HostFunction | None) -> str:
    if function is None:
        return f"Declare {shown(item.name)} as {right}, or update the PDK that declares it."
    if not function.request:
        return f"Declare it as {right}; its argument is 0, its result the offset of a JSON text in Extism memory."
    return (
        f"Declare it as {right}: its argument is the offset of a JSON request in Extism memory, {function.request}, "
        "its result that of the JSON reply."
    )


def unknown_kernel_function(case: Case) -> Iterator[Finding]:
    """Find imports from Extism's kernel that it does not have, or not for guests."""
    for item in _imports(case):
        if item.module != KERNEL_NAMESPACE:
            continue
        if isinstance(item.type, FunctionType) and item.name in KERNEL_FUNCTIONS:
            continue
        near = case.near(item.name, [name for name, type_ in KERNEL_FUNCTIONS.items() if type_ == item.type])
        misplaced = host_function(item.name)
        lacks = "keeps for its host" if item.name in KERNEL_ONLY else "does not have"
        if item.name in KERNEL_ONLY:
            remedy = "Remove the call that needs it: no PDK has one."
        elif misplaced is not None:
            remedy = f"Import it from {NAMESPACES[0]}: it is a host function, not one of the kernel's."
        elif near is not None:
            remedy = f"Import {near} if that is meant; otherwise build with a PDK for Extism 1."
        else:
            remedy = "Build with a PDK for Extism 1."
        yield Finding(
            f"import {_name(item)}",
            f"The module imports {_name(item)} ({shown(str(item.type))}), which Extism's kernel {lacks}.",
            remedy,
        )


def kernel_http(case: Case) -> Iterator[Finding]:
    """Find the use of Extism's own HTTP client, which no policy of the host's sees."""
    used = [item.name for item in _imports(case) if item.module == KERNEL_NAMESPACE and item.name in KERNEL_HTTP]
    request = next(function.request for function in HOST_FUNCTIONS if function.name == "http_request")
    if used:
        yield Finding(
            f"import {KERNEL_NAMESPACE} {used[0]}",
            f"The module imports Extism's own HTTP client ({listed(sorted(set(used)))}), which this host blocks: its "
            "network policy does not reach there, and every request made with it fails.",
            f"Make requests with the host function http_request from {NAMESPACES[0]}, (i64) -> i64: the offset of "
            f"{request} in Extism memory gives that of the JSON reply.",
        )


def needs_wasi(case: Case) -> Iterator[Finding]:
    """Find that a module uses WASI."""
    count = len({item.name for item in case.imports if item.module == WASI_NAMESPACE and item.name in WASI_FUNCTIONS})
    if count:
        yield Finding(
            "module", f"The module imports {counted(count, 'function')} of WASI preview 1, which is enabled for it."
        )


def unknown_wasi_function(case: Case) -> Iterator[Finding]:
    """Find imports from WASI that it does not have."""
    for item in _imports(case):
        if item.module != WASI_NAMESPACE or (isinstance(item.type, FunctionType) and item.name in WASI_FUNCTIONS):
            continue
        near = case.near(item.name, [name for name, type_ in WASI_FUNCTIONS.items() if type_ == item.type])
        if item.name.startswith("sock_"):
            remedy = (
                "Open WebSockets with ws_connect and make requests with http_request: WASI preview 1 opens no sockets."
            )
        else:
            remedy = f"Import {near} if that is meant." if near else "Build for plain WASI preview 1 (wasip1)."
        yield Finding(
            f"import {_name(item)}",
            f"The module imports {_name(item)} ({shown(str(item.type))}), which WASI preview 1 does not have.",
            remedy,
        )


def wasi_unstable(case: Case) -> Iterator[Finding]:
    """Find the generation of WASI before preview 1."""
    items = [item for item in case.imports if item.module == WASI_UNSTABLE]
    if items:
        more = f" and {counted(len(items) - 1, 'other function')}" if len(items) > 1 else ""
        yield Finding(
            f"import {_name(items[0])}",
            f"The module imports {shown(items[0].name)}{more} from {WASI_UNSTABLE}, the WASI of 2019, which is not "
            "offered.",
            f"Build with a toolchain of 2020 or newer, for WASI preview 1 ({WASI_NAMESPACE}).",
        )


def foreign_abi(case: Case) -> Iterator[Finding]:
    """Find modules that were made for another system."""
    items: dict[str, list[Import]] = {}
    for item, abi in case.claims.items():
        items.setdefault(abi.name, []).append(item)
    for (first, *others), abi in ((items[abi.name], abi) for abi in FOREIGN_ABIS if abi.name in items):
        more = f" and {counted(len(others), 'other import')}" if others else ""
        what = f"it imports {_name(first)}{more} from that system's host"
        yield Finding(f"import {_name(first)}", _made_for(abi, what), abi.remedy)
    if items or case.classification.kind != PluginKind.UNKNOWN:
        return
    marked = ((export, found) for export in case.module.exports if (found := marked_by(export)) is not None)
    for export, system in itertools.islice(marked, 1):
        what = f"it exports {shown(export.name)} for that system's host"
        yield Finding(f"export {shown(export.name)}", _made_for(system, what), system.remedy)


def _made_for(abi: ForeignAbi, what: str) -> str:
    return f"The module was made for {abi.name}, not for Extism: {what}."
