from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from detectors.catalogue import CATALOGUE
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
from detectors.diagnostics import MAX_FINDINGS, Case, Finding, diagnose
from detectors.module import Export, FunctionType, Import, ModuleInterface, OtherType
from detectors.rules import (
    HOST_FUNCTIONS,
    INTERFACES,
    KERNEL_NAMESPACE,
    NAMESPACES,
    POINTER_LENGTH_ABI,
    WASI_NAMESPACE,
    WASI_UNSTABLE,
    HostFunction,
)
from detectors.runtime import KERNEL_FUNCTIONS, WASI_FUNCTIONS
from detectors.toolchain import Toolchain

if TYPE_CHECKING:
    from detectors.diagnostics import Check
    from detectors.module import ExternType

OFFSET = FunctionType(("i64",), ("i64",))
PORT = "Write the plugin against an Extism PDK and one of the plugin interfaces; its logic can stay, its glue cannot."
HOST_NAMES = ", ".join(function.name for function in HOST_FUNCTIONS[:-1]) + f" and {HOST_FUNCTIONS[-1].name}"
GENERIC = ("start_stream", "stop_stream")
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


def _module(*imports: tuple[str, str, ExternType], exports: tuple[str, ...] = GENERIC) -> ModuleInterface:
    return ModuleInterface(
        imports=tuple(Import(*item) for item in imports),
        exports=tuple(Export(name, FunctionType((), ("i32",))) for name in exports),
        size=0,
        sha256="",
    )


def _found(check: Check, module: ModuleInterface, toolchain: str | None = None) -> list[Finding]:
    if toolchain is not None:
        module = attrs.evolve(module, toolchain=Toolchain(toolchain))
    return list(check(Case(module, classify(module), INTERFACES)))


def _function(namespace: str, name: str, type_: ExternType = OFFSET) -> ModuleInterface:
    """A module with this one import."""
    return _module((namespace, name, type_))


def _offered_type(name: str) -> FunctionType:
    """The signature of a function of the runtime; that of a host function for any other name."""
    return {**WASI_FUNCTIONS, **KERNEL_FUNCTIONS}.get(name, OFFSET)


def _checks_that_find(module: ModuleInterface) -> list[str]:
    return [check.__name__ for check in CHECKS if _found(check, module)]


# What is offered.


def test_everything_that_is_offered_is_silent() -> None:
    offered: list[tuple[str, str, ExternType]] = [("env", function.name, function.type) for function in HOST_FUNCTIONS]
    offered += [
        (KERNEL_NAMESPACE, name, type_) for name, type_ in KERNEL_FUNCTIONS.items() if not name.startswith("http_")
    ]
    assert _checks_that_find(_module(*offered)) == []
    wasi: list[tuple[str, str, ExternType]] = [(WASI_NAMESPACE, name, type_) for name, type_ in WASI_FUNCTIONS.items()]
    assert _checks_that_find(_module(*offered, *wasi)) == ["needs_wasi"]


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("name", [function.name for function in HOST_FUNCTIONS])
def test_a_host_function_is_offered_in_either_namespace(namespace: str, name: str) -> None:
    assert _checks_that_find(_function(namespace, name)) == []


def test_every_wrong_import_is_found_by_one_check_only() -> None:
    for module, check in (
        (_function("env", "ws_recieve"), "unknown_host_function"),
        (_function("nowhere", "nothing"), "unknown_host_function"),
        (_function("env", "memory", OtherType("memory")), "unknown_host_function"),
        (_function("env", "ws_send", FunctionType()), "wrong_import_signature"),
        (_function("env", "ws_send", OtherType("global")), "unknown_host_function"),
        (_function("other", "ws_send"), "foreign_namespace"),
        (_function("env", "alloc"), "foreign_namespace"),
        (_function("env", "free", FunctionType(("i32",), ())), "unknown_host_function"),
        (_function("other", "fd_write", WASI_FUNCTIONS["fd_write"]), "foreign_namespace"),
        (_function("other", "fd_write"), "unknown_host_function"),
        (_function(KERNEL_NAMESPACE, "nothing"), "unknown_kernel_function"),
        (_function(KERNEL_NAMESPACE, "ws_send"), "unknown_kernel_function"),
        (_function(KERNEL_NAMESPACE, "alloc", FunctionType()), "wrong_import_signature"),
        (_function(KERNEL_NAMESPACE, "alloc", OtherType("table")), "unknown_kernel_function"),
        (_function(WASI_UNSTABLE, "fd_write"), "wasi_unstable"),
        (_function("env", "proxy_log"), "unknown_host_function"),
        (_module(("env", "proxy_log", OFFSET), exports=()), "foreign_abi"),
        (_function("wapc", "__host_call"), "foreign_abi"),
    ):
        assert _checks_that_find(module) == [check]
    assert _checks_that_find(_function(WASI_NAMESPACE, "nothing")) == ["unknown_wasi_function"]
    assert _checks_that_find(_function(WASI_NAMESPACE, "fd_write")) == ["needs_wasi", "wrong_import_signature"]


