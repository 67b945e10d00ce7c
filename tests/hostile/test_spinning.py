"""Plugins that ask for what is not there, again and again, whatever they are answered."""

from __future__ import annotations

from compat import CompatError, EventKind, NoProgressError
from tests.hostile.guests import URL, again, call, generic, legacy, put_out
from tests.hostile.rows import Row, hasty, impatient, played
from tests.hostile.scene import Pace, Place, play

_OPEN, _NEVER_OPENED = {"connectionId": "ws-1"}, {"connectionId": "never opened"}
_FEW = impatient(dead_answers=3)
_SOON = impatient(malformed_pace=0.001, malformed_most=50)


def malformed(function: str, request: str) -> Row:
    """A plugin that makes this malformed request without end."""
    return Row(f"generic: makes malformed requests to {function} without end",
               generic(connected=again(call(function, request))), function, CompatError,
               f"malformed .*{function}|{function}.* malformed", told=EventKind.PLUGIN_ERROR,
               progress=_SOON)  # fmt: skip


ROWS = (
    Row("generic: asks for a connection that it has closed",
        generic(end=call("ws_close", _OPEN) + again(call("ws_receive", _OPEN))), "ws_close", NoProgressError,
        "asks for a dead connection again and again", "dead_answers=", progress=_FEW),
    Row("generic: sends on a connection that it has closed",
        generic(end=call("ws_close", _OPEN) + again(call("ws_send", {**_OPEN, "message": "a"}))), "ws_close",
        NoProgressError, "asks for a dead connection again and again", "dead_answers=", progress=_FEW),
    Row("generic: asks for a connection that it never opened",
        generic(start_stream=again(call("ws_receive", _NEVER_OPENED))), "ws_receive", NoProgressError,
        "no connection was opened", "dead_answers=", progress=_FEW),
    Row("generic: asks for another connection than it has", generic(end=again(call("ws_receive", _NEVER_OPENED))),
        "ws_receive", told=EventKind.PROGRESS, progress=impatient(dead_answers=3, told_after=0.1)),
    malformed("ws_connect", "[]"),
    malformed("ws_send", "not JSON"),
    malformed("ws_receive", '{"connectionId": []}'),
    malformed("ws_close", ""),
    malformed("http_request", '{"url": 1}'),
    Row("generic: publishes malformed requests without end", generic(connected=again(call("publish_stream_data", "{"))),
        "publish_stream_data", CompatError, "malformed", told=EventKind.GAP, progress=_SOON),
    Row("generic: makes HTTP requests that are denied, without end",
        generic(connected=again(call("http_request", {"url": "https://other.example/"}))), "http_request", calls=4),
    Row("generic: sends without end", generic(connected=again(call("ws_send", {**_OPEN, "message": "a" * 1_000}))),
        "ws_send", calls=100),
    Row("generic: reads its configuration without end",
        generic(connected=again("(drop (call $config_get (call $block <<a>>)))")), "ws_connect"),
    Row("legacy: asks for a new connection at each message",
        legacy(message=put_out({"success": True, "action": "reconnect"}) + "(return (i32.const 0))"),
        "handle_stream_message", CompatError, "3 times .* last: .* the plugin wants a new one"),
    Row("legacy: asks for a connection that it never opened",
        legacy(message=again(call("ws_receive", _NEVER_OPENED))), "ws_receive", CompatError,
        r"handle_stream_message did not return within \S+ s", bounds=hasty(message_timeout=0.5)),
    Row("legacy: makes malformed requests without end", legacy(message=again(call("ws_receive", "not JSON"))),
        "ws_receive", CompatError, r"handle_stream_message did not return within \S+ s",
        bounds=hasty(message_timeout=0.5)),
    Row("legacy: connects, and asks for a dead connection without end",
        legacy(prepare=call("ws_connect", {"url": URL}) + call("ws_close", _OPEN) + again(call("ws_receive", _OPEN))),
        "ws_receive", CompatError, r"prepare_stream did not return within \S+ s", bounds=hasty(prepare_timeout=0.5)),
)  # fmt: skip


@played(ROWS)
async def test_a_plugin_that_asks_again_and_again_is_told_of_and_ended(row: Row, place: Place, pace: Pace) -> None:
    await play(row, place, pace)
