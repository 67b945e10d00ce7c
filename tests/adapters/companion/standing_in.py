"""The companion without Extism, between a kernel that counts what is dishonest and a host that notes what crosses."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import wasmtime

from adapters.companion.exchange import (
    HEAD,
    STOP,
    Operation,
    Record,
    encode_answer,
    greeting,
    read_head,
    read_records,
)
from adapters.companion.modules import companion_text, shim

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["QUEUE", "TOLD", "Companion", "Crossing", "Fault", "Stats"]

#: Idle slots that wait as long as there are fresh ones.
QUEUE = 16_384

_I32, _I64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()


class Fault(Exception):  # noqa: N818 - the companion's word
    """The call ended in a fault that the host was told."""

    def __init__(self, reason: int, handle: int) -> None:
        super().__init__(reason, handle)
        self.reason = reason
        self.handle = handle


class Crossing(NamedTuple):
    """What crossed to the host."""

    operation: int
    request: bytes = b""
    records: tuple[tuple[int, bytes], ...] = ()
    one: int = 0
    other: int = 0
    worn: bool = False


class Stats(NamedTuple):
    """What the companion says that it has in use; see ``7-calls.wat``."""

    blocks: int
    bytes: int
    crossed: int
    crossed_bytes: int
    slots: int
    heap_bytes: int
    reclaimed: int
    idle: int


@functools.cache
def _engine(*, fuel: bool) -> wasmtime.Engine:
    config = wasmtime.Config()
    config.consume_fuel = fuel
    return wasmtime.Engine(config)


@functools.cache
def module(name: str, *, queue: int = QUEUE, fuel: bool = False) -> wasmtime.Module:
    """A module: the companion, its shim, or one of this folder."""
    text: str | bytes
    if name == "shim":
        text = shim()
    elif name != "compat":
        text = (Path(__file__).parent / f"{name}.wat").read_text(encoding="utf-8")
    else:
        text = companion_text()
        assert text.count(f"(i32.const {QUEUE})") == 1
        text = text.replace(f"(i32.const {QUEUE})", f"(i32.const {queue})")
    return wasmtime.Module(_engine(fuel=fuel), text)


class Companion:
    """One guest's companion.

    Attributes:
        crossings: What has crossed, the greeting left out.
        reply: The answer to the next request of the guest's.
        log_level: What every answer says is logged from now on.
        forge: Answers in the host's place, given the window's offset and length; returns the answer's offset.
        answered_beside: Answers that stood in a block of their own.

    Args:
        queue: How many idle slots wait, as long as there are fresh ones. The others are as in the greeting.
        fuel: Whether instructions are counted.
        quick: Whether the host is the one in ``host.wat``, which notes nothing and knows no setting but ``retained``.
        begun: Whether the first call has begun.
    """

    def __init__(
        self,
        *,
        retained: int = 4 * 2**20,
        budget: int = 64 * 2**20,
        generations: int = 31 * 2**16,
        log_level: int = 0,
        queue: int = QUEUE,
        fuel: bool = False,
        quick: bool = False,
        begun: bool = True,
    ) -> None:
        self.store = wasmtime.Store(_engine(fuel=fuel))
        if fuel:
            self.store.set_fuel(2**62)
        self.crossings: list[Crossing] = []
        self.reply: bytes | None = None
        self.log_level: int | None = None
        self.forge: Callable[[int, int], int] | None = None
        self.answered_beside = 0
        self.greeting = greeting(retained=retained, budget=budget, generations=generations, log_level=log_level)
        self._fault: Fault | None = None
        linker = wasmtime.Linker(_engine(fuel=fuel))
        linker.allow_shadowing = True  # of the clock, by all of WASI
        self.now = 1_234_567_890_123_456_789  # what WASI's clock says
        clock = wasmtime.Func(self.store, wasmtime.FuncType([_I32, _I64, _I32], [_I32]), self._clock)
        linker.define(self.store, "wasi_snapshot_preview1", "clock_time_get", clock)
        self.kernel = self._link(linker, "extism:host/env", module("extism", fuel=fuel))
        if quick:
            host = self._link(linker, "compat:host", module("host", fuel=fuel))
            host["settings"].set_value(self.store, retained)
        else:
            exchange = wasmtime.Func(self.store, wasmtime.FuncType([_I64], [_I64]), self._exchange)
            linker.define(self.store, "compat:host", "exchange", exchange)
        self.exports = self._link(linker, "compat", module("compat", queue=queue, fuel=fuel))
        self.guest = self._link(linker, "guest", module("guest", fuel=fuel))
        self.linker = linker
        if begun:
            self.begin()

    def _link(self, linker: wasmtime.Linker, name: str, linked: wasmtime.Module) -> dict[str, Any]:
        instance = linker.instantiate(self.store, linked)
        linker.define_instance(self.store, name, instance)
        return dict(instance.exports(self.store).items())

    # What a guest does

    def call(self, name: str, *arguments: int) -> Any:
        """Call an export of the companion's, or of the guest's.

        Raises:
            Fault: It ended in one.
            wasmtime.Trap: It trapped, and the host was not told why.
        """
        self._fault = None
        function = self.exports.get(name) or self.guest[name]
        try:
            return function(self.store, *arguments)
        except wasmtime.Trap:
            if self._fault is None:
                raise
            raise self._fault from None

    def begin(self, data: bytes = b"") -> None:
        """Begin a call with an input, in a kernel that has been emptied."""
        self.kernel["reset"](self.store)
        if data:
            at = self.kernel["alloc"](self.store, len(data))
            self.kernel["memory"].write(self.store, data, at)
            self.kernel["input_set"](self.store, at, len(data))
        self.call("begin")

    def make(self, data: bytes) -> int:
        """A block with these bytes."""
        handle = int(self.call("env.alloc", len(data)))
        for at, byte in enumerate(data):
            self.call("env.store_u8", handle + at, byte)
        return handle

    def read(self, handle: int, length: int) -> bytes:
        """Bytes of a block, each loaded on its own."""
        return bytes(self.call("env.load_u8", handle + at) for at in range(length))

    # What can be seen from outside

    def output(self) -> bytes:
        """The output that has been set."""
        at, length = (int(self.kernel[name].value(self.store)) for name in ("output", "output_bytes"))
        return bytes(self.kernel["memory"].read(self.store, at, at + length))

    def stats(self) -> Stats:
        """What is in use. The output is as before."""
        kept = [self.kernel[name].value(self.store) for name in ("output", "output_bytes")]
        self.call("stats")
        output = self.output()
        self.kernel["free"](self.store, self.kernel["output"].value(self.store))
        self.kernel["output_set"](self.store, *kept)
        return Stats(*(int.from_bytes(output[at : at + 8], "little") for at in range(0, 64, 8)))

    def own(self, start: int, end: int) -> bytes:
        """Bytes of the companion's own memory."""
        return bytes(self.exports["own"].read(self.store, start, end))

    def dishonest(self) -> int:
        """How often the kernel was used as it must not be."""
        return int(self.kernel["dishonest"].value(self.store))

    def living(self) -> int:
        """Blocks of the kernel's that are there."""
        return int(self.kernel["living"].value(self.store))

    def take_crossings(self) -> list[Crossing]:
        """What has crossed since this was asked last."""
        taken, self.crossings = self.crossings, []
        return taken

    # The host

    def write(self, at: int, data: bytes) -> None:
        """Write into the kernel's memory, as the host does."""
        self.kernel["memory"].write(self.store, data, at)

    def _clock(self, _: int, __: int, at: int) -> int:
        self.exports["own"].write(self.store, self.now.to_bytes(8, "little"), at)
        return 0

    def _exchange(self, at: int) -> int:
        room = int(self.kernel["length"](self.store, at))
        memory = self.kernel["memory"]
        head = read_head(bytes(memory.read(self.store, at, at + HEAD)), room)
        body = bytes(memory.read(self.store, at + HEAD, at + HEAD + head.records + head.request))
        records = tuple(read_records(body[: head.records]))
        if head.operation == Operation.GREET:
            return self.forge(at, room) if self.forge else self.answer(at, room, self.greeting)
        request = body[head.records :]
        self.crossings.append(Crossing(head.operation, request, records, head.one, head.other, head.worn))
        if head.operation == Operation.FAULT:
            self._fault = Fault(head.other, head.one)
            return 0
        if self.forge is not None:
            return self.forge(at, room)
        if head.operation in {Operation.FLUSH, Operation.SLEEP, Operation.EXIT} or self.reply is None:
            return 0
        return self.answer(at, room, self.reply)

    def answer(self, at: int, room: int, reply: bytes) -> int:
        """Answer as the product's host does: in the window if there is room, or in a block of the answer's own."""
        data = encode_answer(reply, log_level=self.log_level)
        if len(data) > room:
            data = encode_answer(reply, log_level=self.log_level, own_block=True)
            at = int(self.kernel["alloc"](self.store, len(data)))
            self.answered_beside += 1
        self.write(at, data)
        return at

    def stop(self, at: int, _: int) -> int:
        """Answer that the call ends."""
        self.write(at, STOP)
        return at


#: The records of each function that tells something, by its name.
TOLD = {f"env.log_{record.name[4:].lower()}": record for record in Record if record.name.startswith("LOG_")}