# Nothing answers.


@pytest.mark.parametrize("namespace", [*NAMESPACES, "elsewhere"])
def test_an_import_that_nothing_answers(namespace: str) -> None:
    (found,) = _found(unknown_host_function, _function(namespace, "read_disk"))
    assert (found.subject, found.severity) == (f"import {namespace} read_disk", None)
    assert found.message == (f"The module imports {namespace} read_disk ((i64) -> i64), which the host does not offer.")
    assert found.remedy == f"Remove the call that needs it. The host offers {HOST_NAMES}."


@pytest.mark.parametrize(
    ("name", "meant"), [("ws_recieve", "ws_receive"), ("wsSend", "ws_send"), ("publish_stream", "publish_stream_data")]
)
def test_a_misspelt_host_function_is_recognised(name: str, meant: str) -> None:
    (found,) = _found(unknown_host_function, _function("env", name))
    assert found.remedy == f"Import {meant} from env, if that is meant."


@pytest.mark.parametrize(
    ("namespace", "right"),
    [(NAMESPACES[0], NAMESPACES[0]), (NAMESPACES[1], NAMESPACES[1]), ("elsewhere", NAMESPACES[0])],
)
def test_a_misspelt_host_function_keeps_the_served_namespace_in_which_it_was_imported(
    namespace: str, right: str
) -> None:
    (found,) = _found(unknown_host_function, _function(namespace, "ws_recieve"))
    assert found.remedy.startswith(f"Import ws_receive from {right}, ")
    (declared,) = _found(unknown_host_function, _function(namespace, "ws_recieve"), "Go")
    assert f"//go:wasmimport {right} ws_receive." in declared.remedy


def test_a_misspelt_host_function_of_another_signature_is_told_the_right_one() -> None:
    (found,) = _found(unknown_host_function, _function("env", "ws_recieve", POINTER_LENGTH_ABI))
    assert "Import ws_receive from env as (i64) -> i64, if that is meant" in found.remedy
    silent = FunctionType(("i64",), ())
    (other,) = _found(unknown_host_function, _function("env", "log_recrod", silent))
    assert "Import log_record from env, if that is meant" in other.remedy


def test_a_name_too_long_to_be_misspelt_is_not_compared() -> None:
    (found,) = _found(unknown_host_function, _function("env", "ws_receive" * 7))
    assert found.remedy.startswith("Remove the call")


def test_an_imported_memory_is_told_the_flag_that_imports_it() -> None:
    (found,) = _found(unknown_host_function, _function("env", "memory", OtherType("memory")))
    assert (found.subject, found.message) == (
        "import env memory",
        "The module imports env memory (memory), which the host does not offer.",
    )
    assert found.remedy == ("Build without --import-memory: a plugin defines its own memory and exports it as memory.")


@pytest.mark.parametrize("kind", ["table", "global", "tag"])
def test_anything_else_that_is_imported_must_be_defined(kind: str) -> None:
    (found,) = _found(unknown_host_function, _function("env", "ws_send", OtherType(kind)))
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
    module = _function("env", name, FunctionType(("i32", "i32", "i32", "i32"), ()))
    (found,) = _found(unknown_host_function, module, "AssemblyScript")
    assert found.subject == f"import env {name}"
    assert found.remedy.startswith(remedy)
    (other,) = _found(unknown_host_function, module, "Rust")
    assert not other.remedy.startswith(remedy)


