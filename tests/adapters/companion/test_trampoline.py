"""What `main` does, linked for real: beginnings and ends of calls, and initialisation in its order."""

from __future__ import annotations

import base64

import extism
import pytest
import wasmtime

from adapters.companion.rewriting import rewrite
from adapters.companion.trampoline import COLLECT, STATS, Types, trampoline
from tests.adapters.companion.linked import BEGIN as B
from tests.adapters.companion.linked import COLLECT as C
from tests.adapters.companion.linked import END as E
from tests.adapters.companion.linked import STANDIN, Linked, validates
from tests.adapters.companion.linked import STATS as S

LOG = '(import "extism:host/env" "log_info" (func $log (param i64)))'
OURS = {COLLECT, STATS}


def logs(name: str, digit: int, signature: str = "") -> str:
    """A function that tells its digit; exported under its name if it has one."""
    export = f'(export "{name}")' if name else "$start"
    value = "(i32.const 0)" if "result" in signature else ""
    return f"(func {export} {signature} (call $log (i64.const {digit})) {value})"


def test_a_call_is_told_where_it_begins_and_where_it_ends() -> None:
    guest = Linked(f"(module {LOG} {logs('start_stream', 7, '(result i32)')} {logs('hello', 8)})")
    assert guest.exports == {"start_stream", "hello", *OURS}
    assert guest.guest.exports == {"start_stream", "hello"}
    assert guest.told(["start_stream"]) == f"{B}7{E}"
    assert guest.told(["hello", "hello"]) == f"{B}8{E}" * 2


@pytest.mark.parametrize("code", [0, 1, -1, 2**31 - 1])
def test_the_guest_s_return_code_is_returned(code: int) -> None:
    guest = Linked(f'(module (func (export "f") (result i32) (i32.const {code})) (func (export "g")))')
    assert guest.call("f") == code
    assert guest.call("g") is None


def test_the_end_and_the_figures_can_be_asked_for_alone() -> None:
    guest = Linked("(module)")
    assert guest.exports == OURS
    assert (guest.call(COLLECT), guest.journal) == (0, f"{B}{C}")
    assert (guest.call(STATS), guest.journal) == (0, f"{B}{C}{B}{S}")


@pytest.mark.parametrize(
    "signature", ["(param i32)", "(result i64)", "(result i32 i32)", "(param i32 i32)", "(result funcref)"]
)
def test_what_extism_cannot_call_is_left_out(signature: str) -> None:
    guest = Linked(
        f'(module (func (export "f") {signature} unreachable) (func (export "g")) (table (export "t") 1 funcref))'
    )
    assert guest.exports == {"g", *OURS}
    assert guest.guest.exports == {"g"}


NAMES = ("", " ", "memory", "begin", 'a"b\\c', "\x01", "Ω" * 100, "\U0001f40d", "x" * 300)


def test_a_name_may_be_any_text() -> None:
    escaped = {name: "".join(f"\\{byte:02x}" for byte in name.encode()) for name in NAMES}
    functions = "".join(f'(func (export "{name}"))' for name in escaped.values())
    guest = Linked(f"(module {functions})")
    assert guest.exports == {*NAMES, *OURS}
    assert guest.told(NAMES) == f"{B}{E}" * len(NAMES)


def test_of_many_exports_each_calls_its_own() -> None:
    functions = "".join(f'(func (export "f{number}") (result i32) (i32.const {number}))' for number in range(300))
    guest = Linked(f'(module {LOG} (memory (export "memory") 1) {functions})')
    assert [guest.call(f"f{number}") for number in range(300)] == list(range(300))


START = f"{logs('', 4)} (start $start)"
INIT, CTORS = logs("_initialize", 5), logs("__wasm_call_ctors", 6)
HS_INIT = """(func (export "hs_init") (param i32 i32) (if (i32.or (local.get 0) (local.get 1)) (then unreachable))
    (call $log (i64.const 9)))"""
INITIALISERS = {
    "nothing": ("", (), ""),
    "a start section": (START, ("compat_start",), "4"),
    "_initialize": (INIT, ("compat_init",), "5"),
    "both": (START + INIT, ("compat_start", "compat_init"), "45"),
    "constructors": (CTORS, ("compat_ctors",), "6"),
    "constructors that _initialize calls": (CTORS + INIT, ("compat_init",), "5"),
    "constructors behind a start section": (CTORS + START, ("compat_start", "compat_ctors"), "46"),
    "Haskell": (HS_INIT + INIT, ("compat_init", "compat_hs_init"), "59"),
    "an _initialize that returns a code": (logs("_initialize", 5, "(result i32)"), ("compat_init",), "5"),
    "an _initialize that cannot be called": (logs("_initialize", 5, "(param i32)"), (), ""),
    "a command": (logs("_start", 5), (), ""),
}


@pytest.mark.parametrize(("text", "initialisers", "told"), INITIALISERS.values(), ids=INITIALISERS)
@pytest.mark.parametrize("memory", ["", "(memory 1)"], ids=["alone", "with the shim"])
def test_nothing_runs_before_it_is_called(text: str, initialisers: tuple[str, ...], told: str, memory: str) -> None:
    guest = Linked(f"(module {LOG} {memory} {text} {logs('f', 8)})")
    assert guest.journal == ""
    assert guest.guest.initialisers == initialisers
    assert guest.guest.exports == {"f"}
    assert guest.exports == {"f", *initialisers, *OURS}
    assert guest.told(guest.guest.initialisers) == "".join(f"{B}{digit}{E}" for digit in told)
    assert guest.told(["f"]) == f"{B}8{E}"


@pytest.mark.parametrize(("text", "initialisers", "told"), INITIALISERS.values(), ids=INITIALISERS)
def test_extism_itself_initialises_nothing(text: str, initialisers: tuple[str, ...], told: str) -> None:
    # Extism shows no globals, so the guest keeps its journal itself and returns it as its code.
    counting = """(global $journal (mut i64) (i64.const 0))
      (func $log (param i64)
        (global.set $journal (i64.add (i64.mul (global.get $journal) (i64.const 10)) (local.get 0))))
      (func (export "journal") (result i32) (i32.wrap_i64 (global.get $journal)))"""
    guest = rewrite(bytes(wasmtime.wat2wasm(f"(module {counting} {text})")))
    modules = {"compat": STANDIN, "compat:guest": guest.wasm, "main": guest.main}
    wasm = [{"name": name, "data": base64.b64encode(data).decode()} for name, data in modules.items()]
    with extism.Plugin({"wasm": wasm}) as plugin:
        for name in initialisers:
            plugin.call(name, b"")
        if not told:
            plugin.call("journal", b"")
            return
        with pytest.raises(extism.Error, match=f"Error code: {told}$"):
            plugin.call("journal", b"")


def test_main_imports_the_shim_only_where_it_is_linked() -> None:
    for shim in (True, False):
        main = trampoline([], Types(), shim=shim)
        assert validates(main)
        assert (b"compat:shim" in main) is shim


@pytest.mark.parametrize(
    "types",
    [
        "(type $t (sub (func (result i32))))",
        "(type $s (sub (func (result i32)))) (type $t (sub final $s (func (result i32))))",
        "(rec (type (struct (field i64))) (type $t (func (result i32))))",
    ],
    ids=["open to subtypes", "a subtype", "in a group"],
)
def test_a_function_whose_type_is_more_than_its_signature_is_called_like_any_other(types: str) -> None:
    guest = Linked(f'(module {types} (func (export "f") (type $t) (i32.const 7)))')
    assert guest.call("f") == 7
