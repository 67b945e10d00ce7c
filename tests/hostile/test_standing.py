"""Plugins that never end, never ask, or stand still."""

from __future__ import annotations

from compat import CompatError, EventKind, NetworkDeniedError, PluginTimeoutError, RestartsExhaustedError
from tests.hostile.guests import LOOP, SLEEP, again, call, from_message, generic, legacy
from tests.hostile.rows import Row, hasty, impatient, played
from tests.hostile.scene import Pace, Place, play

_TIME = "(drop (call $time_now (i64.const 0)))"
_LONGER = "longer timeout"

#: Each begins in its initialisation, or while it is asked for metadata or given its configuration.
BEFORE_STREAMING = (
    Row("generic: loops in its start section", generic(start=LOOP), ends=PluginTimeoutError,
        says=r"the start section did not return within \S+ s", remedy=_LONGER, bounds=hasty(initialise_timeout=0.2)),
    Row("legacy: loops in its start section", legacy(start=LOOP), ends=PluginTimeoutError,
        says=r"the start section did not return within \S+ s", remedy=_LONGER, bounds=hasty(initialise_timeout=0.2)),
    Row("generic: loops in _initialize", generic(_initialize=LOOP), ends=PluginTimeoutError,
        says=r"_initialize did not return within \S+ s", remedy=_LONGER, bounds=hasty(initialise_timeout=0.2)),
    Row("legacy: sleeps in _initialize", legacy(_initialize=SLEEP), ends=PluginTimeoutError,
        says=r"_initialize did not return within \S+ s", remedy=_LONGER, bounds=hasty(initialise_timeout=0.2)),
    Row("generic: loops in plugin_info", generic(plugin_info=LOOP), "plugin_info", ends=CompatError,
        says=r"plugin_info did not return within \S+ s", bounds=hasty(metadata_timeout=0.2)),
    Row("legacy: loops in meta", legacy(meta=LOOP), "meta", ends=CompatError,
        says=r"meta did not return within \S+ s", bounds=hasty(metadata_timeout=0.2)),
    Row("generic: loops in plugin_configure", generic(plugin_configure=LOOP), "plugin_configure", PluginTimeoutError,
        r"plugin_configure did not return within \S+ s", _LONGER, bounds=hasty(configure_timeout=0.2),
        config={"a": "b"}),
    Row("legacy: loops in set_credentials", legacy(set_credentials=LOOP), "set_credentials", PluginTimeoutError,
        r"set_credentials did not return within \S+ s", _LONGER, bounds=hasty(configure_timeout=0.2),
        config={"a": "b"}),
)  # fmt: skip

LEGACY = (
    Row("legacy: loops in prepare_stream", legacy(prepare=LOOP), "prepare_stream", PluginTimeoutError,
        r"prepare_stream did not return within \S+ s", _LONGER, bounds=hasty(prepare_timeout=0.2)),
    Row("legacy: loops when it hears that it is connected",
        legacy(stream_connection_event=from_message(2, LOOP)), "stream_connection_event", PluginTimeoutError,
        r"stream_connection_event did not return within \S+ s", _LONGER, bounds=hasty(message_timeout=1)),
    Row("legacy: loops when it hears that it is disconnected",
        legacy(stream_connection_event=from_message(3, LOOP)), bounds=hasty(farewell_timeout=0.2),
        closes="stream_connection_event", items=3),
    Row("legacy: loops at the first message", legacy(message=LOOP), "handle_stream_message", PluginTimeoutError,
        r"handle_stream_message did not return within \S+ s", _LONGER, bounds=hasty(message_timeout=0.2)),
    Row("legacy: loops at each guest's third message", legacy(message=from_message(3, LOOP)), "handle_stream_message",
        RestartsExhaustedError, r"3 times .* handle_stream_message did not return within \S+ s",
        bounds=hasty(message_timeout=1), items=6),
    Row("legacy: sleeps at the first message", legacy(message=SLEEP), "handle_stream_message", PluginTimeoutError,
        r"handle_stream_message did not return within \S+ s", _LONGER, bounds=hasty(message_timeout=0.2)),
)  # fmt: skip

GENERIC = (
    Row("generic: loops in start_stream", generic(start_stream=LOOP), "start_stream", CompatError,
        "makes no host call", told=EventKind.PROGRESS, progress=impatient(told_after=0.1, hung_after=0.4)),
    Row("generic: sleeps in start_stream", generic(start_stream=SLEEP), "start_stream", CompatError,
        "start_stream", told=EventKind.PROGRESS, progress=impatient(told_after=0.1, start_timeout=0.4)),
    Row("generic: asks for the time without end, and does not connect", generic(start_stream=again(_TIME)), "time_now",
        CompatError, "start_stream", told=EventKind.PROGRESS, progress=impatient(told_after=0.1, start_timeout=0.4)),
    Row("generic: loops when it has connected", generic(connected=LOOP), "ws_connect", CompatError,
        "makes no host call", told=EventKind.PROGRESS, progress=impatient(told_after=0.1, hung_after=0.4)),
    Row("generic: loops at each guest's second message", generic(message=from_message(2, LOOP)), "ws_receive",
        RestartsExhaustedError, "3 times .* makes no host call", told=EventKind.PROGRESS, items=3,
        progress=impatient(told_after=0.1, hung_after=0.4)),
    Row("generic: sleeps at a message", generic(message=SLEEP), "ws_receive", told=EventKind.PROGRESS,
        progress=impatient(told_after=0.1)),
    Row("generic: connects, and only asks for the time from then on", generic(connected=again(_TIME)), "time_now",
        told=EventKind.PROGRESS, progress=impatient(told_after=0.1)),
    Row("generic: connects, returns, and never asks for a message", generic(end=" "), "ws_connect", CompatError,
        told=EventKind.PROGRESS, progress=impatient(told_after=0.1, unasked_after=0.4)),
    Row("generic: connects, returns, and has no message for it", generic(end=" "), "ws_connect", CompatError,
        told=EventKind.PROGRESS, progress=impatient(told_after=0.1, unasked_after=0.4), messages=0),
    Row("generic: asks without end for a connection that it may not have",
        generic(start_stream=again(call("ws_connect", {"url": "wss://other.example/"}))), "ws_connect",
        NetworkDeniedError, "may not reach wss://other.example/", "metadata", progress=impatient(lost_after=0.3)),
    Row("generic: loops in stop_stream", generic(end=" ", stop_stream=LOOP), "ws_connect", closes="stop_stream",
        bounds=hasty(leave_timeout=1)),
    Row("generic: sleeps in stop_stream", generic(end=" ", stop_stream=SLEEP), "ws_connect", closes="stop_stream",
        bounds=hasty(leave_timeout=1)),
)  # fmt: skip


@played((*BEFORE_STREAMING, *LEGACY, *GENERIC))
async def test_a_plugin_that_stands_still_is_told_of_and_ended(row: Row, place: Place, pace: Pace) -> None:
    await play(row, place, pace)
