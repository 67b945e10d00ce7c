"""A generic plugin in a plain host of the Extism SDK, for comparison: functions that answer, and nothing else."""

from __future__ import annotations

import itertools
import json

import extism

from adapters.candles import read_candle
from benchmarks.feed import ACKNOWLEDGEMENT, Feed
from benchmarks.guests import KEY
from benchmarks.ledger import Ledger
from benchmarks.meter import Meter
from compat import StreamKey

__all__ = ["stream_through_plain_sdk"]

_SUCCESS = json.dumps({"success": True})


def stream_through_plain_sdk(wasm: bytes, feed: Feed, meter: Meter, ledger: Ledger) -> None:
    """Let the plugin stream until the feed is at its end.

    Raises:
        extism.Error: The plugin failed before.
    """
    messages = itertools.chain([ACKNOWLEDGEMENT], feed)

    def function(name: str, answer: object) -> object:
        wrapped = extism.host_fn(name=name, namespace="env", signature=([extism.ValType.I64], [extism.ValType.I64]))
        return wrapped(answer)

    def returning(text: str) -> object:
        def answer(plugin: object, params: list[object], results: list[object]) -> None:  # noqa: ARG001
            plugin.return_string(results[0], text)  # type: ignore[attr-defined]

        return answer

    def ws_receive(plugin: object, params: list[object], results: list[object]) -> None:
        plugin.input_string(params[0])  # type: ignore[attr-defined]
        message = next(messages, None)
        reply = {"success": False, "error": "the end"} if message is None else {"success": True, "message": message}
        plugin.return_string(results[0], json.dumps(reply))  # type: ignore[attr-defined]

    def publish(plugin: object, params: list[object], results: list[object]) -> None:
        request = json.loads(plugin.input_string(params[0]))  # type: ignore[attr-defined]
        candle = read_candle(json.dumps(request["data"]).encode())
        ledger.note_item(meter.done, feed.number_of(candle))
        meter.tick()
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
        plugin.call("start_stream", json.dumps(StreamKey.parse(KEY).to_wire()))
    except extism.Error:
        if meter.done < feed.count:
            raise
