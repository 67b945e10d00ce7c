"""A rewritten guest linked for real by wasmtime, beside a stand-in of the companion that keeps a journal.

The journal is a number of decimal digits, of which each function appends its own: so it tells the order of things.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import wasmtime

from adapters.companion.rewriting import Ceilings, rewrite

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["BEGIN", "COLLECT", "END", "FREE", "HOST", "STANDIN", "STATS", "Linked", "validates"]

BEGIN, END, STATS, COLLECT, FREE, HOST, HOST_1 = "1", "2", "3", "4", "8", "7", "6"

#: What the guests of these tests import of the companion. ``env.log_info`` appends its argument.
STANDIN = bytes(
    wasmtime.wat2wasm("""(module
      (global $journal (export "journal") (mut i64) (i64.const 0))
      (func $append (param i64)
        (global.set $journal (i64.add (i64.mul (global.get $journal) (i64.const 10)) (local.get 0))))
      (func (export "begin") (call $append (i64.const 1)))
      (func (export "end") (call $append (i64.const 2)))
      (func (export "collect") (call $append (i64.const 4)))
      (func (export "entries") (param i64) (call $append (local.get 0)))
      (func (export "stats") (call $append (i64.const 3)))
      (func (export "env.log_info") (param i64) (call $append (local.get 0)))
      (func (export "env.free") (param i64) (call $append (i64.const 8)))
      (func (export "host.log_record") (param i64) (result i64) (call $append (i64.const 7)) (i64.const 0))
      (func (export "host.log_record.1") (param i64) (call $append (i64.const 6)))
      (func (export "wasi.fd_write") (param i32 i32 i32 i32) (result i32) (call $append (i64.const 5)) (i32.const 0))
      (func (export "wasi.proc_exit") (param i32) (call $append (i64.const 4))))""")
)
_SHIM = bytes(
    wasmtime.wat2wasm('(module (import "compat:guest" "memory" (memory 0)) (func (export "ready")))'),
)


def validates(data: bytes) -> bool:
    """Whether wasmtime takes the bytes for a module."""
    try:
        wasmtime.Module.validate(wasmtime.Engine(), data)
    except (wasmtime.WasmtimeError, ValueError):
        return False
    return True


class Linked:
    """A guest that Extism's way of linking has made ready: modules by name, in order, then `main`."""

    def __init__(self, text: str, ceilings: Ceilings | None = None) -> None:
        self.guest = rewrite(bytes(wasmtime.wat2wasm(text)), ceilings)
        engine = wasmtime.Engine()
        linker, self._store = wasmtime.Linker(engine), wasmtime.Store(engine)
        modules = {
            "compat": STANDIN,
            "compat:guest": self.guest.wasm,
            **({"compat:shim": _SHIM} if self.guest.shim else {}),
        }
        for name, data in modules.items():
            linker.define_module(self._store, name, wasmtime.Module(engine, data))
        self._main = linker.instantiate(self._store, wasmtime.Module(engine, self.guest.main)).exports(self._store)
        journal = linker.get(self._store, "compat", "journal")
        assert isinstance(journal, wasmtime.Global)
        self._journal = journal

    @property
    def exports(self) -> set[str]:
        """The names that `main` exports."""
        return set(self._main)

    @property
    def journal(self) -> str:
        """What happened until now."""
        return str(self._journal.value(self._store) or "")

    def call(self, name: str) -> int | None:
        """Call an export of `main`; returns what it returns."""
        function = self._main[name]
        assert isinstance(function, wasmtime.Func)
        returned: int | None = function(self._store)
        return returned

    def told(self, names: Iterable[str]) -> str:
        """Call some exports, and return what happened meanwhile."""
        before = len(self.journal)
        for name in names:
            self.call(name)
        return self.journal[before:]
