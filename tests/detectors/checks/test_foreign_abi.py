from __future__ import annotations

import pytest

from detectors.checks.imports import (
    foreign_abi,
)
from detectors.rules import (
    KERNEL_NAMESPACE,
    WASI_NAMESPACE,
)
from tests.detectors.checks.finding import GENERIC, OFFSET, checks_that_find, findings, importing, importing_one

PORT = "Write the plugin against an Extism PDK and one of the plugin interfaces; its logic can stay, its glue cannot."


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
    module = importing(*((namespace, item, OFFSET) for namespace, _, item in parts), exports=())
    (found,) = findings(foreign_abi, module)
    assert (found.subject, found.severity) == (f"import {imports[0]}", None)
    assert found.message == (
        f"The module was made for {name}, not for Extism: it imports {imports[0]}{others} from that system's host."
    )
    assert found.remedy.startswith(remedy)
    assert checks_that_find(module) == ["foreign_abi"]


def test_several_systems_are_told_in_one_finding_each() -> None:
    found = findings(
        foreign_abi,
        importing(
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
    (found,) = findings(foreign_abi, importing(exports=("memory", export, "opa_eval")))
    assert found.subject == f"export {export}"
    assert found.message.startswith(f"The module was made for {name}, not for Extism: it exports {export} ")
    assert findings(foreign_abi, importing(exports=(*GENERIC, export))) == []


@pytest.mark.parametrize("name", ["proxy_get", "opa_abort", "extism_alloc", "db_read", "emscripten_resize_heap"])
def test_a_mark_in_a_served_namespace_counts_only_for_a_module_without_an_interface(name: str) -> None:
    for exports in (GENERIC, ("start_stream",), ("handle_stream_message",)):
        assert checks_that_find(importing(("env", name, OFFSET), exports=exports)) == ["unknown_host_function"]
    assert checks_that_find(importing(("env", name, OFFSET), exports=("stop_stream",))) == ["foreign_abi"]


@pytest.mark.parametrize("exports", [GENERIC, ("start_stream",), ()], ids=str)
def test_a_whole_namespace_of_another_system_counts_always(exports: tuple[str, ...]) -> None:
    for namespace in ("wapc", "wbg", "wasi:cli/exit@0.2.0", "wasix_32v1", "javy_quickjs_provider_v3"):
        module = importing((namespace, "anything", OFFSET), exports=exports)
        assert checks_that_find(module) == ["foreign_abi"], namespace


def test_exceptions_of_c_are_not_emscriptens_alone() -> None:
    assert checks_that_find(importing(("env", "__cxa_throw", OFFSET), exports=())) == ["unknown_host_function"]


def test_a_known_name_from_the_namespace_of_another_system_is_that_systems() -> None:
    assert checks_that_find(importing_one("wapc", "ws_send")) == ["foreign_abi"]
    assert checks_that_find(importing_one("wbg", "fd_write")) == ["foreign_abi"]


def test_what_is_offered_here_is_claimed_by_nobody() -> None:
    assert findings(foreign_abi, importing(("env", "ws_send", OFFSET), exports=())) == []
    assert findings(foreign_abi, importing((WASI_NAMESPACE, "thread-spawn", OFFSET), exports=())) == []
    assert findings(foreign_abi, importing((KERNEL_NAMESPACE, "extism_alloc", OFFSET), exports=())) == []


def test_an_export_of_another_system_stays_printable_and_short() -> None:
    for name in ("opa_" + "x" * 200, "opa_\x1b[2J\n"):
        (found,) = findings(foreign_abi, importing(exports=(name,)))
        assert (found.subject + found.message).isprintable()
        assert len(found.subject) < 120
