"""The plugin systems of others: by which imports and exports their modules are told, and what to do with one.

A row says "this is a module of another system" in one finding, where the rules for imports could only list a dozen
that nobody answers. The marks are names that these systems alone use.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from detectors.module import Export, Import

__all__ = ["FOREIGN_ABIS", "ForeignAbi", "claimed_by", "marked_by"]


@attrs.frozen
class ForeignAbi:
    """Another system's interface.

    Attributes:
        name: The system, as in "was made for ...".
        remedy: What to do with such a module.
        imports: A pattern for the beginning of ``<namespace> <name>`` of its imports; empty if they tell nothing.
        exports: A pattern for the beginning of the names of its exports; empty if they tell nothing.
    """

    name: str
    remedy: str
    imports: str = ""
    exports: str = ""


_PORT = "Write the plugin against an Extism PDK and one of the plugin interfaces; its logic can stay, its glue cannot."

#: The more exact mark first.
FOREIGN_ABIS: tuple[ForeignAbi, ...] = (
    ForeignAbi("waPC", _PORT, imports=r"wapc ", exports=r"__guest_call$|wapc_init$"),
    ForeignAbi("proxy-wasm", _PORT, imports=r"env proxy_", exports=r"proxy_abi_version_|proxy_on_"),
    ForeignAbi(
        "Javy",
        "Build JavaScript plugins with extism-js instead of javy.",
        imports=r"javy",
        exports=r"javy|compile_src$|eval_bytecode$|initialize_runtime$",
    ),
    ForeignAbi(
        "wasm-bindgen",
        "Build with cargo build --target wasm32-wasip1 and the extism-pdk crate, without wasm-bindgen and wasm-pack: "
        "their modules need a JavaScript host.",
        imports=r"__wbindgen_|wbg |\./\S*_bg\.js ",
        exports=r"__wbindgen_",
    ),
    ForeignAbi(
        "Go in JavaScript (GOOS=js)",
        "Build for WASI: GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared, or tinygo build -target wasip1 "
        "-buildmode=c-shared.",
        imports=r"gojs |go (?:runtime|syscall)",
    ),
    ForeignAbi(
        "WASI preview 2",
        "Build a core module for WASI preview 1 (wasm32-wasip1): this one is made to be wrapped into a component.",
        imports=r"wasi:|cm32p2|\[export\]",
        exports=r"cabi_realloc$|cm32p2|wasi:",
    ),
    ForeignAbi("WASIX", "Build for plain WASI preview 1: no part of WASIX is offered here.", imports=r"wasix_"),
    ForeignAbi(
        "WASI threads",
        "Build without threads (wasm32-wasip1, not wasm32-wasip1-threads): a plugin runs on one.",
        imports=r"wasi thread-spawn$",
        exports=r"wasi_thread_start$",
    ),
    ForeignAbi(
        "Extism before 1.0",
        "Update the Extism PDK to version 1 or newer and build the plugin again.",
        imports=r"env extism_",
    ),
    ForeignAbi("Open Policy Agent", _PORT, imports=r"env opa_", exports=r"opa_"),
    ForeignAbi("CosmWasm", _PORT, imports=r"env (?:db_read|addr_validate)$", exports=r"interface_version_\d"),
    ForeignAbi("Fastly Compute", _PORT, imports=r"fastly_"),
    ForeignAbi("Lunatic", _PORT, imports=r"lunatic::"),
    ForeignAbi(
        "Emscripten",
        "Build with the WASI SDK's clang as a reactor (-mexec-model=reactor) and the Extism C PDK: Emscripten's "
        "modules need its JavaScript.",
        imports=r"env (?:_?emscripten_|__syscall_|_embind_|_abort_js$|_tzset_js$)",
        exports=r"_?emscripten_|dynCall_",
    ),
)


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """One pattern that finds what any finds; its number tells which."""
    return re.compile("|".join(f"({pattern or '(?!)'})" for pattern in patterns))


_IMPORTS = _any_of(abi.imports for abi in FOREIGN_ABIS)
_EXPORTS = _any_of(abi.exports for abi in FOREIGN_ABIS)


def claimed_by(item: Import) -> ForeignAbi | None:
    """Return the system whose modules import this, or None."""
    match = _IMPORTS.match(f"{item.module} {item.name}")
    return None if match is None or match.lastindex is None else FOREIGN_ABIS[match.lastindex - 1]


def marked_by(export: Export) -> ForeignAbi | None:
    """Return the system whose modules export this, or None."""
    match = _EXPORTS.match(export.name)
    return None if match is None or match.lastindex is None else FOREIGN_ABIS[match.lastindex - 1]
