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
from adapters.voice import Voice
from detectors.errors import CompatError
from detectors.wording import amount

__all__ = ["Border", "Fault", "Handler", "KernelLimits"]

#: Answers a host function's request.
Handler = Callable[[bytes], bytes]

_MAX_VARIABLES = 2**20  # bytes of names and values together, as in Extism
_LONGEST_SECRET = 4 * 1024  # bytes of one line that are dropped before a cut
_LONGEST_SLEEP = 10**7  # seconds; a longer sleep returns early
_NAMES = {Operation.SLEEP: "a sleep"} | {number: name for name, number in HOST_OPERATIONS.items()}
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
    """

    retained: int = 4 * 2**20
    budget: int = 64 * 2**20
    generations: int = 31 * 2**16
    request: int = 16 * 2**20
    output: int = 16 * 2**20


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
        self.memory: int | None = None  # bytes of the guest's own, when a call has trapped, if that is known
        self.error: bytes | None = None  # what the guest has put into error memory in this call
        self._guest = guest
        self._plugin = plugin
        self._config = config or {}
        self.limits = limits
        self._observer = observer
        self._on_worn = on_worn
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
            Operation.COLLECT: self._note_memory,
        }
        theirs = {HOST_OPERATIONS[name]: self._host_function(name, handler) for name, handler in handlers.items()}
        self._operations = own | theirs

    def begin(self, export: str) -> None:
        """A call of an export is about to begin."""
        self._export = export
        self.error = self.fault = self.memory = None
        self.voice.forget_words()

    def collect(self, run: Callable[[], object]) -> None:
        """Let what a call that trapped has left in the outbox cross, by a call of ``trampoline.COLLECT``."""
        self._collecting = True
        try:
            run()
        finally:
            self._collecting = False

    def memory_near(self, limit: int) -> tuple[int, int] | None:
        """How much memory the guest has, and may have, in bytes, if its last call may have failed for want of more."""
        # Guests ask for more in large steps, and fail before they have all.
        return (self.memory, limit) if self.memory is not None and self.memory >= limit * 3 // 4 else None

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
            raise GuestStoppedError(self._plugin, _NAMES.get(crossed.operation, self._export))
        operation = self._operations.get(crossed.operation)
        if operation is None:
            raise BorderError(f"the unknown operation {crossed.operation}")
        answer = operation(crossed, body[crossed.records :] if crossed.records else body)
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
        return GuestStoppedError(self._plugin, self._export) if self.stopping.is_set() else BorderError(problem)

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
        )

    def _note_fault(self, crossed: Crossed, _: bytes) -> None:
        self.fault = self.fault or Fault(crossed.other, crossed.one)

    def _note_exit(self, crossed: Crossed, _: bytes) -> None:
        self.exit_code = crossed.one

    def _note_memory(self, crossed: Crossed, _: bytes) -> None:
        self.memory = crossed.one * 65_536 if crossed.one >= 0 else None

    def _sleep(self, crossed: Crossed, _: bytes) -> None:
        nanoseconds = crossed.one & 0xFFFF_FFFF_FFFF_FFFF
        if self.stopping.wait(min(nanoseconds / 1e9, _LONGEST_SLEEP)):
            raise GuestStoppedError(self._plugin, _NAMES[Operation.SLEEP])

    def _set_variable(self, _: Crossed, value: bytes) -> None:
        name = self._taken_name()
        self._forget_variable(name)
        if self._variable_bytes + len(name) + len(value) > _MAX_VARIABLES:
            raise BorderError(
                f"plugin {self._plugin!r} keeps more than {amount(_MAX_VARIABLES)} in variables",
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
                self.error = _whole(body) or None
            elif kind in _LEVELS:
                self.voice.say(_LEVELS[Record(kind)], _whole(body).decode(errors="replace"))
            else:
                raise BorderError(f"a record of the unknown kind {kind}")


def _whole(body: bytes) -> bytes:
    """A record without what the companion may have cut in two: half a secret could not be told as one."""
    if len(body) < LONGEST_RECORD:
        return body
    lines, ended, _ = body.rpartition(b"\n")
    return lines + b"\n[cut]" if ended else body[:-_LONGEST_SECRET] + b" [cut]"
