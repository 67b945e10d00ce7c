"""Valid modules that export and import whatever may be meant, or nearly: a report of each, and never an error."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
import wasmtime
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors.catalogue import CATALOGUE
from detectors.report import ModuleReport, inspect
from detectors.rules import (
    HOST_FUNCTIONS,
    INTERFACES,
    KERNEL_NAMESPACE,
    NAMESPACES,
    WASI_NAMESPACE,
    WASI_UNSTABLE,
    Interface,
)
from detectors.runtime import KERNEL_FUNCTIONS, WASI_FUNCTIONS
from tests.detectors.examples import few_and_many

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: What is written behind a name.
Item = tuple[str, str]
#: Namespace, name and what it is.
Foreign = tuple[str, str, str]

RULES = {rule.slug for rule in CATALOGUE}
HOSTILE = ("", "\x1b[2J\x07", "a\nb", "\u202e", "\x9b", "{0}[x](y)\\", "x" * 300)
EXPORTS = sorted({name for row in INTERFACES for name in row.exports})
LIFECYCLE = ("_start", "_initialize", "memory", "__guest_call", "cabi_realloc", "opa_eval", "__wbindgen_malloc")
FUNCTIONS = [function.name for function in HOST_FUNCTIONS]
IMPORTS = [*FUNCTIONS, *KERNEL_FUNCTIONS, *WASI_FUNCTIONS]
SPACES = (*NAMESPACES, KERNEL_NAMESPACE, WASI_NAMESPACE, WASI_UNSTABLE, "wapc", "wbg", "gojs", "elsewhere", *HOSTILE)


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


def _module(exports: Sequence[Item], imports: Sequence[Foreign]) -> bytes:
    lines = [f"(import {_quoted(space)} {_quoted(name)} {what})" for space, name, what in imports]
    lines += [what.format(f"(export {_quoted(name)})") for name, what in exports]
    return bytes(wasmtime.wat2wasm(f"(module {' '.join(lines)})"))


def _sound(report: ModuleReport) -> None:
    """That a report says what it may say, and in which form."""
    assert report.runnable is (bool(report.offers) and not report.errors)
    assert not report.runnable or report.offers[0].usable
    assert report.reason.isprintable()
    for found in report.diagnostics:
        assert found.slug in RULES
        assert found.message.endswith(".")
        assert found.remedy.endswith(".") or not found.remedy
        assert (found.subject + found.text).isprintable()
        assert len(found.text) < 1_500
    usable = [offer.usable for offer in report.offers]
    assert usable == sorted(usable, reverse=True)
    assert report.to_dict()["runnable"] is report.runnable


@few_and_many(40, 1_000)
def test_a_module_of_any_exports_and_imports_has_a_report(examples: int) -> None:
    @settings(max_examples=examples)
    @given(ANY_EXPORTS, ANY_IMPORTS)
    @example([("start_stream", "(global {} i32 (i32.const 0))"), ("stop_stream", "(memory {} 1)")], [])
    @example([("handle_stream_message", "(memory {} 1)"), ("prepare_stream", "(func {} (result i32) i32.const 0)")], [])
    @example([("start_stream", "(table {} 1 funcref)"), ("startStream", "(func {} (param i32))")], [])
    def has_a_report(exports: list[Item], imports: list[Foreign]) -> None:
        report = inspect(_module(exports, imports))
        assert {"invalid-module", "too-large"}.isdisjoint(found.slug for found in report.diagnostics)
        assert [item.name for item in report.exports] == [name for name, _ in exports]
        assert [(item.module, item.name) for item in report.imports] == [(space, name) for space, name, _ in imports]
        _sound(report)

    has_a_report()


@few_and_many(30, 500)
def test_what_a_plugin_exports_besides_never_raises(examples: int) -> None:
    @settings(max_examples=examples)
    @given(WHOLE, ANY_EXPORTS, USED)
    def has_a_report(whole: list[Item], others: list[Item], used: list[Foreign]) -> None:
        names = {name for name, _ in whole}
        report = inspect(_module([*whole, *(item for item in others if item[0] not in names)], used))
        _sound(report)
        if whole:
            assert report.offers[0].usable

    has_a_report()


@pytest.mark.parametrize("row", INTERFACES, ids=str)
def test_a_mark_that_is_no_function_beside_misspelt_companions_has_a_report(row: Interface) -> None:
    whats = ("(global {} i32 (i32.const 0))", "(memory {} 1)", "(table {} 1 funcref)")
    for what, misspelt in itertools.product(whats, MISSPELLINGS):
        exports = [(mark, what) for mark in row.marks]
        names = [misspelt(name) for name in (*row.required, *row.optional)]
        exports += [(name, "(func {} (result i32) i32.const 0)") for name in names]
        report = inspect(_module(exports, []))
        _sound(report)
        assert not report.runnable, (what, names)
        assert {found.slug for found in report.errors} == {"no-interface", "wrong-export-signature"}, (what, names)
