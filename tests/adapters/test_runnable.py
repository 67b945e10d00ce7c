"""The detector's word on what can be run, beside the linking with the companion and Extism's own constructor.

Whatever the detector lets through must be taken by both, and what it calls impossible must be refused by one. The
modules are random ones that may import all that is offered, the detector's own fixtures, and one for each corner that
is known. Some findings are the host's own: see ``THE_HOSTS_OWN`` and ``STRICTER``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import wasmtime

from adapters.companion.linking import link
from adapters.runtime.engine import Instance, InstantiationError
from adapters.runtime.errors import CompanionError
from detectors.errors import MachineError
from detectors.formats import HEADER
from detectors.module import FunctionType
from detectors.report import ModuleReport, inspect
from detectors.rules import HOST_FUNCTIONS, KERNEL_NAMESPACE, NAMESPACES, WASI_NAMESPACE
from detectors.runtime import KERNEL_FUNCTIONS, KERNEL_ONLY, WASI_FUNCTIONS
from fixtures.diagnostics import SLUGS, near_miss, raises
from tests.support.wasm_tools import smith

INTERFACE = """(func (export "start_stream") (result i32) i32.const 0)
    (func (export "stop_stream") (result i32) i32.const 0)"""
# The host refuses these; Extism would take them, and the plugin would fail later.
THE_HOSTS_OWN = {
    "foreign-abi",  # told beside the imports that nothing answers, or where there is no interface
    "no-interface",
    "incomplete-interface",
    "wrong-export-signature",
    "go-command-module",
    "too-large",
    # What Extism would refuse by itself, but not any more where the companion stands between.
    "wrong-lifecycle-export",
    "command-and-reactor",
}
#: What is said of one import under two signatures, which are different functions of the companion: see ``STRICTER``.
TWICE = "a module can be served one of them"


def refuses(report: ModuleReport) -> bool:
    """Whether the detector says that Extism's constructor would fail."""
    errors = {found.slug for found in report.errors if TWICE not in found.message} - THE_HOSTS_OWN
    claimed = any(found.slug == "foreign-abi" and found.subject.startswith("import") for found in report.errors)
    return bool(errors) or claimed


def extism_refuses(data: bytes) -> str:
    """What the linking or Extism's constructor says against a module; empty if both take it."""
    try:
        Instance(link(data).manifest, lambda _window, _at: 0).free()
    except (CompanionError, InstantiationError, MachineError) as error:  # no machine has what some ask for
        return str(error)
    return ""


def disagreement(data: bytes) -> str:
    """What the detector says against a module, and what Extism does; empty if both refuse it, or neither."""
    report = inspect(data)
    said = extism_refuses(data)
    if refuses(report) == bool(said):
        return ""
    return f"{[str(found) for found in report.errors]}, but Extism says: {said or 'fine'}"


def agree(modules: Mapping[str, bytes]) -> None:
    """Fail with a line for each module on which they disagree."""
    lines = [f"{name}: {told}" for name, data in modules.items() if (told := disagreement(data))]
    assert not lines, "\n".join(["", *lines])


def text(function: FunctionType) -> str:
    params, results = (" ".join(values) for values in (function.params, function.results))
    return f"(func (param {params}) (result {results}))"


def module(extra: str) -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {extra} {INTERFACE})"))


OFFERED = [
    *((namespace, function.name, type_) for namespace in NAMESPACES for function in HOST_FUNCTIONS
      for type_ in function.accepted),
    *((KERNEL_NAMESPACE, name, type_) for name, type_ in KERNEL_FUNCTIONS.items()),
    *((WASI_NAMESPACE, name, type_) for name, type_ in WASI_FUNCTIONS.items()),
]  # fmt: skip


def importing(*items: tuple[str, str, str]) -> bytes:
    """A module with these imports: namespace, name, and type as text."""
    return module("".join(f'(import "{namespace}" "{name}" {type_})' for namespace, name, type_ in items))


def test_every_function_that_is_said_to_be_offered_is() -> None:
    modules = {str(item): importing((*item[:2], text(item[2]))) for item in OFFERED}
    agree(modules)
    assert [name for name, data in modules.items() if not inspect(data).runnable] == []