@pytest.mark.parametrize("name", ["trace", "console.log", "Date.now"])
def test_what_assemblyscript_imports_is_replaced_by_a_host_function(name: str) -> None:
    (found,) = _found(unknown_host_function, _function("env", name), "AssemblyScript")
    (instead,) = (function for function in HOST_FUNCTIONS if function.name in found.remedy)
    assert instead.name == ("time_now" if name == "Date.now" else "log_record")


def test_an_import_that_is_made_twice_is_told_once() -> None:
    item = ("env", "read_disk", OFFSET)
    assert len(_found(unknown_host_function, _module(item, item))) == 1
    assert len(_found(unknown_host_function, _module(item, ("env", "read_disk", FunctionType())))) == 2


def test_more_than_twenty_findings_are_counted() -> None:
    module = _module(*(("env", f"f{n}", OFFSET) for n in range(MAX_FINDINGS + 5)))
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
    (found,) = _found(foreign_namespace, _function(namespace, name, _offered_type(name)))
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
@pytest.mark.parametrize("namespace", [*NAMESPACES, "elsewhere"])
def test_a_runtimes_function_under_another_signature_is_some_other_function(
    namespace: str, name: str, type_: FunctionType
) -> None:
    assert _checks_that_find(_function(namespace, name, type_)) == ["unknown_host_function"]


@pytest.mark.parametrize("type_", [OFFSET, POINTER_LENGTH_ABI, FunctionType()], ids=str)
def test_a_host_function_is_misplaced_under_any_signature(type_: FunctionType) -> None:
    assert _checks_that_find(_function("elsewhere", "ws_send", type_)) == ["foreign_namespace"]


def test_a_namespace_without_a_name() -> None:
    (found,) = _found(foreign_namespace, _function("", "ws_send"))
    assert found.subject == "import (no namespace) ws_send"
    assert "from a namespace without a name, where" in found.message


