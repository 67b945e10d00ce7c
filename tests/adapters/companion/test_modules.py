"""The companion's constant modules: they offer just what the tables say, under the signatures that they say."""

from __future__ import annotations

import wasmtime

from adapters.companion.modules import companion, shim
from detectors.companion import SHIM_FUNCTIONS
from detectors.module import FunctionType, read_module
from detectors.rules import HOST_FUNCTIONS
from detectors.runtime import KERNEL_FUNCTIONS, KERNEL_ONLY, WASI_FUNCTIONS


def functions(prefix: str) -> dict[str, object]:
    """What the companion exports under a prefix."""
    found = {export.name: export.type for export in read_module(companion()).exports}
    return {name.removeprefix(prefix): type_ for name, type_ in found.items() if name.startswith(prefix)}


def test_the_kernel_is_the_one_that_plugins_know() -> None:
    assert functions("env.") == KERNEL_FUNCTIONS
    assert not KERNEL_ONLY.intersection(KERNEL_FUNCTIONS)


def test_every_host_function_is_there_under_every_signature_that_it_may_be_imported_with() -> None:
    expected = {
        f"{function.name}.{number}" if number else function.name: type_
        for function in HOST_FUNCTIONS
        for number, type_ in enumerate(function.accepted)
    }
    assert functions("host.") == expected


def test_the_edges_of_wasi_have_the_signatures_of_wasi() -> None:
    assert functions("wasi.") == {name: WASI_FUNCTIONS[name] for name in (*SHIM_FUNCTIONS, "proc_exit")}


def test_only_the_shim_and_main_find_anything_else() -> None:
    others = {
        export.name: export.type
        for export in read_module(companion()).exports
        if isinstance(export.type, FunctionType) and "." not in export.name
    }
    nothing = FunctionType((), ())
    assert others == {
        "begin": nothing,
        "end": nothing,
        "collect": nothing,
        "flush": nothing,
        "stats": nothing,
        "next": nothing,
        "done": FunctionType(("i32",), ("i32",)),
        "entries": FunctionType(("i64",), ()),
        "sleep": FunctionType(("i64",), ()),
        "record": FunctionType(("i32", "i32"), ("i32",)),
    }


def test_the_modules_are_valid_and_small() -> None:
    engine = wasmtime.Engine()
    for module in (companion(), shim()):
        wasmtime.Module.validate(engine, module)
        assert len(module) < 16_000