@pytest.mark.parametrize("name", sorted(KERNEL_ONLY))
def test_what_the_kernel_has_for_its_host_alone_is_offered_to_no_guest(name: str) -> None:
    data = importing((KERNEL_NAMESPACE, name, "(func)"))
    assert f"env.{name}` has not been defined" in extism_refuses(data)
    assert [found.slug for found in inspect(data).errors] == ["unknown-kernel-function"]


def test_under_another_signature_none_of_them_is() -> None:
    names = [(KERNEL_NAMESPACE, name) for name in KERNEL_FUNCTIONS] + [
        (WASI_NAMESPACE, name) for name in WASI_FUNCTIONS
    ]
    types = ("(func (param f32 f32) (result f64))", "(memory 1)")
    modules = {f"{names_} {type_}": importing((*names_, type_)) for names_ in names for type_ in types}
    agree(modules)
    assert [name for name, data in modules.items() if inspect(data).runnable] == []


def test_functions_of_other_versions_are_offered_by_neither() -> None:
    kernel, wasi = (
        ("input_load_u16", "error_length", "memory", "plugin_id"),
        ("sock_open", "fd_fadvise", "thread-spawn"),
    )
    names = [(KERNEL_NAMESPACE, name) for name in kernel] + [(WASI_NAMESPACE, name) for name in wasi]
    agree({name: importing((namespace, name, "(func)")) for namespace, name in names})


CORNERS = {
    "no memory": "",
    "memory64": "(memory i64 1)",
    "two memories": "(memory 1) (memory 1)",
    "shared memory": "(memory 1 2 shared)",
    "4 GiB": "(memory 65536)",
    "64 TiB": "(memory i64 1073741824)",
    "128 TiB": "(memory i64 2147483648)",
    "beyond all limits": "(memory i64 281474976710656)",
    "a long table": "(table 20000000 funcref)",
    "a table too long": "(table i64 1099511627776 funcref)",
    "garbage collection": '(type $t (struct (field i32))) (global (ref $t) (struct.new $t (i32.const 1)))',
    "exceptions": "(tag $e) (func (throw $e))",
    "vectors": "(func (param v128 v128 v128) (result v128) "
    "(i32x4.relaxed_dot_i8x16_i7x16_add_s (local.get 0) (local.get 1) (local.get 2)))",
    "tail calls": "(func $f (return_call $f))",
    "typed references": "(type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0)))",
    "wide arithmetic": "(func (param i64 i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1)))",
    "atomics without threads": "(memory 1) (func (drop (i32.atomic.load (i32.const 0))))",
    "custom page size": "(memory 1 (pagesize 1))",
    "continuations": "(type $f (func)) (type $c (cont $f))",
    "thousand parameters": f'(func (export "x") (param {"i64 " * 1000}))',
    "_start": '(func (export "_start"))',
    "_start with a parameter": '(func (export "_start") (param i32))',
    "_start is a global": '(global (export "_start") i32 (i32.const 0))',
    "_initialize": '(func (export "_initialize"))',
    "_initialize with a result": '(func (export "_initialize") (result i32) i32.const 0)',
    "_initialize is a memory": '(memory (export "_initialize") 1)',
    "both": '(func (export "_start")) (func (export "_initialize"))',
    "both, one a global": '(global (export "_start") i32 (i32.const 0)) (func (export "_initialize"))',
    "memory is a function": '(func (export "memory"))',
    "an unknown namespace": '(import "nobody" "home" (func))',
    "no namespace": '(import "" "" (func))',
    "an imported memory": '(import "env" "memory" (memory 1))',
    "a kernel function from the host": '(import "extism:host/user" "alloc" (func (param i64) (result i64)))',
    "a host function from the kernel": '(import "extism:host/env" "ws_send" (func (param i64) (result i64)))',
    "the same twice": '(import "env" "ws_send" (func (param i64) (result i64)))' * 2,
    "the log both ways from two namespaces": '(import "env" "log_record" (func (param i64)))'
    '(import "extism:host/user" "log_record" (func (param i64) (result i64)))',
    "data that fits": '(memory 1) (data (i32.const 65532) "four")',
    "data that does not": '(memory 1) (data (i32.const 65533) "four")',
    "no data at the end": '(memory 1) (data (i32.const 65536) "")',
    "no data behind it": '(memory 1) (data (i32.const 65537) "")',
    "data at a negative offset": '(memory 1) (data (i32.const -1) "")',
    "data by a global": '(memory 1) (global $g i32 (i32.const 65533)) (data (global.get $g) "four")',
    "data by a sum": '(memory 1) (data (i32.add (i32.const 65530) (i32.const 3)) "four")',
    "passive data": '(memory 1) (data "four")',
    "data of 64 bits": '(memory i64 1) (data (i64.const 0x100000000) "")',
    "data for the second memory": '(memory 1) (memory 2) (data (memory 1) (i32.const 65537) "four")',
    "elements that fit": "(table 2 funcref) (elem (i32.const 1) $f) (func $f)",
    "elements that do not": "(table 1 funcref) (elem (i32.const 1) $f) (func $f)",
    "elements by expressions": "(table 1 funcref) (elem (i32.const 0) funcref (ref.null func) (ref.null func))",
    "declared elements": "(table 0 funcref) (elem declare func $f) (func $f)",
}  # fmt: skip


