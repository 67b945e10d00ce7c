from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from detectors.catalogue import CATALOGUE
from detectors.checks.imports import (
    foreign_namespace,
    mixed_namespaces,
    unknown_host_function,
)
from detectors.classify import classify
from detectors.diagnostics import MAX_FINDINGS, diagnose
from detectors.module import FunctionType, OtherType
from detectors.rules import (
    HOST_FUNCTIONS,
    KERNEL_NAMESPACE,
    NAMESPACES,
    POINTER_LENGTH_ABI,
    WASI_NAMESPACE,
    WASI_UNSTABLE,
)
from detectors.runtime import KERNEL_FUNCTIONS, WASI_FUNCTIONS
from tests.detectors.checks.finding import CHECKS, OFFSET, checks_that_find, findings, importing, importing_one

if TYPE_CHECKING:
    from detectors.module import ExternType

HOST_NAMES = ", ".join(function.name for function in HOST_FUNCTIONS[:-1]) + f" and {HOST_FUNCTIONS[-1].name}"


def _offered_type(name: str) -> FunctionType:
    """The signature of a function of the runtime; that of a host function for any other name."""
    return {**WASI_FUNCTIONS, **KERNEL_FUNCTIONS}.get(name, OFFSET)


# What is offered.


def test_everything_that_is_offered_is_silent() -> None:
    offered: list[tuple[str, str, ExternType]] = [("env", function.name, function.type) for function in HOST_FUNCTIONS]
    offered += [
        (KERNEL_NAMESPACE, name, type_) for name, type_ in KERNEL_FUNCTIONS.items() if not name.startswith("http_")
    ]
    assert checks_that_find(importing(*offered)) == []
    wasi: list[tuple[str, str, ExternType]] = [(WASI_NAMESPACE, name, type_) for name, type_ in WASI_FUNCTIONS.items()]
    assert checks_that_find(importing(*offered, *wasi)) == ["needs_wasi"]


def test_each_host_function_is_offered_in_either_namespace() -> None:
    offered = list(itertools.product(NAMESPACES, (function.name for function in HOST_FUNCTIONS)))
    assert [item for item in offered if checks_that_find(importing_one(*item))] == []


def test_every_wrong_import_is_found_by_one_check_only() -> None:
    for module, check in (
        (importing_one("env", "ws_recieve"), "unknown_host_function"),
        (importing_one("nowhere", "nothing"), "unknown_host_function"),
        (importing_one("env", "memory", OtherType("memory")), "unknown_host_function"),
        (importing_one("env", "ws_send", FunctionType()), "wrong_import_signature"),
        (importing_one("env", "ws_send", OtherType("global")), "unknown_host_function"),
        (importing_one("other", "ws_send"), "foreign_namespace"),
        (importing_one("env", "alloc"), "foreign_namespace"),
        (importing_one("env", "free", FunctionType(("i32",), ())), "unknown_host_function"),
        (importing_one("other", "fd_write", WASI_FUNCTIONS["fd_write"]), "foreign_namespace"),
        (importing_one("other", "fd_write"), "unknown_host_function"),
        (importing_one(KERNEL_NAMESPACE, "nothing"), "unknown_kernel_function"),
        (importing_one(KERNEL_NAMESPACE, "ws_send"), "unknown_kernel_function"),
        (importing_one(KERNEL_NAMESPACE, "alloc", FunctionType()), "wrong_import_signature"),
        (importing_one(KERNEL_NAMESPACE, "alloc", OtherType("table")), "unknown_kernel_function"),
        (importing_one(WASI_UNSTABLE, "fd_write"), "wasi_unstable"),
        (importing_one("env", "proxy_log"), "unknown_host_function"),
        (importing(("env", "proxy_log", OFFSET), exports=()), "foreign_abi"),
        (importing_one("wapc", "__host_call"), "foreign_abi"),
    ):
        assert checks_that_find(module) == [check]
    assert checks_that_find(importing_one(WASI_NAMESPACE, "nothing")) == ["unknown_wasi_function"]
    assert checks_that_find(importing_one(WASI_NAMESPACE, "fd_write")) == ["needs_wasi", "wrong_import_signature"]


# Nothing answers.


@pytest.mark.parametrize("namespace", [*NAMESPACES, "elsewhere"])
def test_an_import_that_nothing_answers(namespace: str) -> None:
    (found,) = findings(unknown_host_function, importing_one(namespace, "read_disk"))
    assert (found.subject, found.severity) == (f"import {namespace} read_disk", None)
    assert found.message == (f"The module imports {namespace} read_disk ((i64) -> i64), which the host does not offer.")
    assert found.remedy == f"Remove the call that needs it. The host offers {HOST_NAMES}."


