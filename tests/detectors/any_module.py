"""Strategies for valid modules that export and import whatever may be meant, or nearly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wasmtime
from hypothesis import strategies as st

from detectors.companion import MODULES
from detectors.rules import (
    HOST_FUNCTIONS,
    INTERFACES,
    KERNEL_NAMESPACE,
    NAMESPACES,
    WASI_NAMESPACE,
    WASI_UNSTABLE,
)
from detectors.runtime import KERNEL_FUNCTIONS, WASI_FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ANY_EXPORTS", "ANY_IMPORTS", "MISSPELLINGS", "USED", "WHOLE", "Foreign", "Item", "assembled"]

#: What is written behind a name.
Item = tuple[str, str]
#: Namespace, name and what it is.
Foreign = tuple[str, str, str]

HOSTILE = ("", "\x1b[2J\x07", "a\nb", "\u202e", "\x9b", "{0}[x](y)\\", "x" * 300)
EXPORTS = sorted({name for row in INTERFACES for name in row.exports})
LIFECYCLE = (
    "_start",
    "_initialize",
    "memory",
    "__guest_call",
    "cabi_realloc",
    "opa_eval",
    "__wbindgen_malloc",
    "compat_start",
    "__wasm_call_ctors",
    "hs_init",
)
FUNCTIONS = [function.name for function in HOST_FUNCTIONS]
IMPORTS = [*FUNCTIONS, *KERNEL_FUNCTIONS, *WASI_FUNCTIONS]
SPACES = (
    *NAMESPACES,
    KERNEL_NAMESPACE,
    WASI_NAMESPACE,
    WASI_UNSTABLE,
    "wapc",
    "wbg",
    "gojs",
    "elsewhere",
    *MODULES,
    *HOSTILE,
)


def _camel(name: str) -> str:
    first, *words = name.split("_")
    return first + "".join(word.capitalize() for word in words)


MISSPELLINGS: tuple[Callable[[str], str], ...] = (
    _camel,
    lambda name: _camel(f"_{name}"),
    lambda name: name.replace("_", "-"),
    lambda name: name + "s",
    lambda name: name[:-1],
    lambda name: name[1:2] + name[:1] + name[2:],
    str.upper,
    lambda name: name + "\x1b",
)


def _names(known: Sequence[str], *others: str) -> st.SearchStrategy[str]:
    """Known names as they are, misspelt, and others."""
    misspelt = st.builds(lambda name, change: change(name), st.sampled_from(known), st.sampled_from(MISSPELLINGS))
    return st.sampled_from(known) | misspelt | st.sampled_from((*others, *HOSTILE))


VALUES = st.lists(st.sampled_from(["i32", "i64", "f64", "v128", "externref"]), max_size=3)
USUAL = ("(result i32)", "(param i64) (result i64)", "(param i32 i32) (result i64)", "(param i64)", "")
SIGNATURES = st.sampled_from(USUAL) | st.builds(
    lambda params, results: f"(param {' '.join(params)}) (result {' '.join(results)})", VALUES, VALUES
)
OF_THE_RUNTIME = st.sampled_from(
    [
        f"(param {' '.join(type_.params)}) (result {' '.join(type_.results)})"
        for type_ in {*KERNEL_FUNCTIONS.values(), *WASI_FUNCTIONS.values()}
    ]
)
EXPORTED = st.builds("(func {{}} {} unreachable)".format, SIGNATURES) | st.sampled_from(
    ["(func {} (result i32) i32.const 0)"] * 3
    + ["(global {} i32 (i32.const 0))", "(memory {} 1)", "(table {} 1 funcref)", "(memory {} 5000)", "(tag {})"]
)
IMPORTED = st.builds("(func {})".format, SIGNATURES | OF_THE_RUNTIME) | st.sampled_from(
    ["(global i32)", "(memory 1)", "(table 1 funcref)", "(tag)"]
)
ANY_EXPORTS = st.lists(st.tuples(_names(EXPORTS, *LIFECYCLE), EXPORTED), max_size=8, unique_by=lambda export: export[0])
ANY_IMPORTS = st.lists(
    st.tuples(st.sampled_from(SPACES), _names(IMPORTS, "abort", "proxy_log", "__cxa_throw", "sock_open"), IMPORTED),
    max_size=6,
)
#: One whole interface, so that some of the modules run.
WHOLE = st.sampled_from([[], *([(n, "(func {} (result i32) i32.const 0)") for n in (*row.marks, *row.required)]
                               for row in INTERFACES)])  # fmt: skip
USED = st.lists(
    st.tuples(st.sampled_from(NAMESPACES), st.sampled_from(FUNCTIONS), st.just("(func (param i64) (result i64))")),
    max_size=3,
)


def _quoted(text: str) -> str:
    return '"' + "".join(f"\\{byte:02x}" for byte in text.encode()) + '"'


def assembled(exports: Sequence[Item], imports: Sequence[Foreign]) -> bytes:
    lines = [f"(import {_quoted(space)} {_quoted(name)} {what})" for space, name, what in imports]
    lines += [what.format(f"(export {_quoted(name)})") for name, what in exports]
    return bytes(wasmtime.wat2wasm(f"(module {' '.join(lines)})"))
