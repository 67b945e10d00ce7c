"""The bare loops: the least that a host can do over Extism's C interface, for a plugin of either kind.

No check, no safety, no event loop: functions that answer, on the thread of the guest. Requests are freed when they are
read, and replies when eight others have followed, padded to powers of two, so that Extism's allocator stays quick; this
is not safe for every plugin, and is for those of the benchmarks.
"""

from __future__ import annotations

import base64
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from extism_sys import ffi, lib

from benchmarks.cases import Case, Outcome, start_stream_input
from benchmarks.feed import ACKNOWLEDGEMENT, Feed
from benchmarks.payloads import number_and_time, numbers_of_requests, problems_of
from benchmarks.stopwatch import Stopwatch, percentiles

__all__ = ["CALLBACK", "BarePlugin", "bare", "data_of"]

CALLBACK = "void(ExtismCurrentPlugin*, const ExtismVal*, ExtismSize, ExtismVal*, ExtismSize, void*)"
_FUNCTIONS = ("ws_connect", "ws_send", "ws_receive", "ws_close", "publish_stream_data", "http_request", "log_record")
_SUCCESS = b'{"success":true}'
_CONNECTED = b'{"success":true,"connectionId":"c1"}'
_THE_END = b'{"success":false,"error":"the end"}'
_KEPT = 8  # replies that are not freed yet

Answer = Callable[[bytes], bytes]


class BarePlugin:
    """A plugin with the host functions of generic plugins, straight over Extism.

    Args:
        wasm: The module.
        answers: What host functions answer, by name; the others say that they succeeded.
        more: Other host functions, by name, as callbacks of the C interface.
    """

    def __init__(
        self, wasm: bytes, answers: dict[str, Answer] | None = None, more: dict[str, Any] | None = None
    ) -> None:
        self._kept: list[Any] = []  # what Extism only has the addresses of
        functions = [self._function(name, self._answering((answers or {}).get(name))) for name in _FUNCTIONS]
        functions += [self._function(name, callback) for name, callback in (more or {}).items()]
        manifest = json.dumps({"wasm": [{"data": base64.b64encode(wasm).decode()}]}).encode()
        error = ffi.new("char**")
        array = ffi.new("ExtismFunction*[]", functions)
        self._plugin = lib.extism_plugin_new(manifest, len(manifest), array, len(functions), True, error)
        if self._plugin == ffi.NULL:
            raise RuntimeError(ffi.string(error[0]).decode(errors="replace"))

    @staticmethod
    def _answering(answer: Answer | None) -> Any:
        read, length = lib.extism_current_plugin_memory, lib.extism_current_plugin_memory_length
        alloc, free = lib.extism_current_plugin_memory_alloc, lib.extism_current_plugin_memory_free
        buffer, copy, replies = ffi.buffer, ffi.memmove, deque[int]()

        def respond(current: Any, inputs: Any, _: int, outputs: Any, __: int, ___: Any) -> None:
            at = inputs[0].v.i64
            request = buffer(read(current) + at, length(current, at))[:]
            reply = answer(request) if answer else _SUCCESS
            reply = reply.ljust(1 << max(len(reply) - 1, 31).bit_length())
            block = alloc(current, len(reply))
            copy(read(current) + block, reply, len(reply))
            outputs[0].v.i64 = block
            free(current, at)
            replies.append(block)
            if len(replies) > _KEPT:
                free(current, replies.popleft())

        return ffi.callback(CALLBACK, respond)

    def _function(self, name: str, callback: Any) -> Any:
        type_ = ffi.new("ExtismValType[]", [1])
        self._kept += [callback, type_]
        function = lib.extism_function_new(name.encode(), type_, 1, type_, 1, callback, ffi.NULL, ffi.NULL)
        lib.extism_function_set_namespace(function, b"env")
        return function

    def call(self, export: str, data: bytes) -> bytes:
        """Run an export to its end. Returns its output, whatever its code."""
        lib.extism_plugin_call(self._plugin, export.encode(), data, len(data))
        size = lib.extism_plugin_output_length(self._plugin)
        return bytes(ffi.buffer(lib.extism_plugin_output_data(self._plugin), size)) if size else b""

    def free(self) -> None:
        """Give it back."""
        lib.extism_plugin_free(self._plugin)


def _paced(messages: Sequence[bytes], pause: float) -> Iterator[bytes]:
    for message in messages:
        if pause:
            time.sleep(pause)
        yield message


def bare(case: Case) -> Outcome:
    """Run a plugin in a bare loop. With a rate, one message after the other; then ``p50`` is how long one takes."""
    loop = _legacy if case.kind == "legacy" else _generic
    return loop(case, list(Feed("constant", case.count)), 1 / case.rate if case.rate else 0.0)


def _generic(case: Case, messages: list[str], pause: float) -> Outcome:
    watch, published, taken = Stopwatch(case.count), list[bytes](), list[float]()
    prepared = [b'{"success":true,"message":' + msgspec.json.encode(text) + b"}" for text in messages]
    replies = _paced([b'{"success":true,"message":' + msgspec.json.encode(ACKNOWLEDGEMENT) + b"}", *prepared], pause)
    given = 0.0

    def receive(_: bytes) -> bytes:
        nonlocal given
        reply = next(replies, _THE_END)
        given = time.perf_counter()
        return reply

    def publish(request: bytes) -> bytes:
        published.append(request)
        watch.add(1)
        if pause:
            taken.append(time.perf_counter() - given)
        return _SUCCESS

    answers: dict[str, Answer] = {
        "ws_connect": lambda _: _CONNECTED,
        "ws_receive": receive if pause else lambda _: next(replies, _THE_END),
        "publish_stream_data": publish,
    }
    plugin = BarePlugin(case.path.read_bytes(), answers)
    plugin.call("start_stream", start_stream_input("generic"))
    plugin.free()
    problems = problems_of(numbers_of_requests(published), case.count)
    return Outcome({**watch.values(), **percentiles(taken)}, problems)


def _legacy(case: Case, messages: list[str], pause: float) -> Outcome:
    watch, answers, taken = Stopwatch(case.count), list[bytes](), list[float]()
    plugin = BarePlugin(case.path.read_bytes())
    plugin.call("prepare_stream", start_stream_input("legacy"))
    described = {"streamId": "s1", "connectionId": "c1", "messageType": "data"}
    for message in _paced([msgspec.json.encode({**described, "message": text}) for text in messages], pause):
        given = time.perf_counter()
        answers.append(plugin.call("handle_stream_message", message))
        watch.add(1)
        if pause:
            taken.append(time.perf_counter() - given)
    plugin.free()
    numbers = [number_and_time(data)[0] for answer in answers if (data := data_of(answer))]
    return Outcome({**watch.values(), **percentiles(taken)}, problems_of(numbers, case.count))


class _Reaction(msgspec.Struct):
    data: msgspec.Raw = msgspec.Raw(b"")


def data_of(answer: bytes) -> bytes:
    """What a legacy plugin made of a message; empty if nothing."""
    return bytes(msgspec.json.decode(answer, type=_Reaction).data)