@pytest.mark.parametrize(
    ("name", "meant"), [("ws_recieve", "ws_receive"), ("wsSend", "ws_send"), ("publish_stream", "publish_stream_data")]
)
def test_a_misspelt_host_function_is_recognised(name: str, meant: str) -> None:
    (found,) = findings(unknown_host_function, importing_one("env", name))
    assert found.remedy == f"Import {meant} from env, if that is meant."


@pytest.mark.parametrize(
    ("namespace", "right"),
    [(NAMESPACES[0], NAMESPACES[0]), (NAMESPACES[1], NAMESPACES[1]), ("elsewhere", NAMESPACES[0])],
)
def test_a_misspelt_host_function_keeps_the_served_namespace_in_which_it_was_imported(
    namespace: str, right: str
) -> None:
    (found,) = findings(unknown_host_function, importing_one(namespace, "ws_recieve"))
    assert found.remedy.startswith(f"Import ws_receive from {right}, ")
    (declared,) = findings(unknown_host_function, importing_one(namespace, "ws_recieve"), "Go")
    assert f"//go:wasmimport {right} ws_receive." in declared.remedy


def test_a_misspelt_host_function_of_another_signature_is_told_the_right_one() -> None:
    (found,) = findings(unknown_host_function, importing_one("env", "ws_recieve", POINTER_LENGTH_ABI))
    assert "Import ws_receive from env as (i64) -> i64, if that is meant" in found.remedy
    silent = FunctionType(("i64",), ())
    (other,) = findings(unknown_host_function, importing_one("env", "log_recrod", silent))
    assert "Import log_record from env, if that is meant" in other.remedy


def test_a_name_too_long_to_be_misspelt_is_not_compared() -> None:
    (found,) = findings(unknown_host_function, importing_one("env", "ws_receive" * 7))
    assert found.remedy.startswith("Remove the call")


def test_an_imported_memory_is_told_the_flag_that_imports_it() -> None:
    (found,) = findings(unknown_host_function, importing_one("env", "memory", OtherType("memory")))
    assert (found.subject, found.message) == (
        "import env memory",
        "The module imports env memory (memory), which the host does not offer.",
    )
    assert found.remedy == ("Build without --import-memory: a plugin defines its own memory and exports it as memory.")


@pytest.mark.parametrize("kind", ["table", "global", "tag"])
def test_anything_else_that_is_imported_must_be_defined(kind: str) -> None:
    (found,) = findings(unknown_host_function, importing_one("env", "ws_send", OtherType(kind)))
    assert found.message == f"The module imports env ws_send ({kind}), which the host does not offer."
    assert found.remedy == f"Define the {kind} in the module: a host offers plugins functions only."


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("abort", "Build with asc --use abort="),
        ("seed", "Do not call Math.random()"),
        ("trace", "Do not call trace()"),
        ("console.log", "Do not call console.log()"),
        ("Date.now", "Do not call Date.now()"),
    ],
)
def test_what_assemblyscript_imports_by_itself_has_its_own_remedy(name: str, remedy: str) -> None:
    module = importing_one("env", name, FunctionType(("i32", "i32", "i32", "i32"), ()))
    (found,) = findings(unknown_host_function, module, "AssemblyScript")
    assert found.subject == f"import env {name}"
    assert found.remedy.startswith(remedy)
    (other,) = findings(unknown_host_function, module, "Rust")
    assert not other.remedy.startswith(remedy)


@pytest.mark.parametrize("name", ["trace", "console.log", "Date.now"])
def test_what_assemblyscript_imports_is_replaced_by_a_host_function(name: str) -> None:
    (found,) = findings(unknown_host_function, importing_one("env", name), "AssemblyScript")
    (instead,) = (function for function in HOST_FUNCTIONS if function.name in found.remedy)
    assert instead.name == ("time_now" if name == "Date.now" else "log_record")


def test_an_import_that_is_made_twice_is_told_once() -> None:
    item = ("env", "read_disk", OFFSET)
    assert len(findings(unknown_host_function, importing(item, item))) == 1
    assert len(findings(unknown_host_function, importing(item, ("env", "read_disk", FunctionType())))) == 2


def test_more_than_twenty_findings_are_counted() -> None:
    module = importing(*(("env", f"f{n}", OFFSET) for n in range(MAX_FINDINGS + 5)))
    found = diagnose(module, classify(module), CATALOGUE)
    assert [item.slug for item in found] == ["unknown-host-function"] * (MAX_FINDINGS + 1)
    assert found[-1].message == "There are 5 more findings of this sort."


# In another namespace.


