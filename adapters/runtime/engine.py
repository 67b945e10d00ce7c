"""The only room that knows Extism's C interface.

An ``Instance`` is one plugin with its companion, compiled and instantiated for one guest alone: cancelling one instance
ends every running sibling of the same compiled plugin, so there are no siblings. Compiling again is cheap, the engine
keeps compiled code on disk. An instance belongs to the thread that made it; only ``cancel`` may be called from another.

The one host function is bound through the C interface because the Python SDK keeps every host function in a
process-wide list, prints what a host function raises and lets the guest go on, and drops the output of a failed call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import attrs
from extism_sys import ffi, lib

from adapters.companion.exchange import STOP
from adapters.runtime.heap import map_large_blocks
from detectors.machine import machine_error_in

__all__ = ["CallOutcome", "Exchange", "Instance", "InstantiationError", "Window"]

_CALLBACK = "void(ExtismCurrentPlugin*, const ExtismVal*, ExtismSize, ExtismVal*, ExtismSize, void*)"
_I64 = 1  # ExtismValType_I64
_TRAPPED = 134  # what Extism returns for a wasm trap


class InstantiationError(Exception):
    """Extism refused the modules, or one trapped while it was instantiated. Holds Extism's own text."""


class Window:
    """Extism's own memory, through which bytes cross; valid inside one host call only."""

    __slots__ = ("_current",)

    def __init__(self, current: Any) -> None:
        self._current = current

    def length(self, offset: int) -> int:
        """Bytes of the block that begins at ``offset``; 0 if none does."""
        return int(lib.extism_current_plugin_memory_length(self._current, offset))

    def read(self, offset: int, length: int) -> bytes:
        """Copy ``length`` bytes at ``offset``."""
        return bytes(ffi.buffer(lib.extism_current_plugin_memory(self._current) + offset, length))

    def write(self, offset: int, data: bytes) -> None:
        """Copy ``data`` to ``offset``; the block there must be large enough."""
        ffi.memmove(lib.extism_current_plugin_memory(self._current) + offset, data, len(data))

    def alloc(self, size: int) -> int:
        """Allocate a block of ``size`` bytes. Returns its offset, 0 if there is no room."""
        return int(lib.extism_current_plugin_memory_alloc(self._current, size))


#: Takes a crossing at an offset, returns where the answer is (0: there is none).
Exchange = Callable[[Window, int], int]


@attrs.frozen
class CallOutcome:
    """How a call ended, before anyone judges it.

    Attributes:
        code: The export's return code; 0 is success.
        error: What Extism says: the backtrace of a trap, or why it could not make the call; ``None`` for neither.
        output: The output bytes, present whether the call succeeded or not.
        raised: What a host function raised during the call.
        reason: What the guest put into error memory; ``None`` if nothing.
    """

    code: int
    error: str | None
    output: bytes
    raised: BaseException | None = None
    reason: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the export returned 0 and reported no error."""
        return self.code == 0 and self.error is None and self.raised is None and self.reason is None

    @property
    def trapped(self) -> bool:
        """Whether the guest trapped or exited, so that its instance must not be used again."""
        if self.code == _TRAPPED:
            return True
        # Plugins in Rust fail with code -1, as Extism itself does; but then it says why.
        words = ("wasm backtrace:", "wasm trap:")
        return self.error is not None and (self.code < 0 or any(word in self.error for word in words))

    @property
    def broke(self) -> bool:
        """Whether the call ended in the middle, by a trap or by what a host function raised."""
        return self.trapped or self.raised is not None


class Instance:
    """One compiled and instantiated plugin with its companion.

    Args:
        manifest: What Extism is to link; see ``companion.linking``.
        exchange: The host's end of the border. What it raises ends the guest's call and surfaces there.
        settled_after: Seconds until a call that crosses no border has surely begun; none is cancelled before.

    Raises:
        InstantiationError: Extism refused it.
        MachineError: The machine has no memory or disk left for it.
    """

    def __init__(self, manifest: bytes, exchange: Exchange, *, settled_after: float = 0.1) -> None:
        map_large_blocks()
        self._exchange = exchange
        self._settled_after = settled_after
        self._settles: float | None = None  # when the running call has surely begun; None once that is known
        self._lock = threading.Lock()  # keeps cancel apart from free, and from the beginning of a call
        self._raised: BaseException | None = None
        self._callback = ffi.callback(_CALLBACK, self._crossed)
        function = lib.extism_function_new(b"exchange", [_I64], 1, [_I64], 1, self._callback, ffi.NULL, ffi.NULL)
        lib.extism_function_set_namespace(function, b"compat:host")
        message = ffi.new("char**")
        plugin = lib.extism_plugin_new(manifest, len(manifest), [function], 1, True, message)
        lib.extism_function_free(function)
        if plugin == ffi.NULL:
            text = ffi.string(message[0]).decode(errors="replace") if message[0] != ffi.NULL else "no reason given"
            if message[0] != ffi.NULL:
                lib.extism_plugin_new_error_free(message[0])
            raise machine_error_in(text) or InstantiationError(text)
        self._plugin: Any = plugin
        self._cancel_handle = lib.extism_plugin_cancel_handle(plugin)

    def _crossed(self, current: Any, inputs: Any, _: int, outputs: Any, __: int, ___: Any) -> None:
        self._settles = None
        at = inputs[0].v.i64
        window = Window(current)
        try:
            outputs[0].v.i64 = self._exchange(window, at)
        except BaseException as error:  # noqa: BLE001 - it is told where the call ends
            # Keep the first: what follows is usually its consequence. The guest must not go on.
            self._raised = self._raised or error
            window.write(at, STOP)
            outputs[0].v.i64 = at

    def call(self, export: str, data: bytes) -> CallOutcome:
        """Run an export to its end."""
        self._raised = None
        with self._lock:
            self._settles = time.monotonic() + self._settled_after
        code = lib.extism_plugin_call(self._plugin, export.encode(), data, len(data))
        self._settles = None
        message = lib.extism_plugin_error(self._plugin)
        error = ffi.string(message).decode(errors="replace") if message != ffi.NULL else None
        length = lib.extism_plugin_output_length(self._plugin)
        output = bytes(ffi.buffer(lib.extism_plugin_output_data(self._plugin), length)) if length else b""
        return CallOutcome(code, error, output, self._raised)

    def exports(self, name: str) -> bool:
        """Whether there is a function of that name to be called."""
        return bool(lib.extism_plugin_function_exists(self._plugin, name.encode()))

    def cancel(self) -> None:
        """Interrupt guest code, from any thread.

        A cancel before a call has begun is lost, and none interrupts a host function: send it again until the call has
        ended.

        One that comes *while* a call begins would make the call deaf to all later ones: Extism takes the call off the
        list of those that can be cancelled, and only then sets the deadline that the cancel has to break. So none is
        sent before the guest has crossed the border, or some time has passed. To cross it at the beginning of each call
        would say so at once, and cost a plugin that needs no host function a fifth of its speed.
        """
        with self._lock:
            settles = self._settles
            if self._plugin is not None and (settles is None or time.monotonic() >= settles):
                lib.extism_plugin_cancel(self._cancel_handle)

    def free(self) -> None:
        """Give the instance back. No call may be running."""
        with self._lock:
            if self._plugin is not None:
                lib.extism_plugin_free(self._plugin)
                self._plugin = None
