"""Plugins that trap, exit or run out of stack, wherever they are."""

from __future__ import annotations

from pathlib import Path

from compat import PluginExitError, PluginTrapError, RestartsExhaustedError
from tests.hostile.guests import DEEP, TRAP, exits, from_message, generic, legacy
from tests.hostile.rows import Row, hasty, played
from tests.hostile.scene import Pace, Place, play
from tests.support.waiting import HANG

RUST = (Path(__file__).parents[2] / "fixtures" / "rust" / "hostile" / "plugin.wasm").read_bytes()

_AUTHOR = "its author"
_DEEP = r"trapped: in .*deep"

TRAPS = (
    Row("generic: traps in its start section", generic(start=TRAP), ends=PluginTrapError,
        says="the start section trapped", remedy=_AUTHOR),
    Row("legacy: traps in _initialize", legacy(_initialize=TRAP), ends=PluginTrapError, says="_initialize trapped",
        remedy=_AUTHOR),
    Row("generic: traps in start_stream", generic(start_stream=TRAP), "start_stream", PluginTrapError,
        "start_stream trapped", _AUTHOR),
    Row("legacy: traps in prepare_stream", legacy(prepare=TRAP), "prepare_stream", PluginTrapError,
        "prepare_stream trapped", _AUTHOR),
    Row("generic: traps in plugin_configure", generic(plugin_configure=TRAP), "plugin_configure", PluginTrapError,
        "plugin_configure trapped", _AUTHOR, config={"a": "b"}),
    Row("generic: traps in stop_stream", generic(end=" ", stop_stream=TRAP), "ws_connect", closes="stop_stream",
        bounds=hasty(leave_timeout=HANG)),
    Row("generic: traps at each guest's third message", generic(message=from_message(3, TRAP)), "ws_receive",
        RestartsExhaustedError, "3 times .* last: .* start_stream trapped", items=6, messages=5),
    Row("legacy: traps at each guest's third message", legacy(message=from_message(3, TRAP)),
        "handle_stream_message", RestartsExhaustedError, "3 times .* last: .* handle_stream_message trapped", items=6,
        messages=5),
    Row("legacy: traps when it hears that it is connected", legacy(stream_connection_event=from_message(2, TRAP)),
        "stream_connection_event", PluginTrapError, "stream_connection_event trapped", _AUTHOR),
)  # fmt: skip

EXITS = (
    Row("generic: exits with 0 in start_stream", generic(start_stream=exits(0)), "start_stream", PluginExitError,
        "start_stream ended the plugin, by proc_exit with code 0", _AUTHOR),
    Row("generic: exits with 3 in start_stream", generic(start_stream=exits(3)), "start_stream", PluginExitError,
        "start_stream ended the plugin, by proc_exit with code 3", _AUTHOR),
    Row("legacy: exits with 3 in prepare_stream", legacy(prepare=exits(3)), "prepare_stream", PluginExitError,
        "prepare_stream ended the plugin, by proc_exit with code 3", _AUTHOR),
    Row("generic: exits with 0 in _initialize", generic(_initialize=exits(0)), ends=PluginExitError,
        says="_initialize ended the plugin, by proc_exit with code 0", remedy=_AUTHOR),
    Row("legacy: exits with 3 in its start section", legacy(start=exits(3)), ends=PluginExitError,
        says="the start section ended the plugin, by proc_exit with code 3", remedy=_AUTHOR),
    Row("generic: exits with 3 at each guest's second message", generic(message=from_message(2, exits(3))),
        "ws_receive", RestartsExhaustedError, "3 times .* start_stream ended the plugin, by proc_exit with code 3",
        items=3),
    Row("legacy: exits with 0 at each guest's second message", legacy(message=from_message(2, exits(0))),
        "handle_stream_message", RestartsExhaustedError,
        "3 times .* handle_stream_message ended the plugin, by proc_exit with code 0", items=3),
    Row("generic: exits in stop_stream", generic(end=" ", stop_stream=exits(3)), "ws_connect", closes="stop_stream",
        bounds=hasty(leave_timeout=HANG)),
)  # fmt: skip

STACK = (
    Row("generic: recurses for ever in start_stream", generic(start_stream=DEEP), "start_stream", PluginTrapError,
        f"start_stream {_DEEP}", _AUTHOR),
    Row("generic: recurses for ever at each guest's second message", generic(message=from_message(2, DEEP)),
        "ws_receive", RestartsExhaustedError, f"3 times .* start_stream {_DEEP}", items=3),
    Row("legacy: recurses for ever at a message", legacy(message=DEEP), "handle_stream_message", PluginTrapError,
        f"handle_stream_message {_DEEP}", _AUTHOR),
    Row("legacy: recurses for ever in its start section", legacy(start=DEEP), ends=PluginTrapError,
        says=f"the start section {_DEEP}", remedy=_AUTHOR),
)  # fmt: skip

#: What only a compiler's own code does: a panic with its words, a stack in the plugin's memory, a failed allocation.
REAL = (
    Row("rust: panics", RUST, "start_stream", PluginTrapError,
        "start_stream trapped: .*; it said: .* panicked at .*no such market", _AUTHOR, identifier="panic"),
    Row("rust: reads beyond a slice", RUST, "start_stream", PluginTrapError,
        "start_stream trapped: .*; it said: .* the len is 3 but the index is 7", _AUTHOR, identifier="index"),
    Row("rust: exits", RUST, "start_stream", PluginExitError, "by proc_exit with code 3", _AUTHOR, identifier="exit"),
    Row("rust: recurses for ever", RUST, "start_stream", PluginTrapError, "start_stream trapped: in ", _AUTHOR,
        identifier="deep"),
    Row("rust: hoards memory", RUST, "start_stream", PluginTrapError,
        "it said: memory allocation of .* bytes failed.*had .* of memory, of ", "guest_memory=", identifier="memory",
        bounds=hasty(guest_memory=2**23)),
)  # fmt: skip


@played((*TRAPS, *EXITS, *STACK, *REAL))
async def test_a_plugin_that_breaks_is_told_of_and_replaced_or_given_up(row: Row, place: Place, pace: Pace) -> None:
    await play(row, place, pace)