def test_at_every_corner_that_is_known_they_agree() -> None:
    agree({name: module(extra) for name, extra in CORNERS.items()})


#: Modules that would run, and that the detector refuses all the same.
STRICTER = {
    "the log both ways": '(import "env" "log_record" (func (param i64)))'
    '(import "env" "log_record" (func (param i64) (result i64)))',
}


@pytest.mark.parametrize("name", STRICTER)
def test_here_the_detector_is_stricter_than_it_has_to_be(name: str) -> None:
    data = module(STRICTER[name])
    assert (inspect(data).runnable, extism_refuses(data)) == (False, "")


@pytest.mark.parametrize("make", [raises, near_miss], ids=["raises", "near miss"])
def test_over_the_detectors_fixtures_they_agree(make: Callable[[str], bytes]) -> None:
    modules = {slug: make(slug) for slug in SLUGS if slug != "too-large"}
    # What is no module at all may end Extism 1.41, and the process with it: an ELF file does.
    agree({slug: data for slug, data in modules.items() if data.startswith(HEADER)})


SHAPES: dict[str, dict[str, object]] = {
    "small": {"max-imports": 5},
    "segments": {"min-data-segments": 2, "min-element-segments": 2, "min-memories": 1, "min-tables": 1},
    "64 bits": {"memory64-enabled": True, "max-memories": 3, "max-tables": 3, "min-data-segments": 1},
    "everything": {
        "gc-enabled": True,
        "exceptions-enabled": True,
        "tail-call-enabled": True,
        "wide-arithmetic-enabled": True,
        "threads-enabled": True,
        "min-globals": 2,
        "min-data-segments": 1,
    },
}
AVAILABLE = bytes(
    wasmtime.wat2wasm("(module " + " ".join(f'(import "{n}" "{name}" {text(t)})' for n, name, t in OFFERED) + ")")
)
EXPORTED = bytes(wasmtime.wat2wasm(f"(module {INTERFACE})"))


#: So many random modules of each shape; the first of them are the same.
COUNTS = [pytest.param(10, id="few"), pytest.param(100, id="many", marks=pytest.mark.nightly)]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_over_random_modules_they_agree(shape: str, count: int, tmp_path: Path) -> None:
    available, exported = tmp_path / "available.wasm", tmp_path / "exported.wasm"
    available.write_bytes(AVAILABLE)
    exported.write_bytes(EXPORTED)
    # Only an allocator knows when the heap of the garbage collector is full.
    arrays = ("--limit-arrays-in-const-exprs", "true")
    options = ("--available-imports", str(available), "--exports", str(exported), *arrays)
    modules: dict[str, bytes] = {}
    verdicts: set[bool] = set()
    seeds = itertools.count()
    while len(modules) < count or verdicts != {True, False}:
        seed = next(seeds)
        data = smith(seed, SHAPES[shape], *options)
        if data is None:
            continue
        modules[f"seed {seed}"] = data
        verdicts.add(inspect(data).runnable)
    agree(modules)
