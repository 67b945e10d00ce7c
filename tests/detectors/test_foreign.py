from __future__ import annotations

from detectors.foreign import FOREIGN_ABIS, ForeignAbi, claimed_by, marked_by
from detectors.module import Export, FunctionType, Import
from detectors.rules import HOST_FUNCTIONS, INTERFACES, KERNEL_NAMESPACE, NAMESPACES, WASI_NAMESPACE
from detectors.runtime import KERNEL_FUNCTIONS, WASI_FUNCTIONS

FUNCTION = FunctionType()
IMPORTS = [
    ("waPC", "wapc __host_call"),
    ("proxy-wasm", "env proxy_log"),
    ("Javy", "javy_quickjs_provider_v1 eval_bytecode"),
    ("wasm-bindgen", "__wbindgen_placeholder__ __wbindgen_throw"),
    ("wasm-bindgen", "wbg __wbg_new_1"),
    ("wasm-bindgen", "./plugin_bg.js __wbindgen_throw"),
    ("Go in JavaScript (GOOS=js)", "gojs runtime.wasmExit"),
    ("Go in JavaScript (GOOS=js)", "go runtime.wasmWrite"),
    ("Go in JavaScript (GOOS=js)", "go syscall/js.valueGet"),
    ("WASI preview 2", "wasi:cli/environment@0.2.0 get-environment"),
    ("WASI preview 2", "cm32p2|wasi:io/streams@0.2 drop"),
    ("WASI preview 2", "[export]wasi:http/types resource-new"),
    ("WASIX", "wasix_32v1 thread_spawn"),
    ("WASI threads", "wasi thread-spawn"),
    ("Extism before 1.0", "env extism_alloc"),
    ("Open Policy Agent", "env opa_abort"),
    ("CosmWasm", "env db_read"),
    ("CosmWasm", "env addr_validate"),
    ("Fastly Compute", "fastly_http_req send"),
    ("Lunatic", "lunatic::process spawn"),
    ("Emscripten", "env emscripten_resize_heap"),
    ("Emscripten", "env _emscripten_throw_longjmp"),
    ("Emscripten", "env __syscall_openat"),
    ("Emscripten", "env _embind_register_void"),
    ("Emscripten", "env _tzset_js"),
    ("Emscripten", "env _abort_js"),
]
EXPORTS = [
    ("waPC", "__guest_call"),
    ("waPC", "wapc_init"),
    ("proxy-wasm", "proxy_abi_version_0_2_1"),
    ("proxy-wasm", "proxy_on_request_headers"),
    ("Javy", "compile_src"),
    ("Javy", "initialize_runtime"),
    ("wasm-bindgen", "__wbindgen_malloc"),
    ("WASI preview 2", "cabi_realloc"),
    ("WASI preview 2", "wasi:cli/run@0.2.0#run"),
    ("WASI threads", "wasi_thread_start"),
    ("Open Policy Agent", "opa_eval"),
    ("CosmWasm", "interface_version_8"),
    ("Emscripten", "emscripten_stack_init"),
    ("Emscripten", "dynCall_jiji"),
]


def _import(text: str) -> Import:
    module, _, name = text.partition(" ")
    return Import(module, name, FUNCTION)


def _name(abi: ForeignAbi | None) -> str:
    return "nothing" if abi is None else abi.name


def test_a_system_is_told_by_an_import() -> None:
    assert [(_name(claimed_by(_import(text))), text) for _, text in IMPORTS] == IMPORTS


def test_a_system_is_told_by_an_export() -> None:
    assert [(_name(marked_by(Export(text, FUNCTION))), text) for _, text in EXPORTS] == EXPORTS


def test_every_mark_of_the_table_has_an_example_here() -> None:
    assert {abi.name for abi in FOREIGN_ABIS if abi.imports} == {name for name, _ in IMPORTS}
    assert {abi.name for abi in FOREIGN_ABIS if abi.exports} == {name for name, _ in EXPORTS}
    assert all(abi.imports or abi.exports for abi in FOREIGN_ABIS)


ONLY_RESEMBLING_IMPORTS = (
    "",
    "env ws_send",
    "env memory",
    "env abort",
    "env __cxa_throw",
    "env _abort_js_",
    "go-pdk alloc",
    "wasi thread-spawner",
    "env db_read_all",
    "xwapc __host_call",
    "env xproxy_log",
    "plugin bg.js",
)
ONLY_RESEMBLING_EXPORTS = ("", "memory", "my_guest_call", "__guest_calls", "cabi_realloc_", "interface_version_x")


def test_what_only_resembles_a_mark_tells_nothing() -> None:
    assert [text for text in ONLY_RESEMBLING_IMPORTS if claimed_by(_import(text)) is not None] == []
    assert [name for name in ONLY_RESEMBLING_EXPORTS if marked_by(Export(name, FUNCTION)) is not None] == []


def test_nothing_that_is_offered_here_belongs_to_another_system() -> None:
    offered = [(namespace, function.name) for namespace in NAMESPACES for function in HOST_FUNCTIONS]
    offered += [(KERNEL_NAMESPACE, name) for name in KERNEL_FUNCTIONS]
    offered += [(WASI_NAMESPACE, name) for name in WASI_FUNCTIONS]
    assert [item for item in offered if claimed_by(Import(*item, FUNCTION)) is not None] == []


def test_no_export_of_a_plugin_belongs_to_another_system() -> None:
    names = {"_start", "_initialize", "memory", *(name for row in INTERFACES for name in row.exports)}
    assert [name for name in names if marked_by(Export(name, FUNCTION)) is not None] == []


def test_a_row_can_be_read_in_a_sentence() -> None:
    for abi in FOREIGN_ABIS:
        assert abi.name
        assert (abi.name + abi.remedy).isprintable()
        assert abi.remedy.endswith("."), abi.name
        assert not abi.remedy.endswith(".."), abi.name


def test_names_are_unique() -> None:
    assert len({abi.name for abi in FOREIGN_ABIS}) == len(FOREIGN_ABIS)


def test_a_hostile_name_is_judged_in_one_pass() -> None:
    # What takes the square of this many steps would not be done today.
    assert claimed_by(Import("./" + "a" * 500_000, "_bg.js", FUNCTION)) is None
    assert claimed_by(Import("./" + "_bg" * 200_000, "x", FUNCTION)) is None
