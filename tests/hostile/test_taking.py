"""Plugins that take, say or pass on more than they may, beside neighbours that go on."""

from __future__ import annotations

from compat import CompatError, EventKind, GuestFaultError, PluginTimeoutError, PluginTrapError
from tests.hostile.guests import (
    CHURN,
    GROW,
    GROW_TABLE,
    PUBLISH,
    REFUSED,
    URL,
    VARIABLES,
    again,
    call,
    generic,
    legacy,
    prints,
)
from tests.hostile.rows import Row, hasty, impatient, played
from tests.hostile.scene import Pace, Place, play

MIB = 2**20

_OUTPUT = f"(call $output_set (call $alloc (i64.const {17 * MIB})) (i64.const {17 * MIB}))"
_REQUEST = f"(drop (call $log_record (call $alloc (i64.const {17 * MIB}))))"
_ERROR = f"(call $error_set (call $alloc (i64.const {60 * MIB}))) (return (i32.const 1))"
_BLOCKS = again(f"(drop (call $alloc (i64.const {MIB})))")
_LOG = again(call("log_record", {"eventType": "info", "message": "another line"}))
_PRINT = again(prints("another line\n" * 2_000) + "(drop (call $time_now (i64.const 0)))")
_CONNECT = again(call("ws_connect", {"url": URL}))
_MEMORY = r"had .* of memory, of .* that a guest may have"
_TABLE = r"had 999,425 entries in a table, of 1,000,000 that a guest may have"
_LEFT_OUT = r"\d+ lines that it logged were left out: it logs too much"

MEMORY = (
    Row("generic: grows its memory", generic(start_stream=GROW), "start_stream", PluginTrapError, _MEMORY,
        "guest_memory=", bounds=hasty(guest_memory=8 * MIB)),
    Row("legacy: grows its memory", legacy(message=GROW), "handle_stream_message", PluginTrapError, _MEMORY,
        "guest_memory=", bounds=hasty(guest_memory=8 * MIB)),
    Row("generic: grows its memory as it is initialised", generic(_initialize=GROW), ends=PluginTrapError,
        says=_MEMORY, remedy="guest_memory=", bounds=hasty(guest_memory=8 * MIB)),
    Row("generic: grows a table", generic(start_stream=GROW_TABLE), "start_stream", PluginTrapError,
        f"start_stream trapped.*{_TABLE}", "guest_table="),
    Row("legacy: grows a table", legacy(message=GROW_TABLE), "handle_stream_message", PluginTrapError,
        f"handle_stream_message trapped.*{_TABLE}", "guest_table="),
    Row("generic: puts out 17 MiB", generic(start_stream=_OUTPUT), "start_stream", GuestFaultError,
        r"start_stream put out 17\.0 MiB, where 16\.0 MiB are allowed", "max_output="),
    Row("legacy: puts out 17 MiB", legacy(message=_OUTPUT), "handle_stream_message", GuestFaultError,
        r"handle_stream_message put out 17\.0 MiB, where 16\.0 MiB are allowed", "max_output="),
    Row("generic: passes 17 MiB to a host function", generic(connected=_REQUEST), "ws_connect", GuestFaultError,
        r"passed 17\.0 MiB to a host function, where 16\.0 MiB are allowed", "max_request="),
    Row("legacy: passes 17 MiB to a host function", legacy(prepare=_REQUEST), "prepare_stream", GuestFaultError,
        r"passed 17\.0 MiB to a host function, where 16\.0 MiB are allowed", "max_request="),
    Row("generic: fails with 60 MiB of error text", generic(start_stream=_ERROR), "start_stream", CompatError,
        "refused stream"),
    Row("legacy: fails with 60 MiB of error text", legacy(prepare=_ERROR), "prepare_stream", CompatError,
        "refused stream"),
    Row("generic: sets an error text without end", generic(connected=again("(call $error_set (call $block <<a>>))")),
        "ws_connect"),
    Row("generic: keeps variables without end", generic(start_stream=VARIABLES), "start_stream", CompatError,
        r"keeps more than 1\.0 MiB in variables", "remove variables"),
    Row("legacy: keeps variables without end", legacy(message=VARIABLES), "handle_stream_message", CompatError,
        r"keeps more than 1\.0 MiB in variables", "remove variables"),
    Row("generic: takes Extism's memory without end", generic(start_stream=_BLOCKS), "start_stream", GuestFaultError,
        r"asked for 1\.0 MiB of Extism's memory, where its blocks may take 64\.0 MiB", "memory_budget="),
    Row("legacy: takes Extism's memory without end", legacy(message=_BLOCKS), "handle_stream_message",
        GuestFaultError, r"asked for 1\.0 MiB of Extism's memory, where its blocks may take 64\.0 MiB",
        "memory_budget="),
)  # fmt: skip

SPEECH = (
    Row("generic: logs without end", generic(connected=_LOG), "log_record", calls=2_000, logs=_LEFT_OUT),
    Row("generic: prints without end", generic(connected=_PRINT), "time_now", logs=_LEFT_OUT),
    Row("generic: logs without end before it connects", generic(start_stream=_LOG), "log_record", CompatError,
        "start_stream", progress=impatient(start_timeout=0.4)),
    Row("legacy: logs without end", legacy(message=_LOG), "log_record", PluginTimeoutError,
        r"handle_stream_message did not return within \S+ s", bounds=hasty(message_timeout=0.5)),
    Row("legacy: prints without end", legacy(message=_PRINT), "handle_stream_message", PluginTimeoutError,
        r"handle_stream_message did not return within \S+ s", bounds=hasty(message_timeout=0.5)),
    Row("legacy: publishes without end, which is not for it to do", legacy(message=again(PUBLISH)),
        "publish_stream_data", PluginTimeoutError, r"handle_stream_message did not return within \S+ s",
        bounds=hasty(message_timeout=0.5)),
    Row("legacy: publishes, which nobody hears", legacy(message=PUBLISH), "publish_stream_data",
        logs="dropped request to publish_stream_data: nothing is streamed by this guest"),
    Row("generic: publishes without end what is refused", generic(connected=again(REFUSED)), "publish_stream_data",
        CompatError, "refused", told=EventKind.GAP, progress=impatient(malformed_pace=0.001, malformed_most=50)),
)  # fmt: skip

CONNECTIONS = (
    Row("generic: connects without end", generic(connected=_CONNECT), "ws_connect", told=EventKind.PLUGIN_ERROR,
        says="it has 16 connections open, which is the limit"),
    Row("legacy: connects without end", legacy(prepare=_CONNECT), "ws_connect", PluginTimeoutError,
        r"prepare_stream did not return within \S+ s", bounds=hasty(prepare_timeout=0.5)),
    Row("generic: connects and closes without end", generic(start_stream=CHURN), "ws_close", told=EventKind.RECONNECT,
        says="the plugin had closed the one before"),
)  # fmt: skip


@played((*MEMORY, *SPEECH, *CONNECTIONS))
async def test_a_plugin_that_takes_too_much_is_told_of_and_harms_nobody(row: Row, place: Place, pace: Pace) -> None:
    await play(row, place, pace)
