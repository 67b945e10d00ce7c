"""Plugins with a bad habit, in WebAssembly text.

``generic`` and ``legacy`` make a plugin that works, with WebAssembly text of yours at one or more of its places::

    generic(start_stream=LOOP)                       # before start_stream connects
    generic(connected=again(call("time_now")))       # after that, before it asks for messages
    generic(message=from_message(3, TRAP))           # when a message has come
    legacy(start=exits(3))                           # in the module's start section
    legacy(stream_connection_event=LOOP)             # in any other export, which then answers success

In the text, ``<<some text>>`` stands for two operands, the address and the length of that text: see ``put_out``.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping

import wasmtime

from compat import StreamKey

__all__ = [
    "CHURN",
    "DEEP",
    "GROW",
    "GROW_TABLE",
    "KEY",
    "LOOP",
    "PUBLISH",
    "REFUSED",
    "SLEEP",
    "TRAP",
    "URL",
    "VARIABLES",
    "again",
    "call",
    "exits",
    "from_message",
    "generic",
    "legacy",
    "prints",
    "put_out",
]

#: The stream that is asked for, and where its exchange is.
KEY = StreamKey("ohlcv", "hostile", "BTC-USDT", {"timeframe": "1m"})
URL = "wss://hostile.example/ws"

_ROOM = 0x8000  # where texts begin, in the guest's memory; below is room for what bodies need
_PLACEHOLDER = re.compile(r"<<(.*?)>>", re.DOTALL)

#: Everything that a plugin may import, and what the bodies of these tests are made of.
_LIBRARY = """
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "free" (func $free (param i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "length_unsafe" (func $length_unsafe (param i64) (result i64)))
  (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
  (import "extism:host/env" "load_u64" (func $load_u64 (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "store_u64" (func $store_u64 (param i64 i64)))
  (import "extism:host/env" "input_load_u8" (func $input_load_u8 (param i64) (result i32)))
  (import "extism:host/env" "input_load_u64" (func $input_load_u64 (param i64) (result i64)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (import "extism:host/env" "config_get" (func $config_get (param i64) (result i64)))
  (import "extism:host/env" "var_get" (func $var_get (param i64) (result i64)))
  (import "extism:host/env" "var_set" (func $var_set (param i64 i64)))
  (import "extism:host/env" "log_info" (func $log_info (param i64)))
  (import "extism:host/env" "http_request" (func $kernel_http (param i64 i64) (result i64)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "env" "ws_connect" (func $ws_connect (param i64) (result i64)))
  (import "env" "ws_send" (func $ws_send (param i64) (result i64)))
  (import "env" "ws_receive" (func $ws_receive (param i64) (result i64)))
  (import "env" "ws_close" (func $ws_close (param i64) (result i64)))
  (import "env" "publish_stream_data" (func $publish_stream_data (param i64) (result i64)))
  (import "env" "http_request" (func $http_request (param i64) (result i64)))
  (import "env" "log_record" (func $log_record (param i64) (result i64)))
  (import "env" "time_now" (func $time_now (param i64) (result i64)))

  (memory (export "memory") 8)
  (table $table 1 funcref)
  (global $messages (mut i32) (i32.const 0))
  (data (i32.const 0x110) "\\01")  ;; 0x100: a subscription to the monotonic clock, nanoseconds at 0x118
  (data (i32.const 0x118) "\\ff\\ff\\ff\\ff\\ff\\ff\\ff\\0f")

  (func $block (param $text i32) (param $size i32) (result i64)
    (local $block i64) (local $i i32)
    (local.set $block (call $alloc (i64.extend_i32_u (local.get $size))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $size)))
        (call $store_u8
          (i64.add (local.get $block) (i64.extend_i32_u (local.get $i)))
          (i32.load8_u (i32.add (local.get $text) (local.get $i))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (local.get $block))

  (func $put_out (param $text i32) (param $size i32)
    (call $output_set (call $block (local.get $text) (local.get $size)) (i64.extend_i32_u (local.get $size))))

  ;; Whether a reply begins with {"success":true, and for ws_receive with {"success":true,"message": as well.
  (func $succeeded (param $reply i64) (result i32)
    (i32.eq (call $load_u8 (i64.add (local.get $reply) (i64.const 11))) (i32.const 0x74)))
  (func $is_message (param $reply i64) (result i32)
    (if (i32.eqz (call $succeeded (local.get $reply))) (then (return (i32.const 0))))
    (i32.eq (call $load_u8 (i64.add (local.get $reply) (i64.const 17))) (i32.const 0x6d)))

  (func $print (param $text i32) (param $size i32)
    (i32.store (i32.const 0x300) (local.get $text))
    (i32.store (i32.const 0x304) (local.get $size))
    (drop (call $fd_write (i32.const 1) (i32.const 0x300) (i32.const 1) (i32.const 0x308))))

  (func $deep (param $at i32) (result i32)
    (i32.add (local.get $at) (call $deep (i32.add (local.get $at) (i32.const 1)))))
"""


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def put_out(output: object) -> str:
    """Output a string as it is, everything else as JSON."""
    return f"(call $put_out <<{_text(output)}>>)"


def call(function: str, request: object = "") -> str:
    """Call a host function with this request, and drop the reply."""
    return f"(drop (call ${function} (call $block <<{_text(request)}>>)))"


def again(body: str) -> str:
    """Do it without end."""
    return f"(loop $again {body} (br $again))"


def exits(code: int) -> str:
    """End the plugin by WASI's ``proc_exit`` with this code."""
    return f"(call $exit (i32.const {code}))"


def prints(text: str) -> str:
    """Write to standard output."""
    return f"(call $print <<{text}>>)"


def from_message(number: int, body: str) -> str:
    """Do it at this message and all later ones, counted from 1 within one guest."""
    count = "(global.set $messages (i32.add (global.get $messages) (i32.const 1)))"
    return f"{count} (if (i32.ge_u (global.get $messages) (i32.const {number})) (then {body}))"


LOOP = "(loop $ever (br $ever))"
SLEEP = again("(drop (call $poll (i32.const 0x100) (i32.const 0x140) (i32.const 1) (i32.const 0x200)))")
TRAP = "unreachable"
#: Grow the memory, or the table, as far as that goes, and fail as most programs do then.
GROW = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable"
GROW_TABLE = """(loop $more
  (br_if $more (i32.ne (table.grow $table (ref.null func) (i32.const 4_096)) (i32.const -1)))) unreachable"""
DEEP = "(drop (call $deep (i32.const 0)))"
PUBLISH = call("publish_stream_data", {"key": KEY.to_wire(), "data": 1})
#: Connect and close without end: the reply to the one, which has the connection's id, is the request of the other.
CHURN = again(f"(drop (call $ws_close (call $ws_connect (call $block <<{_text({'url': URL})}>>))))")
REFUSED = call("publish_stream_data", {"key": {**KEY.to_wire(), "source": "another"}, "data": 1})
#: Keep one variable of 4 KiB after the other, each with a name of its own.
VARIABLES = again("""
  (i32.store (i32.const 0x400) (i32.add (i32.load (i32.const 0x400)) (i32.const 1)))
  (call $var_set (call $block (i32.const 0x400) (i32.const 4)) (call $alloc (i64.const 4096)))
""")

_SUCCESS = {"success": True}
_TARGET = "wss://hostile.example/*"


def generic(
    *, start: str = "", start_stream: str = "", connected: str = "", message: str = "", end: str = "", **exports: str
) -> bytes:
    """A plugin that connects, and publishes an item for each message.

    Args:
        start: What its start section does.
        start_stream: What ``start_stream`` does first.
        connected: What it does when it has connected.
        message: What it does with a message, before it publishes.
        end: What it does instead of asking for messages; it returns success after that.
        exports: What other exports do first.
    """
    receive = f"""
      (loop $next
        (if (call $is_message (call $ws_receive (call $block <<{_text({"connectionId": "ws-1"})}>>)))
          (then {message} {PUBLISH} (br $next))))"""
    body = f"""{start_stream}
      (if (i32.eqz (call $succeeded (call $ws_connect (call $block <<{_text({"url": URL})}>>))))
        (then {put_out({"success": False, "error": "no connection"})} (return (i32.const 1))))
      {connected} {end or receive}"""
    info = {"name": "Hostile", "version": "1", "streamTypes": ["ohlcv"], "networkTargets": [_TARGET]}
    answers = {"plugin_info": info, "start_stream": _SUCCESS, "stop_stream": _SUCCESS, "plugin_configure": _SUCCESS}
    return _module(start, answers, {"start_stream": body, **exports})


def legacy(*, start: str = "", prepare: str = "", message: str = "", **exports: str) -> bytes:
    """A plugin of the callback dialect that makes an item of each message.

    Args:
        start: What its start section does.
        prepare: What ``prepare_stream`` does first.
        message: What ``handle_stream_message`` does first.
        exports: What other exports do first.
    """
    resources = {"allowedNetworkTargets": [{"pattern": _TARGET}]}
    answers = {
        "meta": {"name": "Hostile", "version": "1", "resources": resources},
        "prepare_stream": {"success": True, "websocketUrl": URL},
        "handle_stream_message": {"success": True, "action": "data", "dataType": "trade", "data": 1},
        "set_credentials": _SUCCESS,
    }
    return _module(start, answers, {"prepare_stream": prepare, "handle_stream_message": message, **exports})


def _module(start: str, answers: Mapping[str, object], bodies: Mapping[str, str]) -> bytes:
    """A module whose exports do what their bodies say, and then answer."""
    functions = []
    for name in dict.fromkeys([*answers, *bodies]):
        body = bodies.get(name, "")
        if name == "_initialize":
            functions.append(f'(func (export "{name}") {body})')
        else:
            answer = put_out(answers.get(name, _SUCCESS))
            functions.append(f'(func (export "{name}") (result i32) {body} {answer} (i32.const 0))')
    if start:
        functions.append(f"(func $start {start}) (start $start)")
    return _compiled(_placed(f"{_LIBRARY} {' '.join(functions)}"))


def _placed(text: str) -> str:
    """The module's text with each ``<<text>>`` in its memory, and the operands in its place."""
    at: dict[str, int] = {}
    data = bytearray()

    def operands(match: re.Match[str]) -> str:
        raw = match[1].encode("latin-1")  # so that a body may have any bytes
        if match[1] not in at:
            at[match[1]] = _ROOM + len(data)
            data.extend(raw)
        return f"(i32.const {at[match[1]]}) (i32.const {len(raw)})"

    body = _PLACEHOLDER.sub(operands, text)
    escaped = "".join(f"\\{byte:02x}" for byte in data)
    return f'(module {body} (data (i32.const {_ROOM}) "{escaped}"))'


@functools.lru_cache
def _compiled(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))
