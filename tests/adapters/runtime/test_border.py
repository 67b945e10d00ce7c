"""The border of a guest, with real guests: configuration, variables, errors, logs, output, and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from adapters.companion.exchange import BorderError
from adapters.companion.limits import KernelLimits
from adapters.errors import PluginCallError
from adapters.runtime.errors import GuestFaultError, GuestStoppedError, PluginTrapError
from tests.adapters.runtime.guests import echo, module

if TYPE_CHECKING:
    from adapters.runtime.engine import Window
    from tests.adapters.runtime.conftest import MakeGuest

KERNEL = """
  (data (i32.const 0) "name")
  (data (i32.const 8) "a record")
  (data (i32.const 16) "other")

  (func (export "config") (result i32)
    (call $answer (call $config_get (call $input_offset)))
    (i32.const 0))
  (func (export "get") (result i32)
    (call $answer (call $var_get (call $block (i32.const 0) (i32.const 4))))
    (i32.const 0))
  (func (export "get_other") (result i32)
    (call $answer (call $var_get (call $block (i32.const 16) (i32.const 5))))
    (i32.const 0))
  (func (export "set") (result i32)
    (call $var_set (call $block (i32.const 0) (i32.const 4)) (call $input_offset))
    (i32.const 0))
  (func (export "set_other") (result i32)
    (call $var_set (call $block (i32.const 16) (i32.const 5)) (call $input_offset))
    (i32.const 0))
  (func (export "set_without_a_name") (result i32)
    (call $var_set (i64.const 0) (call $input_offset))
    (i32.const 0))

  (func (export "fail") (result i32) (call $error_set (call $input_offset)) (i32.const 5))
  (func (export "fail_with_0") (result i32) (call $error_set (call $input_offset)) (i32.const 0))
  (func (export "fail_twice") (result i32)
    (call $error_set (call $block (i32.const 8) (i32.const 8)))
    (call $error_set (call $input_offset))
    (i32.const 5))
  (func (export "take_back") (result i32)
    (call $error_set (call $input_offset))
    (call $error_set (i64.const 0))
    (i32.const 0))
  (func (export "fail_and_trap") (result i32) (call $error_set (call $input_offset)) (unreachable))
  (func (export "say_nothing") (result i32) (i32.const 5))

  (func (export "part") (result i32)
    (call $output_set (i64.add (call $input_offset) (i64.const 2)) (i64.const 3))
    (i32.const 0))
  (func (export "twice") (result i32)
    (call $answer (call $block (i32.const 0) (i32.const 4)))
    (call $answer (call $block (i32.const 16) (i32.const 5)))
    (i32.const 0))
  (func (export "empty_after_all") (result i32)
    (call $answer (call $input_offset))
    (call $output_set (call $input_offset) (i64.const 0))
    (i32.const 0))
  (func (export "nothing_after_all") (result i32)
    (call $answer (call $input_offset))
    (call $output_set (i64.const 0) (i64.const 0))
    (drop (call $host (call $input_offset)))  ;; which needs room in Extism's memory, too
    (i32.const 0))
  (func (export "freed") (result i32)
    (local $block i64)
    (local.set $block (call $block (i32.const 0) (i32.const 4)))
    (call $answer (local.get $block))
    (call $store_u8 (local.get $block) (i32.const 88))
    (call $free (local.get $block))
    (i32.const 0))
