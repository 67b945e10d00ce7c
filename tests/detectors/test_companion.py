"""The tables of forms: a module of each, what the table and the report say of it, and that they agree."""

from __future__ import annotations

import pytest
import wasmtime

from detectors.companion import (
    MODULES,
    REFUSED,
    SHIM_FUNCTIONS,
    WITHOUT_SHIM,
    Shape,
    refused,
    reserved,
    shape_of_module,
    shape_of_sections,
    without_shim,
)
from detectors.diagnostics import Severity
from detectors.module import read_module
from detectors.report import ModuleReport, inspect
from detectors.rules import WASI_NAMESPACE
from detectors.runtime import WASI_FUNCTIONS
from detectors.sections import read_sections

PLUGIN = """(func (export "start_stream") (result i32) i32.const 0)
    (func (export "stop_stream") (result i32) i32.const 0)"""
MEMORY = '(memory (export "memory") 1)'

#: A module of each refused form, the subject, and the finding that says so.
REFUSALS = {
    "import-from-companion": (f'(import "compat" "begin" (func)) {MEMORY}', "import compat begin", "reserved-name"),
    "companion-export": (
        f'{MEMORY} (global (export "compat_x") i32 (i32.const 0))',
        "export compat_x",
        "reserved-name",
    ),
    "shared-memory": ('(memory (export "memory") 1 2 shared)', "section memory", "shared-memory"),
    "imported-memory": ('(import "env" "memory" (memory 1))', "import env memory", "unknown-host-function"),
    "imported-table": ('(import "env" "t" (table 1 funcref))', "import env t", "unknown-host-function"),
    "imported-global": (
        '(import "extism:host/env" "g" (global i32))',
        "import extism:host/env g",
        "unknown-kernel-function",
    ),
    "imported-tag": (
        '(import "wasi_snapshot_preview1" "x" (tag))',
        f"import {WASI_NAMESPACE} x",
        "unknown-wasi-function",
    ),
}
#: The memories of a module of each form that has no shim.
UNSERVED = {
    "no-memory": "",
    "several-memories": f"{MEMORY} (memory 1)",
    "memory64": '(memory (export "memory") i64 1)',
    "other-memory-export": '(memory (export "heap") 1) (func (export "memory"))',
}


def module(extra: str) -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {extra} {PLUGIN})"))


def shape(data: bytes) -> Shape:
    found = shape_of_module(read_module(data))
    assert shape_of_sections(read_sections(data)) == found
    return found


def errors(report: ModuleReport) -> list[tuple[str, str]]:
    return [(found.slug, found.subject) for found in report.errors]


def test_there_is_a_module_here_for_each_row() -> None:
    assert [form.name for form in REFUSED] == list(REFUSALS)
    assert [form.name for form in WITHOUT_SHIM] == list(UNSERVED)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_form_is_found_and_is_the_one_error_of_the_report(name: str) -> None:
    extra, subject, slug = REFUSALS[name]
    assert [(form.name, where) for form, where in refused(shape(module(extra)))] == [(name, subject)]
    assert errors(inspect(module(extra))) == [(slug, subject)]


@pytest.mark.parametrize("namespace", MODULES)
@pytest.mark.parametrize("what", ["(func (param i64) (result i64))", "(memory 1)", "(tag)"])
@pytest.mark.parametrize("name", ["ws_send", "alloc", "proc_exit", "ws_sent", ""])
def test_an_import_from_a_module_of_the_host_s_is_reported_once(namespace: str, what: str, name: str) -> None:
    report = inspect(module(f'(import "{namespace}" "{name}" {what})' * 2))
    (found,) = report.errors
    assert (found.slug, found.subject) == ("reserved-name", f"import {namespace} {name or '(no name)'}")
    assert "(compat, compat:host, compat:shim, compat:guest, main)" in found.message
    assert found.remedy.startswith("Import host functions from env")


def test_every_reserved_export_is_reported() -> None:
    names = ("compat_start", "compat_init", "compat_", "compat", "Compat_x", "x_compat_")
    report = inspect(module("".join(f'(func (export "{name}"))' for name in names)))
    assert errors(report) == [("reserved-name", f"export {name}") for name in names[:3]]


@pytest.mark.parametrize("name", UNSERVED)
@pytest.mark.parametrize("functions", [["poll_oneoff"], ["fd_write"], ["fd_write", "poll_oneoff"]], ids=" ".join)
def test_a_form_without_shim_is_a_warning_where_it_loses_something(name: str, functions: list[str]) -> None:
    imports = "".join(
        f'(import "{WASI_NAMESPACE}" "{function}" (func (param i32 i32 i32 i32) (result i32)))'
        for function in functions
    )
    data = module(imports + UNSERVED[name])
    form = without_shim(shape(data))
    assert form is not None
    assert form.name == name
    assert not list(refused(shape(data)))
    report = inspect(data)
    assert report.runnable
    (found,) = (found for found in report.diagnostics if found.slug == "unserved-wasi")
    assert found.severity is Severity.WARNING
    assert found.message.startswith(f"The module {form.what}, so the host cannot serve it ")
    told = {function for function, lost in SHIM_FUNCTIONS.items() if lost in found.message}
    assert told == set(functions)
    assert found.remedy == f"{form.remedy}."


@pytest.mark.parametrize("name", UNSERVED)
def test_a_form_without_shim_that_loses_nothing_is_no_finding(name: str) -> None:
    data = module(f'(import "{WASI_NAMESPACE}" "random_get" (func (param i32 i32) (result i32))) {UNSERVED[name]}')
    assert "unserved-wasi" not in {found.slug for found in inspect(data).diagnostics}


@pytest.mark.parametrize("memory", [MEMORY, "(memory 1)", '(memory (export "heap") 1)', "(memory 0 65536)"])
def test_one_memory_of_32_bits_is_served_whatever_its_name(memory: str) -> None:
    found = shape(module(memory))
    assert without_shim(found) is None
    assert list(refused(found)) == list(reserved(found)) == []


def test_a_name_in_a_subject_is_made_safe_to_print() -> None:
    subjects = [subject for _, subject in refused(Shape((("main", "a\nb", "function"), ("", "\x1b", "tag"))))]
    assert subjects == ["import main a\\nb", "import (no namespace) \\x1b"]


def test_what_the_shim_serves_is_of_wasi() -> None:
    assert set(SHIM_FUNCTIONS) <= set(WASI_FUNCTIONS)
