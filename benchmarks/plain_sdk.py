"""A plugin in a plain host of the Extism SDK, for comparison: functions that answer, and nothing else."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable

import extism

from benchmarks.bare import data_of
from benchmarks.cases import Case, Outcome, start_stream_input
from benchmarks.feed import ACKNOWLEDGEMENT, Feed
from benchmarks.payloads import number_and_time, numbers_of_requests, problems_of
from benchmarks.stopwatch import Stopwatch

__all__ = ["plain_sdk", "stream_through_plain_sdk"]

_SUCCESS = json.dumps({"success": True})


def stream_through_plain_sdk(wasm: bytes, feed: Iterable[str], published: Callable[[str], object]) -> None:
    """Let a generic plugin stream until the feed is at its end.

    Args:
        wasm: Its module.
        feed: The messages.
        published: Takes each request of ``publish_stream_data``.

    Raises:
        extism.Error: The plugin failed before.
    """
    messages, ended = itertools.chain([ACKNOWLEDGEMENT], feed), False

    def function(name: str, answer: object) -> object:
        wrapped = extism.host_fn(name=name, namespace="env", signature=([extism.ValType.I64], [extism.ValType.I64]))
        return wrapped(answer)

    def returning(text: str) -> object:
        def answer(plugin: object, params: list[object], results: list[object]) -> None:  # noqa: ARG001
            plugin.return_string(results[0], text)  # type: ignore[attr-defined]

        return answer

    def ws_receive(plugin: object, params: list[object], results: list[object]) -> None:
        nonlocal ended
        plugin.input_string(params[0])  # type: ignore[attr-defined]
        message = next(messages, None)
        ended = message is None
        reply = {"success": False, "error": "the end"} if ended else {"success": True, "message": message}
        plugin.return_string(results[0], json.dumps(reply))  # type: ignore[attr-defined]

    def publish(plugin: object, params: list[object], results: list[object]) -> None:
        published(plugin.input_string(params[0]))  # type: ignore[attr-defined]
        plugin.return_string(results[0], _SUCCESS)  # type: ignore[attr-defined]

    functions = [
        function("ws_connect", returning('{"success":true,"connectionId":"1"}')),
        function("ws_send", returning(_SUCCESS)),
        function("ws_close", returning(_SUCCESS)),
        function("http_request", returning(_SUCCESS)),
        function("log_record", returning("")),
        function("ws_receive", ws_receive),
        function("publish_stream_data", publish),
    ]
    plugin = extism.Plugin(wasm, wasi=True, functions=functions)
    try:
        plugin.call("start_stream", start_stream_input("generic"))
    except extism.Error:
        if not ended:
            raise


def plain_sdk(case: Case) -> Outcome:
    """Run a plugin of either kind in a plain host."""
    watch, feed, taken = Stopwatch(case.count), list(Feed("constant", case.count)), list[bytes]()

    def take(payload: bytes) -> None:
        taken.append(payload)
        watch.add(1)

    wasm = case.path.read_bytes()
    if case.kind == "generic":
        stream_through_plain_sdk(wasm, feed, lambda request: take(request.encode()))
        numbers = numbers_of_requests(taken)
    else:
        plugin = extism.Plugin(wasm, wasi=True, functions=[])
        plugin.call("prepare_stream", start_stream_input("legacy"))
        described = {"streamId": "s1", "connectionId": "c1", "messageType": "data"}
        for text in feed:
            take(bytes(plugin.call("handle_stream_message", json.dumps({**described, "message": text}))))
        numbers = [number_and_time(data_of(answer))[0] for answer in taken]
    return Outcome(watch.values(), problems_of(numbers, case.count))