"""
FAULTS = """
  (func (export "stale") (result i32)
    (local $first i64) (local $i i32)
    (local.set $first (call $block (i32.const 0) (i32.const 4)))
    (loop $more
      (drop (call $host (call $block (i32.const 0) (i32.const 4))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $more (i32.lt_u (local.get $i) (i32.const 300))))
    (drop (call $host (local.get $first)))
    (loop $more
      (drop (call $host (call $block (i32.const 0) (i32.const 4))))
      (local.set $i (i32.sub (local.get $i) (i32.const 1)))
      (br_if $more (local.get $i)))
    (call $load_u8 (local.get $first)))
  (func (export "beyond") (result i32)
    (call $load_u8 (i64.add (call $block (i32.const 0) (i32.const 8)) (i64.const 8))))
  (func (export "output_beyond") (result i32)
    (call $output_set (call $block (i32.const 0) (i32.const 8)) (i64.const 9))
    (i32.const 0))
  (func (export "unknown") (result i32) (call $load_u8 (i64.const 0x123456789a)))
  (func (export "unknown_request") (result i32) (drop (call $host (i64.const -5))) (i32.const 0))
  (func (export "within") (result i32)
    (drop (call $host (i64.add (call $block (i32.const 0) (i32.const 8)) (i64.const 1))))
    (i32.const 0))
  (func (export "huge") (result i32) (drop (call $alloc (i64.const 0x40000000))) (i32.const 0))
  (func (export "too_much") (result i32)
    (loop $more (drop (call $alloc (i64.const 1048576))) (br $more))
    (unreachable))
  (func (export "http") (result i32) (drop (call $http_request (i64.const 0) (i64.const 0))) (i32.const 0))
  (func (export "ask") (result i32) (drop (call $host (i64.const 0))) (i32.const 0))
"""


@pytest.mark.parametrize(
    ("name", "value"), [(b"symbol", b"BTC"), (b"n\xc3\xa4me", b"\x00\xff"), (b"empty", b""), (b"missing", b"")]
)
async def test_configuration_is_read_by_name(make_guest: MakeGuest, name: bytes, value: bytes) -> None:
    config = {"symbol": b"BTC", "näme": b"\x00\xff", "empty": b""}
    guest = make_guest(wasm=module(KERNEL), config=config)
    assert await guest.call("config", name) == value


async def test_variables_are_kept_from_call_to_call_and_are_one_guests_own(make_guest: MakeGuest) -> None:
    guest, sibling = make_guest(wasm=module(KERNEL)), make_guest(wasm=module(KERNEL))
    assert await guest.call("get", b"") == b""
    await guest.call("set", b"one")
    await guest.call("set_other", b"two")
    assert (await guest.call("get", b""), await guest.call("get_other", b"")) == (b"one", b"two")
    await guest.call("set", b"\x00" * 10)
    assert await guest.call("get", b"") == b"\x00" * 10
    assert await sibling.call("get", b"") == b""


async def test_a_variable_that_is_set_to_nothing_is_gone(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=module(KERNEL))
    await guest.call("set", b"")  # there is none yet
    await guest.call("set", b"one")
    await guest.call("set_other", b"two")
    await guest.call("set", b"")
    assert (await guest.call("get", b""), await guest.call("get_other", b"")) == (b"", b"two")


async def test_a_variable_without_a_name_is_not_the_one_that_was_set_before(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=module(KERNEL))
    await guest.call("set", b"one")
    await guest.call("set_without_a_name", b"two")
    assert await guest.call("get", b"") == b"one"
    await guest.call("set_without_a_name", b"")
    assert await guest.call("get", b"") == b"one"


async def test_variables_may_take_a_mebibyte_with_their_names_and_no_more(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=module(KERNEL))
    most = bytes(2**20 - 5 - len("name") - len("other"))
    await guest.call("set_other", b"12345")
    for _ in range(2):  # what takes the place of another does not count beside it
        await guest.call("set", most)
    assert await guest.call("get", b"") == most
    with pytest.raises(BorderError, match=r"plugin 'example' keeps more than 1\.0 MiB in variables") as caught:
        await guest.call("set_other", b"123456")
    assert "remove variables that it does not need" in caught.value.remedy
    assert not guest.usable


async def test_what_is_put_into_error_memory_is_why_the_call_failed(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=module(KERNEL))
    for export, code in (("fail", 5), ("fail_with_0", 0), ("fail_twice", 5)):
        with pytest.raises(PluginCallError) as caught:
            await guest.call(export, b"no such \xc3\xa9xchange \xff")
        assert (caught.value.export, caught.value.code) == (export, code)
        assert caught.value.reason == "no such éxchange \ufffd"


async def test_a_trap_after_an_error_is_told_as_a_trap(make_guest: MakeGuest) -> None:
    with pytest.raises(PluginTrapError) as caught:
        await make_guest(wasm=module(KERNEL)).call("fail_and_trap", b"an error")
    assert "wasm backtrace" in caught.value.trace


async def test_an_error_that_is_taken_back_or_belongs_to_an_earlier_call_is_none(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=module(KERNEL))
    assert await guest.call("take_back", b"an error") == b""
    assert not (await guest.attempt("fail", b"an error")).ok
    assert (await guest.attempt("say_nothing", b"")).error is None


@pytest.mark.parametrize(
    ("export", "data", "output"),
    [
        ("part", b"0123456", b"234"),
        ("twice", b"", b"other"),
        ("empty_after_all", b"something", b""),
        ("nothing_after_all", b"x" * 4_096, b"x" * 4_096),  # nothing at 0 changes nothing, in Extism
        ("freed", b"", b"name"),
    ],
)
async def test_output_is_what_was_set_last_as_it_was_then(
    make_guest: MakeGuest, export: str, data: bytes, output: bytes
) -> None:
    guest = make_guest(wasm=module(KERNEL))
    for _ in range(3):
        assert await guest.call(export, data) == output


KEEPS_LITTLE = KernelLimits(retained=1, budget=4 * 2**20)


@pytest.mark.parametrize(
    ("export", "fault", "problem", "remedy"),
    [
        ("stale", "stale-block", "after so much else that it is gone: 1 byte", "retained_memory"),
        ("beyond", "out-of-bounds", "beyond the end of a block", "tell its author"),
        ("output_beyond", "out-of-bounds", "beyond the end of a block", "tell its author"),
        ("unknown", "unknown-block", "never given: 0x123456789a", "tell its author"),
        ("unknown_request", "unknown-block", "never given: 0xfffffffffffffffb", "tell its author"),
        ("within", "unknown-block", "never given", "tell its author"),
        ("huge", "out-of-memory", "asked for 1.0 GiB of Extism's memory", "in pieces"),
        ("too_much", "out-of-memory", "where its blocks may take 4.0 MiB", "memory_budget"),
        ("http", "kernel-http", "no network policy reaches", "host function http_request"),
    ],
)
@pytest.mark.parametrize("use", ["call", "attempt"])
async def test_what_nobody_can_make_good_ends_the_call_there_and_is_named(
    make_guest: MakeGuest, use: str, export: str, fault: str, problem: str, remedy: str
) -> None:
    guest = make_guest(echo, wasm=module(FAULTS), limits=KEEPS_LITTLE)
    with pytest.raises(GuestFaultError) as caught:
        await getattr(guest, use)(export, b"")
    error = caught.value
    assert (error.plugin, error.export, error.fault) == ("example", export, fault)
    assert f"plugin 'example': {export} " in error.message
    assert problem in error.message
    assert remedy in error.remedy
    assert not guest.usable
    with pytest.raises(GuestStoppedError):
        await guest.call("http", b"")


async def test_a_request_that_is_a_fault_reaches_no_host_function(make_guest: MakeGuest) -> None:
    asked: list[bytes] = []

    def host(request: bytes) -> bytes:
        asked.append(request)
        return b""

    with pytest.raises(GuestFaultError):
        await make_guest(host, wasm=module(FAULTS)).call("unknown_request", b"")
    assert asked == []


async def test_what_the_companion_does_not_understand_is_a_fault_too(
    make_guest: MakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = make_guest(echo, wasm=module(FAULTS))
    assert await guest.call("ask", b"") == b""

    def write(window: Window, at: int, *_: Any, **__: bool) -> int:
        window.write(at, b"\x02" + bytes(23))  # two answers
        return at

    monkeypatch.setattr(guest.border, "_write", write)
    monkeypatch.setitem(guest.border._operations, 33, lambda _, __: b"answer")
    with pytest.raises(GuestFaultError, match="an answer that the companion does not understand") as caught:
        await guest.call("ask", b"")
    assert caught.value.fault == "exchange"
    assert "plugin-compat" in caught.value.remedy