@pytest.mark.parametrize(
    ("namespace", "name", "what", "right"),
    [
        ("extism:host", "ws_send", "host function", "env"),
        ("wasi", "time_now", "host function", "env"),
        ("env", "alloc", "function of Extism's kernel", "extism:host/env"),
        ("extism:host/user", "output_set", "function of Extism's kernel", "extism:host/env"),
        ("extism", "config_get", "function of Extism's kernel", "extism:host/env"),
        ("wasi", "fd_write", "function of WASI", "wasi_snapshot_preview1"),
        ("wasi_snapshot_preview2", "clock_time_get", "function of WASI", "wasi_snapshot_preview1"),
    ],
)
def test_a_function_that_exists_in_another_namespace(namespace: str, name: str, what: str, right: str) -> None:
    (found,) = findings(foreign_namespace, importing_one(namespace, name, _offered_type(name)))
    assert (found.subject, found.severity) == (f"import {namespace} {name}", None)
    assert found.message == (
        f"The module imports the {what} {name} from the namespace {namespace}, where the host does not serve it."
    )
    assert found.remedy == f"Import it from {right}."


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("free", FunctionType(("i32",), ())),
        ("reset", FunctionType(("i32",), ())),
        ("alloc", FunctionType(("i32",), ("i32",))),
        ("fd_write", OFFSET),
    ],
)
def test_a_runtimes_function_under_another_signature_is_some_other_function(name: str, type_: FunctionType) -> None:
    for namespace in (*NAMESPACES, "elsewhere"):
        assert checks_that_find(importing_one(namespace, name, type_)) == ["unknown_host_function"], namespace


@pytest.mark.parametrize("type_", [OFFSET, POINTER_LENGTH_ABI, FunctionType()], ids=str)
def test_a_host_function_is_misplaced_under_any_signature(type_: FunctionType) -> None:
    assert checks_that_find(importing_one("elsewhere", "ws_send", type_)) == ["foreign_namespace"]


def test_a_namespace_without_a_name() -> None:
    (found,) = findings(foreign_namespace, importing_one("", "ws_send"))
    assert found.subject == "import (no namespace) ws_send"
    assert "from a namespace without a name, where" in found.message


@pytest.mark.parametrize("toolchain", ["Go", "TinyGo"])
@pytest.mark.parametrize(
    ("name", "right"),
    [("ws_send", "env"), ("alloc", "extism:host/env"), ("fd_write", "wasi_snapshot_preview1")],
)
def test_in_go_the_remedy_is_the_directive(toolchain: str, name: str, right: str) -> None:
    module = importing_one("host", name, _offered_type(name))
    (found,) = findings(foreign_namespace, module, toolchain)
    assert found.remedy == f"Import it from {right}: //go:wasmimport {right} {name}."
    (other,) = findings(foreign_namespace, module, "Rust")
    assert "go:wasmimport" not in other.remedy
    assert right in other.remedy


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_one_host_function_from_each_namespace_is_worth_knowing(namespace: str) -> None:
    assert findings(mixed_namespaces, importing_one(namespace, "ws_send")) == []
    other = next(item for item in NAMESPACES if item != namespace)
    (found,) = findings(
        mixed_namespaces,
        importing(
            (namespace, "ws_send", OFFSET),
            (namespace, "ws_send", OFFSET),
            (namespace, "ws_close", OFFSET),
            (other, "time_now", OFFSET),
        ),
    )
    assert (found.subject, found.remedy) == ("module", "")
    assert found.message == (
        f"The module imports 2 host functions from {namespace} and 1 host function from {other}; both namespaces are "
        "served."
    )


# Names.


LONG = "x" * 200


@pytest.mark.parametrize("name", [LONG, "\x1b[2J\x1b]0;x\x07", "a\nb\r\0", "\u202e\u2066"], ids=ascii)
def test_names_from_the_module_stay_printable_and_short(name: str) -> None:
    module = importing(
        (name, name, OFFSET),
        ("env", name, OFFSET),
        (name, "ws_send", OFFSET),
        (name, "alloc", OFFSET),
        ("env", "proxy_" + name, OFFSET),
        ("wbg", name, OFFSET),
        (KERNEL_NAMESPACE, name, OFFSET),
        (KERNEL_NAMESPACE, "http_request", OFFSET),
        (WASI_NAMESPACE, name, OFFSET),
        (WASI_NAMESPACE, "fd_read", OFFSET),
        (WASI_UNSTABLE, name, OFFSET),
        ("extism:host/user", "time_now", OFFSET),
        ("env", "time_now", OFFSET),
        exports=(),
    )
    for check in CHECKS:
        found = findings(check, module, "Go")
        assert found, check.__name__
        for item in found:
            assert (item.subject + item.message + item.remedy).isprintable()
            assert len(item.subject) < 200
            assert max(len(item.message), len(item.remedy)) <= 500
