"""A guest with its companion and its shim, beside a WASI whose clocks stand still."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import wasmtime

from adapters.companion.exchange import Operation
from tests.adapters.companion.standing_in import Companion, module

__all__ = ["COUNT", "END", "EVENT", "IN", "INVALID", "OUT", "Clock", "File", "Guest"]

_I32, _I64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
INVALID = 28
END = 0x10000  # of the guest's memory
IN, OUT, COUNT = 0x1000, 0x3000, 0x4000
_SUBSCRIPTION = struct.Struct("<QB7xI4xQQHxxxxxx")
EVENT = struct.Struct("<QHB5xQHxxxxxx")


class Clock(NamedTuple):
    """A subscription to a clock."""

    number: int
    until: int
    absolute: bool = False
    id: int = 1

    def packed(self) -> bytes:
        return _SUBSCRIPTION.pack(self.number, 0, self.id, self.until, 0, self.absolute)


class File(NamedTuple):
    """A subscription to a file that can be read."""

    number: int

    def packed(self) -> bytes:
        return _SUBSCRIPTION.pack(self.number, 1, 0, 0, 0, 0)


class Guest:
    """A guest with its companion, its shim, and a WASI whose clocks stand still.

    Attributes:
        now: What each clock says, by its number.
        polled: The subscriptions that WASI was asked to wait for, each time.
        poll: What WASI answers: its errno and its events.
        written: The arguments of each `fd_write` that WASI was asked for.
    """

    def __init__(self) -> None:
        self.now = {0: 1_000_000, 1: 5_000_000_000}
        self.polled: list[list[bytes]] = []
        self.poll: Callable[[], tuple[int, list[bytes]]] = lambda: (0, [])
        self.written: list[tuple[int, ...]] = []
        self.companion = Companion()
        store, linker = self.companion.store, self.companion.linker
        self.memory = wasmtime.Memory(store, wasmtime.MemoryType(wasmtime.Limits(1, 1)))
        linker.define(store, "compat:guest", "memory", self.memory)
        for name, params, does in (
            ("poll_oneoff", [_I32] * 4, self._poll),
            ("fd_write", [_I32] * 4, self._write),
            ("clock_time_get", [_I32, _I64, _I32], self._clock),
        ):
            function = wasmtime.Func(store, wasmtime.FuncType(params, [_I32]), does)
            linker.define(store, "wasi_snapshot_preview1", name, function)
        self.shim: dict[str, Any] = dict(linker.instantiate(store, module("shim")).exports(store).items())

    def _poll(self, at: int, out: int, count: int, events: int) -> int:
        self.polled.append([self.read(at + 48 * number, 48) for number in range(count)])
        error, happened = self.poll()
        self.write(out, b"".join(happened))
        self.write(events, len(happened).to_bytes(4, "little"))
        return error

    def _write(self, *arguments: int) -> int:
        self.written.append(arguments)
        return 8  # EBADF

    def _clock(self, clock: int, _: int, at: int) -> int:
        if clock not in self.now:
            return INVALID
        self.write(at, self.now[clock].to_bytes(8, "little"))
        return 0

    def read(self, at: int, length: int) -> bytes:
        return bytes(self.memory.read(self.companion.store, at, at + length))

    def write(self, at: int, data: bytes) -> None:
        self.memory.write(self.companion.store, data, at)

    def number(self, at: int) -> int:
        return int.from_bytes(self.read(at, 4), "little")

    def wait(self, *subscriptions: Clock | File, at: int = IN, out: int = OUT, count: int = COUNT) -> Any:
        """Call `poll_oneoff`; returns its errno."""
        self.write(at, b"".join(subscription.packed() for subscription in subscriptions))
        self.write(out, b"\xee" * min(32 * len(subscriptions), END - out))
        return self.companion.call("wasi.poll_oneoff", at, out, len(subscriptions), count)

    def slept(self) -> list[int]:
        """Nanoseconds of each sleep since this was asked last."""
        crossings = self.companion.take_crossings()
        assert {crossing.operation for crossing in crossings} <= {Operation.SLEEP}
        return [crossing.one % 2**64 for crossing in crossings]

    def print(self, fd: int, *texts: bytes, at: int = 0x5000, written: int = COUNT) -> Any:
        """Call `fd_write`; returns its errno."""
        vectors = b""
        for text in texts:
            self.write(at, text)
            vectors += struct.pack("<II", at, len(text))
            at += len(text) + 3
        self.write(IN, vectors)
        return self.companion.call("wasi.fd_write", fd, IN, len(texts), written)

    def said(self) -> list[tuple[int, bytes]]:
        """The records that have crossed since this was asked last."""
        return [record for crossing in self.companion.take_crossings() for record in crossing.records]
