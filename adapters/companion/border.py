"""The host's end of one guest's border: what crosses is read, answered and, where it is a fault, kept.

Which host functions there are, and what they answer, is decided in ``runtime/hostcalls.py``; how it crosses is
described in ``exchange.py``. Everything here runs on the guest's thread, inside one of its calls, and may block as long
as it looks at the guest's stop flag.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

import attrs

from adapters.companion.exchange import (
    HEAD,
    HOST_OPERATIONS,
    LONGEST_RECORD,
    BorderError,
    Crossed,
    Operation,
    Record,
    encode_answer,
    greeting,
    read_head,
    read_records,
)
from adapters.observe import Crossing, Direction, Observer
from adapters.runtime.engine import Window
from adapters.runtime.errors import GuestStoppedError
from adapters.secrets import LONGEST_SECRET
from adapters.voice import Voice
from detectors.errors import CompatError
from detectors.wording import amount

__all__ = ["SLEEP", "Border", "Fault", "Handler", "KernelLimits"]

#: Answers a host function's request.
Handler = Callable[[bytes], bytes]

_MAX_VARIABLES = 2**20  # bytes of names and values together, as in Extism
_LONGEST_SLEEP = 10**7  # seconds; a longer sleep returns early
#: What a guest is in that sleeps, beside the names of host functions.
SLEEP = "a sleep"

_NAMES = {Operation.SLEEP: SLEEP} | {number: name for name, number in HOST_OPERATIONS.items()}
_LAST_WORDS = frozenset({Operation.FAULT, Operation.EXIT})  # after which a call ends anyway
_LEVELS = {
    Record.LOG_TRACE: logging.DEBUG,
    Record.LOG_DEBUG: logging.DEBUG,
    Record.LOG_INFO: logging.INFO,
    Record.LOG_WARN: logging.WARNING,
    Record.LOG_ERROR: logging.ERROR,
}


@attrs.frozen
class KernelLimits:
    """How much the companion's kernel keeps for a guest.

    Attributes:
        retained: Bytes of used blocks that the guest may come back to.
        budget: Bytes that its blocks may take.
        generations: How often the slot of a handle is used before the guest counts as worn.
        request: Bytes of a request to a host function, of what is published, for example.
        output: Bytes of the output of a call.
        error: Bytes of the text that it puts into error memory; of a longer one, so many are kept.
    """

    retained: int = 4 * 2**20
    budget: int = 64 * 2**20
    generations: int = 31 * 2**16
    request: int = 16 * 2**20
    output: int = 16 * 2**20
    error: int = 2**16


@attrs.frozen
class Fault:
    """What a guest did that nobody could make good.

    Attributes:
        reason: As the companion numbers them.
        handle: The handle that it used, or the bytes that it asked for.
    """

    reason: int
    handle: int


class Border:
    """One guest's border, as the host sees it.

    Args:
        guest: The guest's name, for the observer.
        plugin: The plugin's name, for errors.
        handlers: What answers host functions, by name.
        stopping: The guest's stop flag.
        voice: Where what it says goes.
        config: What it may read as its configuration, by name.
        limits: How much is kept for it.
        observer: Sees every request and reply.
        on_worn: Told once, when the guest should be replaced some time.
    """

    def __init__(
        self,
        *,
        guest: str,
        plugin: str,
        handlers: Mapping[str, Handler],
        stopping: threading.Event,
        voice: Voice,
        config: Mapping[str, bytes] | None = None,
        limits: KernelLimits = KernelLimits(),
        observer: Observer | None = None,
        on_worn: Callable[[], None] = lambda: None,
    ) -> None:
        self.stopping = stopping
        self.voice = voice
        self.calls = 0  # of host functions
        self.blocks = 0  # that the guest had at the latest crossing, and what they took
        self.bytes_used = 0
        self.fault: Fault | None = None
        self.exit_code: int | None = None
        self.memory = self.table = 0  # bytes of the guest's own, entries of its largest table, once a call has trapped
        self.error: bytes | None = None  # what the guest has put into error memory in this call
        self._guest = guest
        self.plugin = plugin
        self._config = config or {}
        self.limits = limits
        self._observer = observer
        self._on_worn = on_worn
        self.running = ""  # the export that is being called
        self.moves = 0  # calls that have begun, and crossings
        self._inside: int | None = None  # the operation that is being carried out
        self._worn = False
        self._collecting = False
        self._export = ""  # that was called last
        self._variables: dict[bytes, bytes] = {}
        self._variable_bytes = 0
        self._name = b""
        own: dict[int, Callable[[Crossed, bytes], bytes | None]] = {
            Operation.GREET: self._greet,
            Operation.FAULT: self._note_fault,
            Operation.FLUSH: lambda _, __: None,
            Operation.CONFIG_GET: lambda _, name: self._config.get(name.decode(errors="replace")),
            Operation.VAR_GET: lambda _, name: self._variables.get(name),
            Operation.VAR_SET: self._set_variable,
            Operation.VAR_REMOVE: self._remove_variable,
            Operation.EXIT: self._note_exit,
            Operation.SLEEP: self._sleep,
            Operation.COLLECT: self._note_sizes,
        }
        theirs = {HOST_OPERATIONS[name]: self._host_function(name, handler) for name, handler in handlers.items()}
        self._operations = own | theirs

    def begin(self, export: str) -> None:
        """A call of an export is about to begin."""
        self._export = self.running = export
        self.moves += 1
        self.error = self.fault = None
        self.memory = self.table = 0
        self.voice.forget_words()

    def end(self) -> None:
        """The call has ended."""
        self.running = ""
        self.voice.end_of_call()

    @property
    def inside(self) -> str:
        """The host function that the guest is in, or a sleep; empty: it runs itself. To be asked on any thread."""
        operation = self._inside
        return "" if operation is None else _NAMES.get(operation, "the kernel")

    def collect(self, run: Callable[[], object]) -> None:
        """Let what a call that trapped has left in the outbox cross, by a call of ``trampoline.COLLECT``."""
        self._collecting = True
        try:
            run()
        finally:
            self._collecting = False

    def reason(self) -> str | None:
        """What the guest has put into error memory in this call; ``None`` if nothing."""
        error, most = self.error, self.limits.error
        if error is not None and len(error) > most:
            return self._cut(error[:most], f"[cut at {amount(most)}]")
        return None if error is None else error.decode(errors="replace")

    def _cut(self, body: bytes, mark: str) -> str:
        """A text that was cut off, without its last line or its end, where half a secret may stand."""
        text = self.voice.redact(body.decode(errors="replace"))
        lines, ended, _ = text.rpartition("\n")
        return f"{lines}\n{mark}" if ended else f"{text[:-LONGEST_SECRET]} {mark}"

    def memory_near(self, limit: int) -> tuple[int, int] | None:
        """How much memory the guest has, and may have, in bytes, if its last call may have failed for want of more."""
        return _near(self.memory, limit)

    def table_near(self, limit: int) -> tuple[int, int] | None:
        """Likewise the entries of its largest table, of those that may grow up to the limit."""
        return _near(self.table, limit)

    def exchange(self, window: Window, at: int) -> int:
        """Take one crossing; see ``engine.Exchange``.

        Raises:
            BorderError: It is not what the protocol allows.
            GuestStoppedError: The guest was told to stop.
            CompatError: What a host function raises.
        """
        room = window.length(at)
        if room < HEAD:
            raise self._no_block(f"a crossing in a block of {room} bytes")
        crossed = read_head(window.read(at, HEAD), room)
        self.blocks, self.bytes_used = crossed.blocks, crossed.bytes_used
        body = window.read(at + HEAD, crossed.records + crossed.request)
        if crossed.records:
            self._take_records(body[: crossed.records])
        if crossed.worn and not self._worn:
            self._worn = True
            self._on_worn()
        if self.stopping.is_set() and not self._collecting and crossed.operation not in _LAST_WORDS:
            raise GuestStoppedError(self.plugin, _NAMES.get(crossed.operation, self._export))
        operation = self._operations.get(crossed.operation)
        if operation is None:
            raise BorderError(f"the unknown operation {crossed.operation}")
        self.moves += 1
        self._inside = crossed.operation
        try:
            answer = operation(crossed, body[crossed.records :] if crossed.records else body)
        finally:
            self._inside = None
        if answer is None:
            return 0
        return self._write(window, at, room, answer)

    def _write(self, window: Window, at: int, room: int, answer: bytes) -> int:
        log_level = self.voice.level  # the logger's may have been changed
        data = encode_answer(answer, log_level=log_level)
        if len(data) > room:
            data = encode_answer(answer, log_level=log_level, own_block=True)
            # Lengths repeat this way, so that blocks that were given back are used again.
            at = window.alloc(1 << (len(data) - 1).bit_length())
            if not at:
                raise self._no_block(f"Extism has no room for an answer of {len(answer)} bytes")
        window.write(at, data)
        return at

    def _no_block(self, problem: str) -> CompatError:
        """Why Extism names no block: it asks its kernel, which does not answer any more once a guest is cancelled."""
        return GuestStoppedError(self.plugin, self._export) if self.stopping.is_set() else BorderError(problem)

    # Host functions

    def _host_function(self, name: str, handler: Handler) -> Callable[[Crossed, bytes], bytes | None]:
        def call(_: Crossed, request: bytes) -> bytes | None:
            self.calls += 1
            if self._observer is None:
                return handler(request) or None
            self._observe(Direction.HOST_CALL, name, request)
            reply = handler(request)
            self._observe(Direction.HOST_RETURN, name, reply)
            return reply or None

        return call

    def _observe(self, direction: Direction, name: str, data: bytes) -> None:
        if self._observer is not None:
            self._observer(Crossing(self._guest, direction, name, data, time.monotonic_ns()))

    # The kernel's part

    def _greet(self, _: Crossed, __: bytes) -> bytes:
        return greeting(
            retained=self.limits.retained,
            budget=self.limits.budget,
            generations=self.limits.generations,
            log_level=self.voice.level,
            max_request=self.limits.request,
            max_output=self.limits.output,
            max_error=self.limits.error,
        )

    def _note_fault(self, crossed: Crossed, _: bytes) -> None:
        self.fault = self.fault or Fault(crossed.other, crossed.one)

    def _note_exit(self, crossed: Crossed, _: bytes) -> None:
        self.exit_code = crossed.one

    def _note_sizes(self, crossed: Crossed, _: bytes) -> None:
        self.memory, self.table = max(crossed.one, 0) * 65_536, crossed.other

    def _sleep(self, crossed: Crossed, _: bytes) -> None:
        nanoseconds = crossed.one & 0xFFFF_FFFF_FFFF_FFFF
        if self.stopping.wait(min(nanoseconds / 1e9, _LONGEST_SLEEP)):
            raise GuestStoppedError(self.plugin, _NAMES[Operation.SLEEP])

    def _set_variable(self, _: Crossed, value: bytes) -> None:
        name = self._taken_name()
        self._forget_variable(name)
        if self._variable_bytes + len(name) + len(value) > _MAX_VARIABLES:
            raise BorderError(
                f"plugin {self.plugin!r} keeps more than {amount(_MAX_VARIABLES)} in variables",
                remedy="A defect of the plugin, which has to remove variables that it does not need: tell its author",
            )
        self._variables[name] = value
        self._variable_bytes += len(name) + len(value)

    def _remove_variable(self, _: Crossed, __: bytes) -> None:
        self._forget_variable(self._taken_name())

    def _forget_variable(self, name: bytes) -> None:
        before = self._variables.pop(name, None)
        if before is not None:
            self._variable_bytes -= len(name) + len(before)

    def _taken_name(self) -> bytes:
        name, self._name = self._name, b""  # a request whose name is no block comes without one
        return name

    def _take_records(self, data: bytes) -> None:
        for kind, body in read_records(data):
            if kind == Record.STDOUT:
                self.voice.print(logging.INFO, body)
            elif kind == Record.STDERR:
                self.voice.stderr(body)
            elif kind == Record.NAME:
                self._name = body
            elif kind == Record.ERROR:
                self.error = body or None
            elif kind == Record.ERROR_GOES_ON:
                self.error = ((self.error or b"") + body)[: self.limits.error + 1]
            elif kind in _LEVELS:
                said = body.decode(errors="replace") if len(body) < LONGEST_RECORD else self._cut(body, "[cut]")
                self.voice.say(_LEVELS[Record(kind)], said)
            else:
                raise BorderError(f"a record of the unknown kind {kind}")


def _near(size: int, limit: int) -> tuple[int, int] | None:
    # Guests ask for more in large steps, and fail before they have all.
    return (size, limit) if size * 4 >= limit * 3 else None
