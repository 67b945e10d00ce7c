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

from adapters.companion.batching import Batches, Batching
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
from adapters.companion.limits import Fault, KernelLimits
from adapters.companion.messages import Returned, read_returned
from adapters.companion.variables import Variables
from adapters.observe import Crossing, Direction, Observer
from adapters.runtime.engine import Window
from adapters.runtime.errors import GuestStoppedError
from adapters.secrets import LONGEST_SECRET
from adapters.voice import Voice
from detectors.errors import CompatError
from detectors.wording import amount

__all__ = ["SLEEP", "Border", "Handler"]

#: Answers a host function's request.
Handler = Callable[[bytes], bytes]
_Answer = bytes | list[bytes] | None

_LONGEST_SLEEP = 10**7  # seconds; a longer sleep returns early
#: What a guest is in that sleeps, beside the names of host functions.
SLEEP = "a sleep"

_RECEIVE, _PUBLISH = HOST_OPERATIONS["ws_receive"], HOST_OPERATIONS["publish_stream_data"]
_NAMES = {Operation.SLEEP: SLEEP} | {number: name for name, number in HOST_OPERATIONS.items()}
_REQUESTS = frozenset({Record.PUBLICATION, Record.HOST_LOG})  # that came as records
_LAST_WORDS = frozenset({Operation.FAULT, Operation.EXIT})  # after which a call ends anyway
_LEVELS = {
    Record.LOG_TRACE: logging.DEBUG,
    Record.LOG_DEBUG: logging.DEBUG,
    Record.LOG_INFO: logging.INFO,
    Record.LOG_WARN: logging.WARNING,
    Record.LOG_ERROR: logging.ERROR,
}


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
        batches: What crosses in batches; ``None``: nothing does. Nothing does either where there is an observer.
        on_published: Told when all that a crossing publishes was handed over.
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
        limits: KernelLimits = KernelLimits(),  # noqa: B008 - a value
        observer: Observer | None = None,
        batches: Batches | None = None,
        on_published: Callable[[], None] = lambda: None,
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
        self._batching = Batching(batches) if batches is not None and observer is None else None
        self._on_published = on_published
        self.on_returned: Callable[[], object] = lambda: None  # told when one message of a batch has been handled
        self._on_worn = on_worn
        self.running = ""  # the export that is being called
        self.moves = 0  # calls that have begun, messages of a batch that were handled, and crossings
        self.returned: list[tuple[Returned, str | None]] = []  # of a batch, each with its error memory
        self._inside: int | None = None  # the operation that is being carried out
        self._worn = False
        self._collecting = False
        self._export = ""  # that was called last
        self._variables = Variables(plugin)
        self._name = b""
        own: dict[int, Callable[[Crossed, bytes], _Answer]] = {
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
        if self._batching is not None:
            self._operations[_RECEIVE] = self._receive

    def begin(self, export: str) -> None:
        """A call of an export is about to begin."""
        self._export = self.running = export
        self.moves += 1
        self.error = self.fault = None
        self.memory = self.table = 0
        self.returned = []
        self.voice.forget_words()
        if self._batching is not None:
            self._batching.begin()

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
        if self._batching is not None:
            self.moves += self._batching.note_left(crossed.left, dropped=crossed.dropped)
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
            if crossed.operation == _PUBLISH:
                self._on_published()
            self._inside = None
        granted = withdrawn = False
        if self._batching is not None:
            granted = crossed.operation == _PUBLISH and self._batching.grants(answer)  # type: ignore[arg-type]
            withdrawn = self._batching.withdraw()
        if answer is None and not withdrawn:
            return 0
        answers = [] if answer is None else [answer] if isinstance(answer, bytes) else answer
        return self._write(window, at, room, answers, granted=granted, withdrawn=withdrawn)

    def _write(self, window: Window, at: int, room: int, answers: list[bytes], **grants: bool) -> int:
        log_level = self.voice.level  # the logger's may have been changed
        several = len(answers) > 1
        data = encode_answer(*answers, log_level=log_level, own_block=several, **grants)
        if several or len(data) > room:
            if not several:
                data = encode_answer(*answers, log_level=log_level, own_block=True, **grants)
            # Lengths repeat this way, so that blocks that were given back are used again.
            at = window.alloc(1 << (len(data) - 1).bit_length())
            if not at:
                raise self._no_block(f"Extism has no room for an answer of {len(data)} bytes")
        window.write(at, data)
        return at

    def _no_block(self, problem: str) -> CompatError:
        """Why Extism names no block: it asks its kernel, which does not answer any more once a guest is cancelled."""
        return GuestStoppedError(self.plugin, self._export) if self.stopping.is_set() else BorderError(problem)

    # Host functions

    def _receive(self, _: Crossed, request: bytes) -> list[bytes]:
        assert self._batching is not None  # noqa: S101 - or this is no operation
        self.calls += 1
        return self._batching.receive(request)

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
            logs_wait=self._batching is not None,
            own_clock=self._batching is not None and self._batching.own_clock,
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
        self._variables.set(self._taken_name(), value)

    def _remove_variable(self, _: Crossed, __: bytes) -> None:
        self._variables.remove(self._taken_name())

    def _taken_name(self) -> bytes:
        name, self._name = self._name, b""  # a request whose name is no block comes without one
        return name

    def _note_return(self, body: bytes) -> None:
        """One message of a batch has been handled: here ends what belongs to its call, and to no other."""
        self.returned.append((read_returned(body), self.reason()))
        self.moves += 1
        self.on_returned()
        self.error = None
        self.voice.end_of_call()
        self.voice.forget_words()

    def _take_records(self, data: bytes) -> None:
        try:
            for kind, body in read_records(data):
                self._take_record(kind, body)
        finally:
            if self._inside == _PUBLISH:
                self._on_published()
                self._inside = None

    def _take_record(self, kind: int, body: bytes) -> None:
        if kind in _REQUESTS and self._batching is not None:
            self.moves += 1
            self.calls += 1
            if kind == Record.PUBLICATION:
                self._inside = _PUBLISH
                self._batching.publish(body)
            else:
                self._batching.log(body)
        elif kind == Record.STDOUT:
            self.voice.print(logging.INFO, body)
        elif kind == Record.STDERR:
            self.voice.stderr(body)
        elif kind == Record.NAME:
            self._name = body
        elif kind == Record.ERROR:
            self.error = body or None
        elif kind == Record.ERROR_GOES_ON:
            self.error = ((self.error or b"") + body)[: self.limits.error + 1]
        elif kind == Record.RETURNED:
            self._note_return(body)
        elif kind in _LEVELS:
            said = body.decode(errors="replace") if len(body) < LONGEST_RECORD else self._cut(body, "[cut]")
            self.voice.say(_LEVELS[Record(kind)], said)
        else:
            raise BorderError(f"a record of the unknown kind {kind}")
