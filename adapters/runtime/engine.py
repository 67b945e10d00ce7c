"""The only room that knows Extism's C interface.

An ``Instance`` is one module, compiled and instantiated for one guest alone: cancelling one instance ends every running
sibling of the same compiled plugin, so there are no siblings. Compiling again is cheap, the engine keeps compiled code
on disk. An instance belongs to the thread that made it; only ``cancel`` may be called from another.

Host functions are bound through the C interface because the Python SDK keeps every host function in a process-wide
list, prints what a host function raises and lets the guest go on, and drops the output of a failed call.
"""

from __future__ import annotations

import base64
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import msgspec
from extism_sys import ffi, lib

from adapters.runtime.heap import map_large_blocks

__all__ = ["CallOutcome", "HostFunction", "Instance", "InstantiationError", "KernelAccess", "RawMemory"]

_CALLBACK = "void(ExtismCurrentPlugin*, const ExtismVal*, ExtismSize, ExtismVal*, ExtismSize, void*)"
_I64 = 1  # ExtismValType_I64
_TRAPPED = 134  # what Extism returns for a wasm trap
_VALUE_TYPES = {"i32": 0, "i64": 1, "f32": 2, "f64": 3}


class InstantiationError(Exception):
    """Extism refused the module, or the module trapped while it was instantiated. Holds Extism's own text."""


class KernelAccess:
    """The kernel memory of the running call, valid inside one host call only.

    Offsets are what guests pass around: addresses within the kernel's own linear memory.
    """

    __slots__ = ("_current",)

    def __init__(self, current: Any) -> None:
        self._current = current

    def length(self, offset: int) -> int:
        """Bytes in use of the block at ``offset``; 0 if no block in use begins there."""
        return int(lib.extism_current_plugin_memory_length(self._current, offset))

    def read(self, offset: int, length: int) -> bytes:
        """Copy ``length`` bytes at ``offset``."""
        return bytes(ffi.buffer(lib.extism_current_plugin_memory(self._current) + offset, length))

    def write(self, offset: int, data: bytes) -> None:
        """Copy ``data`` to ``offset``; the block there must be large enough."""
        ffi.memmove(lib.extism_current_plugin_memory(self._current) + offset, data, len(data))

    def alloc(self, size: int) -> int:
        """Allocate a block of ``size`` bytes. Returns its offset, 0 if the kernel has no room."""
        return int(lib.extism_current_plugin_memory_alloc(self._current, size))

    def memory(self) -> RawMemory:
        """The kernel's memory as such, for use between two calls."""
        return RawMemory(lib.extism_current_plugin_memory(self._current))

    def free(self, offset: int) -> None:
        """Free the block at ``offset``; nothing happens if there is none."""
        lib.extism_current_plugin_memory_free(self._current, offset)


@attrs.frozen
class RawMemory:
    """The kernel's memory by its address in this process.

    It may be used on the guest's thread while the instance lives and as long as the memory does not move, which the
    probe of ``kernel.py`` establishes.
    """

    _address: Any

    def read_u64(self, offset: int) -> int:
        """The little-endian number at ``offset``."""
        return int.from_bytes(ffi.buffer(self._address + offset, 8), "little")

    def write_u64(self, offset: int, value: int) -> None:
        """Write a little-endian number to ``offset``."""
        ffi.memmove(self._address + offset, value.to_bytes(8, "little"), 8)

    def write_header(self, offset: int, status: int, size: int) -> None:
        """Write the header of a block of ``size`` bytes, all in use, to ``offset``."""
        ffi.memmove(self._address + offset, struct.pack("<B3xII", status, size, size), 12)


@attrs.frozen
class HostFunction:
    """A function that a module imports.

    Attributes:
        namespace: The import's module name.
        name: The import's name.
        params: Value types, for example ``("i64",)``.
        results: Value types, at most one.
        call: Takes the kernel memory and the argument, returns the result. What it raises ends the guest's call and
            surfaces there.
    """

    namespace: str
    name: str
    params: tuple[str, ...]
    results: tuple[str, ...]
    call: Callable[[KernelAccess, int], int]