@pytest.mark.parametrize("toolchain", ["Go", "TinyGo"])
@pytest.mark.parametrize(
    ("name", "right"),
    [("ws_send", "env"), ("alloc", "extism:host/env"), ("fd_write", "wasi_snapshot_preview1")],
)
def test_in_go_the_remedy_is_the_directive(toolchain: str, name: str, right: str) -> None:
    module = _function("host", name, _offered_type(name))
    (found,) = _found(foreign_namespace, module, toolchain)
    assert found.remedy == f"Import it from {right}: //go:wasmimport {right} {name}."
    (other,) = _found(foreign_namespace, module, "Rust")
    assert "go:wasmimport" not in other.remedy
    assert right in other.remedy


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_one_host_function_from_each_namespace_is_worth_knowing(namespace: str) -> None:
    assert _found(mixed_namespaces, _function(namespace, "ws_send")) == []
    other = next(item for item in NAMESPACES if item != namespace)
    (found,) = _found(
        mixed_namespaces,
        _module(
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


# Under another signature.


def test_the_other_abi_of_the_same_names_is_told_and_not_guessed() -> None:
    (found,) = _found(wrong_import_signature, _function("env", "ws_send", POINTER_LENGTH_ABI))
    assert (found.subject, found.severity) == ("import env ws_send", None)
    assert found.message == (
        "The module imports env ws_send as (i32, i32) -> i64, the (ptr, length) ABI of another SDK; the host function "
        "is (i64) -> i64."
    )
    assert found.remedy.startswith("Declare it as (i64) -> i64: ")


@pytest.mark.parametrize("function", HOST_FUNCTIONS, ids=lambda function: function.name)
def test_a_host_function_of_another_signature_is_told_the_shape_of_its_request(function: HostFunction) -> None:
    (found,) = _found(wrong_import_signature, _function("env", function.name, FunctionType()))
    assert found.remedy.startswith(f"Declare it as {function.type}")
    assert function.request in found.remedy
    assert ("argument is 0" in found.remedy) is not bool(function.request)
    assert bool(function.request) is (function.name != "time_now")


def test_any_other_signature_of_a_host_function() -> None:
    (found,) = _found(wrong_import_signature, _function("extism:host/user", "time_now", FunctionType((), ("i64",))))
    assert found.message == (
        "The module imports extism:host/user time_now as () -> i64; the host function is (i64) -> i64."
    )


def test_the_log_without_a_result_is_accepted_but_another_function_is_not() -> None:
    silent = FunctionType(("i64",), ())
    assert _found(wrong_import_signature, _function("env", "log_record", silent)) == []
    assert len(_found(wrong_import_signature, _function("env", "ws_send", silent))) == 1


def test_two_accepted_signatures_of_one_function_cannot_both_be_served() -> None:
    silent = FunctionType(("i64",), ())
    both = [("env", "log_record", silent), ("env", "log_record", OFFSET), ("env", "log_record", silent)]
    (found,) = _found(wrong_import_signature, _module(*both))
    assert found.subject == "import env log_record"
    assert found.message == (
        "The module imports env log_record twice, as (i64) -> () and as (i64) -> i64; a module can be served one of "
        "them."
    )
    assert found.remedy == "Declare it once, as (i64) -> i64."
    elsewhere = [("env", "log_record", silent), ("extism:host/user", "log_record", OFFSET)]
    assert _found(wrong_import_signature, _module(*elsewhere)) == []
    assert _found(wrong_import_signature, _module(*[("env", "log_record", silent)] * 2)) == []


@pytest.mark.parametrize(
    ("namespace", "name", "right"),
    [(KERNEL_NAMESPACE, "store_u8", "(i64, i32) -> ()"), (WASI_NAMESPACE, "proc_exit", "(i32) -> ()")],
)
def test_the_runtimes_functions_have_one_signature(namespace: str, name: str, right: str) -> None:
    wrong = FunctionType(("i32", "i32"), ("i64",))
    (found,) = _found(wrong_import_signature, _function(namespace, name, wrong))
    assert found.message == f"The module imports {namespace} {name} as (i32, i32) -> i64; what is offered is {right}."
    assert found.remedy == f"Declare {name} as {right}, or update the PDK that declares it."


def test_a_signature_without_end_is_cut() -> None:
    (found,) = _found(wrong_import_signature, _function("env", "ws_send", FunctionType(("i32",) * 1_000)))
    assert "…" in found.message
    assert len(found.message) < 300


# The kernel.


@pytest.mark.parametrize(
    ("name", "type_", "remedy"),
    [
        ("ws_send", OFFSET, "Import it from env: it is a host function, not one of the kernel's."),
        (
            "input_lenght",
            KERNEL_FUNCTIONS["input_length"],
            "Import input_length if that is meant; otherwise build with a PDK for Extism 1.",
        ),
        ("input_lenght", FunctionType(("f32",), ()), "Build with a PDK for Extism 1."),
        ("zzz", OFFSET, "Build with a PDK for Extism 1."),
        ("alloc", OtherType("memory"), "Build with a PDK for Extism 1."),
    ],
)
def test_a_function_that_the_kernel_lacks(name: str, type_: ExternType, remedy: str) -> None:
    (found,) = _found(unknown_kernel_function, _function(KERNEL_NAMESPACE, name, type_))
    assert (found.subject, found.severity) == (f"import {KERNEL_NAMESPACE} {name}", None)
    assert found.message == (
        f"The module imports {KERNEL_NAMESPACE} {name} ({type_}), which Extism's kernel does not have."
    )
    assert found.remedy == remedy


@pytest.mark.parametrize("meant", ["store_u8", "store_u64"])
def test_of_several_like_names_the_one_of_the_same_signature_is_meant(meant: str) -> None:
    (found,) = _found(unknown_kernel_function, _function(KERNEL_NAMESPACE, "store_u", KERNEL_FUNCTIONS[meant]))
    assert found.remedy.startswith(f"Import {meant} if that is meant")


def test_the_kernels_own_http_client() -> None:
    assert _found(kernel_http, _function("env", "http_request")) == []
    assert _found(kernel_http, _function(KERNEL_NAMESPACE, "alloc")) == []
    names = ("http_status_code", "http_request", "http_request")
    (found,) = _found(kernel_http, _module(*((KERNEL_NAMESPACE, name, OFFSET) for name in names)))
    assert found.subject == f"import {KERNEL_NAMESPACE} http_status_code"
    assert "(http_request and http_status_code), which this host blocks" in found.message
    assert found.remedy.startswith("Make requests with the host function http_request from env")
    assert '{"url", "method"' in found.remedy


# WASI.


def test_the_use_of_wasi_is_worth_knowing() -> None:
    assert _found(needs_wasi, _function("env", "fd_write")) == []
    (one,) = _found(needs_wasi, _function(WASI_NAMESPACE, "fd_write"))
    assert one.message == "The module imports 1 function of WASI preview 1, which is enabled for it."
    names = ("fd_write", "fd_read", "fd_write")
    (two,) = _found(needs_wasi, _module(*((WASI_NAMESPACE, name, OFFSET) for name in names)))
    assert two.message == "The module imports 2 functions of WASI preview 1, which is enabled for it."
    assert (two.subject, two.remedy) == ("module", "")


@pytest.mark.parametrize(
    ("name", "type_", "remedy"),
    [
        ("fd_wirte", WASI_FUNCTIONS["fd_write"], "Import fd_write if that is meant."),
        ("fd_wirte", OFFSET, "Build for plain WASI preview 1 (wasip1)."),
        ("zzz", OFFSET, "Build for plain WASI preview 1 (wasip1)."),
    ],
)
def test_a_function_that_wasi_lacks(name: str, type_: FunctionType, remedy: str) -> None:
    (found,) = _found(unknown_wasi_function, _function(WASI_NAMESPACE, name, type_))
    assert found.subject == f"import {WASI_NAMESPACE} {name}"
    assert found.message.endswith(f"{name} ({type_}), which WASI preview 1 does not have.")
    assert found.remedy == remedy


@pytest.mark.parametrize("name", ["sock_open", "sock_connect", "sock_recv_from"])
@pytest.mark.parametrize("type_", [OFFSET, WASI_FUNCTIONS["sock_shutdown"]], ids=str)
def test_sockets_that_wasi_lacks_are_replaced_by_host_functions(name: str, type_: FunctionType) -> None:
    (found,) = _found(unknown_wasi_function, _function(WASI_NAMESPACE, name, type_))
    assert "ws_connect" in found.remedy
    assert "http_request" in found.remedy
    assert "sock_" not in found.remedy


def test_the_wasi_before_preview_1_is_told_in_one_finding() -> None:
    assert _found(wasi_unstable, _function(WASI_NAMESPACE, "fd_write")) == []
    (found,) = _found(
        wasi_unstable, _module(*((WASI_UNSTABLE, name, OFFSET) for name in ("fd_write", "fd_read", "nothing")))
    )
    assert found.subject == f"import {WASI_UNSTABLE} fd_write"
    assert "imports fd_write and 2 other functions from wasi_unstable" in found.message
    assert "2020 or newer" in found.remedy


# Other systems.


@pytest.mark.parametrize(
    ("imports", "name", "others", "remedy"),
    [
        (["wapc __host_call"], "waPC", "", PORT),
        (["wbg __wbg_new", "wbg __wbg_log"], "wasm-bindgen", " and 1 other import", "Build with cargo build"),
        (
            ["env emscripten_resize_heap", "env _tzset_js", "env _abort_js"],
            "Emscripten",
            " and 2 other imports",
            "Build with the WASI SDK's clang",
        ),
        (["gojs runtime.wasmExit"], "Go in JavaScript (GOOS=js)", "", "Build for WASI: GOOS=wasip1 GOARCH=wasm"),
        (["wasi:cli/exit@0.2.0 exit"], "WASI preview 2", "", "Build a core module for WASI preview 1"),
        (["wasi thread-spawn"], "WASI threads", "", "Build without threads"),
        (["env extism_alloc"], "Extism before 1.0", "", "Update the Extism PDK to version 1 or newer"),
        (["javy_quickjs_provider_v3 invoke"], "Javy", "", "Build JavaScript plugins with extism-js"),
    ],
)
def test_a_module_of_another_system_is_told_in_one_finding(
    imports: list[str], name: str, others: str, remedy: str
) -> None:
    parts = [text.partition(" ") for text in imports]
    module = _module(*((namespace, item, OFFSET) for namespace, _, item in parts), exports=())
    (found,) = _found(foreign_abi, module)
    assert (found.subject, found.severity) == (f"import {imports[0]}", None)
    assert found.message == (
        f"The module was made for {name}, not for Extism: it imports {imports[0]}{others} from that system's host."
    )
    assert found.remedy.startswith(remedy)
    assert _checks_that_find(module) == ["foreign_abi"]


def test_several_systems_are_told_in_one_finding_each() -> None:
    found = _found(
        foreign_abi,
        _module(
            ("env", "emscripten_resize_heap", OFFSET),
            ("wbg", "__wbg_new", OFFSET),
            ("env", "_abort_js", OFFSET),
            exports=("__wbindgen_malloc",),
        ),
    )
    assert [item.subject for item in found] == ["import wbg __wbg_new", "import env emscripten_resize_heap"]
    assert "other import" not in found[0].message
    assert "and 1 other import from" in found[1].message


@pytest.mark.parametrize(
    ("export", "name"), [("__guest_call", "waPC"), ("cabi_realloc", "WASI preview 2"), ("dynCall_vi", "Emscripten")]
)
def test_a_module_that_is_no_plugin_may_be_told_by_its_exports(export: str, name: str) -> None:
    (found,) = _found(foreign_abi, _module(exports=("memory", export, "opa_eval")))
    assert found.subject == f"export {export}"
    assert found.message.startswith(f"The module was made for {name}, not for Extism: it exports {export} ")
    assert _found(foreign_abi, _module(exports=(*GENERIC, export))) == []


@pytest.mark.parametrize("name", ["proxy_get", "opa_abort", "extism_alloc", "db_read", "emscripten_resize_heap"])
def test_a_mark_in_a_served_namespace_counts_only_for_a_module_without_an_interface(name: str) -> None:
    for exports in (GENERIC, ("start_stream",), ("handle_stream_message",)):
        assert _checks_that_find(_module(("env", name, OFFSET), exports=exports)) == ["unknown_host_function"]
    assert _checks_that_find(_module(("env", name, OFFSET), exports=("stop_stream",))) == ["foreign_abi"]


@pytest.mark.parametrize("namespace", ["wapc", "wbg", "wasi:cli/exit@0.2.0", "wasix_32v1", "javy_quickjs_provider_v3"])
@pytest.mark.parametrize("exports", [GENERIC, ("start_stream",), ()], ids=str)
def test_a_whole_namespace_of_another_system_counts_always(namespace: str, exports: tuple[str, ...]) -> None:
    assert _checks_that_find(_module((namespace, "anything", OFFSET), exports=exports)) == ["foreign_abi"]


def test_exceptions_of_c_are_not_emscriptens_alone() -> None:
    assert _checks_that_find(_module(("env", "__cxa_throw", OFFSET), exports=())) == ["unknown_host_function"]


def test_a_known_name_from_the_namespace_of_another_system_is_that_systems() -> None:
    assert _checks_that_find(_function("wapc", "ws_send")) == ["foreign_abi"]
    assert _checks_that_find(_function("wbg", "fd_write")) == ["foreign_abi"]


def test_what_is_offered_here_is_claimed_by_nobody() -> None:
    assert _found(foreign_abi, _module(("env", "ws_send", OFFSET), exports=())) == []
    assert _found(foreign_abi, _module((WASI_NAMESPACE, "thread-spawn", OFFSET), exports=())) == []
    assert _found(foreign_abi, _module((KERNEL_NAMESPACE, "extism_alloc", OFFSET), exports=())) == []


# Names.


LONG = "x" * 200


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [LONG, "\x1b[2J\x1b]0;x\x07", "a\nb\r\0", "\u202e\u2066"], ids=ascii)
def test_names_from_the_module_stay_printable_and_short(check: Check, name: str) -> None:
    module = _module(
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
    found = _found(check, module, "Go")
    assert found
    for item in found:
        assert (item.subject + item.message + item.remedy).isprintable()
        assert len(item.subject) < 200
        assert max(len(item.message), len(item.remedy)) <= 500


def test_an_export_of_another_system_stays_printable_and_short() -> None:
    for name in ("opa_" + LONG, "opa_\x1b[2J\n"):
        (found,) = _found(foreign_abi, _module(exports=(name,)))
        assert (found.subject + found.message).isprintable()
        assert len(found.subject) < 120
