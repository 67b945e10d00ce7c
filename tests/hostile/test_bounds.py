"""Guests that take more than they may: each is told of with its limit and what helps, and the process lives."""

from __future__ import annotations

import attrs
import pytest
import wasmtime

from adapters.bounds import Bounds
from compat import CompanionError, GuestFaultError, PluginCallError, PluginTrapError
from tests.support.echo import open_module

MIB = 2**20

_KERNEL = """
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "output_set" (func $output (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error (param i64)))
  (import "env" "log_record" (func $log (param i64) (result i64)))
  (import "env" "publish_stream_data" (func $publish (param i64) (result i64)))
"""


@attrs.frozen
class Hog:
    """A guest that takes more than it may.

    Attributes:
        body: What its export ``take`` does.
        declares: What the module has besides.
        bounds: What it may take.
        error: What it ends in.
        says: What the error names: what was taken, and how much may be.
        remedy: The setting that its remedy names.
    """

    body: str
    error: type[Exception]
    says: str
    remedy: str
    bounds: Bounds = attrs.field(factory=Bounds)
    declares: str = '(memory (export "memory") 1)'

    @property
    def wasm(self) -> bytes:
        text = f"""(module {_KERNEL} {self.declares}
          (func (export "start_stream") (result i32) (i32.const 0))
          (func (export "stop_stream") (result i32) (i32.const 0))
          (func (export "take") (result i32) {self.body} (i32.const 0)))"""
        return bytes(wasmtime.wat2wasm(text))


def handed(function: str, size: int) -> str:
    return f"(drop (call ${function} (call $alloc (i64.const {size}))))"


GROWING = "(loop $on (br_if $on (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable"
GROWING_TABLE = """(loop $on
  (br_if $on (i32.ne (table.grow $t (ref.null func) (i32.const 1_000)) (i32.const -1)))) unreachable"""
HOGS = {
    "memory": Hog(GROWING, PluginTrapError, r"it had 7\.1 MiB of memory, of 8\.0 MiB", "guest_memory=",
                  bounds=Bounds(guest_memory=8 * MIB)),
    "a table": Hog(GROWING_TABLE, PluginTrapError, "it had 5,000 entries in a table, of 5,500 that a guest may have",
                   "Bounds(guest_table=...)", bounds=Bounds(guest_table=5_500),
                   declares='(memory (export "memory") 1) (table $t 0 funcref)'),
    "a table without a memory": Hog(GROWING_TABLE, PluginTrapError, "it had 5,000 entries in a table, of 5,500",
                                    "guest_table=", bounds=Bounds(guest_table=5_500),
                                    declares="(table 9 externref) (table $t 0 funcref)"),
    "memory and a table": Hog(GROWING.replace("unreachable", GROWING_TABLE), PluginTrapError,
                              r"of 8\.0 MiB that a guest may have; it had 5,000 entries in a table, of 5,500",
                              "Bounds(guest_memory=..., guest_table=...)",
                              bounds=Bounds(guest_memory=8 * MIB, guest_table=5_500),
                              declares='(memory (export "memory") 1) (table $t 0 funcref)'),
    "memory from the beginning": Hog("", CompanionError, r"begins with 512\.0 MiB of memory, .* 256\.0 MiB",
                                     "guest_memory=", declares='(memory (export "memory") 8192)'),
    "a table from the beginning": Hog("", CompanionError, "begins with a table of 2,000,000 entries, .* 1,000,000",
                                      "guest_table=", declares='(memory (export "memory") 1) (table 2000000 funcref)'),
    "an output": Hog(f"(call $output (call $alloc (i64.const {17 * MIB})) (i64.const {17 * MIB}))", GuestFaultError,
                     r"put out 17\.0 MiB, where 16\.0 MiB are allowed", "max_output="),
    "a request": Hog(handed("log", 17 * MIB), GuestFaultError, r"passed 17\.0 MiB to a host function, where 16\.0 MiB",
                     "max_request="),
    "a publication": Hog(handed("publish", 2 * MIB), GuestFaultError, r"passed 2\.0 MiB .* where 1\.0 MiB",
                         "max_request=", bounds=Bounds(max_request=MIB)),
    "one block": Hog("(drop (call $alloc (i64.const 0x10000000)))", GuestFaultError,
                     r"asked for 256\.0 MiB of Extism's memory in one block, where one may have 64 MiB", "in pieces"),
}  # fmt: skip


@pytest.mark.parametrize("hog", HOGS.values(), ids=HOGS)
async def test_what_a_guest_takes_too_much_of_is_told_with_the_limit_and_what_helps(hog: Hog) -> None:
    async with open_module(hog.wasm, bounds=hog.bounds) as plugin:
        for _ in range(2):  # and each time again, with a fresh guest
            with pytest.raises(hog.error, match=hog.says) as caught:
                await plugin.call("take")
            assert hog.remedy in str(getattr(caught.value, "remedy", ""))


async def test_a_long_error_text_is_cut_and_fails_nothing_else() -> None:
    body = """(call $error (call $alloc (i64.const 0x100000)))
      (return (i32.const 3))"""
    async with open_module(Hog(body, Exception, "", "").wasm) as plugin:
        for _ in range(3):
            with pytest.raises(PluginCallError) as caught:
                await plugin.call("take")
            assert (caught.value.code, len(caught.value.reason)) == (3, 2_000)


async def test_a_table_grows_no_further_than_it_may() -> None:
    body = """(local $grown i32)
      (loop $on
        (local.set $grown (i32.add (local.get $grown) (i32.const 1_000)))
        (br_if $on (i32.ne (table.grow 0 (ref.null func) (i32.const 1_000)) (i32.const -1))))
      (return (i32.sub (local.get $grown) (i32.const 1_000)))"""
    hog = Hog(body, Exception, "", "", declares='(memory (export "memory") 1) (table 0 funcref)')
    async with open_module(hog.wasm, bounds=Bounds(guest_table=5_500)) as plugin:
        with pytest.raises(Exception, match="return code 5000"):
            await plugin.call("take")


async def test_what_stays_within_its_limits_is_served() -> None:
    body = f"""(if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable))
      {handed("log", 15 * MIB)}
      (call $output (call $alloc (i64.const {16 * MIB})) (i64.const {16 * MIB}))"""
    async with open_module(Hog(body, Exception, "", "").wasm) as plugin:
        assert len(await plugin.call("take")) == 16 * MIB


async def test_a_bound_beyond_what_32_bits_address_breaks_no_module() -> None:
    hog = Hog("", Exception, "", "", declares='(memory (export "memory") 1) (table 1 funcref)')
    async with open_module(hog.wasm, bounds=Bounds(guest_memory=2**40, guest_table=2**32 - 1)) as plugin:
        assert await plugin.call("take") == b""