@attrs.frozen
class CallOutcome:
    """How a call ended, before anyone judges it.

    Attributes:
        code: The export's return code; 0 is success.
        error: What the guest put into error memory, or the runtime's backtrace; ``None`` if neither.
        output: The output bytes, present whether the call succeeded or not.
        raised: What a host function raised during the call.
    """

    code: int
    error: str | None
    output: bytes
    raised: BaseException | None = None

    @property
    def ok(self) -> bool:
        """Whether the export returned 0 and reported no error."""
        return self.code == 0 and self.error is None and self.raised is None

    @property
    def trapped(self) -> bool:
        """Whether the guest trapped or exited, so that its instance must not be used again."""
        if self.code == _TRAPPED or self.code < 0:
            return True
        return self.error is not None and ("wasm backtrace:" in self.error or "wasm trap:" in self.error)


class Instance:
    """One compiled and instantiated module.

    Args:
        wasm: The module's bytes.
        functions: One per import from a served namespace, no more and no fewer needed.
        settled_after: Seconds until a call that calls no host function has surely begun; none is cancelled before.

    Raises:
        InstantiationError: Extism refused the module.
    """

    def __init__(self, wasm: bytes, functions: Sequence[HostFunction], *, settled_after: float = 0.1) -> None:
        map_large_blocks()
        self._settled_after = settled_after
        self._settles: float | None = None  # when the running call has surely begun; None once that is known
        self._lock = threading.Lock()  # keeps cancel apart from free, and from the beginning of a call
        self._raised: BaseException | None = None
        self._callbacks = [self._callback(function.call) for function in functions]
        pointers = []
        for function, callback in zip(functions, self._callbacks, strict=True):
            pointer = lib.extism_function_new(
                function.name.encode(),
                [_VALUE_TYPES[value] for value in function.params],
                len(function.params),
                [_VALUE_TYPES[value] for value in function.results],
                len(function.results),
                callback,
                ffi.NULL,
                ffi.NULL,
            )
            lib.extism_function_set_namespace(pointer, function.namespace.encode())
            pointers.append(pointer)
        # No `timeout_ms`: it would cap a start_stream too. `allowed_hosts` stays empty: Extism's own HTTP function
        # would pass the network policy by.
        manifest = msgspec.json.encode({"wasm": [{"data": base64.b64encode(wasm).decode()}], "allowed_hosts": []})
        message = ffi.new("char**")
        plugin = lib.extism_plugin_new(manifest, len(manifest), pointers, len(pointers), True, message)
        for pointer in pointers:
            lib.extism_function_free(pointer)
        if plugin == ffi.NULL:
            text = ffi.string(message[0]).decode(errors="replace") if message[0] != ffi.NULL else "no reason given"
            if message[0] != ffi.NULL:
                lib.extism_plugin_new_error_free(message[0])
            raise InstantiationError(text)
        self._plugin: Any = plugin
        self._cancel_handle = lib.extism_plugin_cancel_handle(plugin)

    def _callback(self, call: Callable[[KernelAccess, int], int]) -> Any:
        def run(current: Any, inputs: Any, n_inputs: int, outputs: Any, n_outputs: int, _: Any) -> None:
            self._settles = None
            # An offset is unsigned.
            result = call(KernelAccess(current), inputs[0].v.i64 & 0xFFFF_FFFF_FFFF_FFFF if n_inputs else 0)
            if n_outputs:
                outputs[0].v.i64 = result

        def failed(_: object, error: BaseException, __: object) -> None:
            # Keep the first: what follows is usually its consequence. The guest must not go on with offset 0.
            self._raised = self._raised or error
            self.cancel()

        return ffi.callback(_CALLBACK, run, onerror=failed)

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

    def cancel(self) -> None:
        """Interrupt guest code, from any thread.

        A cancel before a call has begun is lost, and none interrupts a host function or a WASI sleep: send it again
        until the call has ended.

        One that comes *while* a call begins would make the call deaf to all later ones: Extism takes the call off the
        list of those that can be cancelled, and only then sets the deadline that the cancel has to break. So none is
        sent before the guest has called a host function, or some time has passed.
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
