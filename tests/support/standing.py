"""Generic guests that stand still in one way or another, and what their streams tell of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.progress import Progress
from compat import Crossing, Direction, EventKind, NetworkPolicy
from tests.support.clocks import FOREVER
from tests.support.guests import Answer, guest
from tests.support.plugins import candle_key
from tests.support.waiting import told

if TYPE_CHECKING:
    from compat import Stream

__all__ = [
    "ALLOWING",
    "CONNECT",
    "KEY",
    "LOG",
    "LONG",
    "POLL",
    "PUBLISH",
    "SEND",
    "STARTED",
    "entries",
    "events_of",
    "starting",
    "written_in",
]

KEY = candle_key()
CONNECT = ("ws_connect", {"url": "wss://stream.simex.example/ws"})
SEND = ("ws_send", {"connectionId": "ws-1", "message": "{}"})
PUBLISH = ("publish_stream_data", {"key": KEY.to_wire(), "data": 1})
LOG = ("log_record", {"pluginId": "guest", "eventType": "debug", "timestamp": "", "message": "asked"})
POLL = ("ws_receive", {"connectionId": "ws-1", "timeoutMs": -1})
ALLOWING = NetworkPolicy(also="wss://stream.simex.example/*", allow_private=True)  # for guests that declare nothing
STARTED = {"success": True, "data": {"status": "started"}}
LONG = Progress(told_after=FOREVER, lost_after=FOREVER, returned_after=FOREVER)


def starting(*calls: tuple[str, object], then: str = "return", **doors: Answer) -> bytes:
    """A guest whose ``start_stream`` makes these host calls; parked after that, if it returns."""
    start = Answer(STARTED, calls=calls, then=then)
    return guest({"start_stream": start, "stop_stream": Answer(STARTED), **doors})


def written_in(language: str, wasm: bytes) -> bytes:
    """The module with the section in which compilers name themselves."""

    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    body = text("producers") + b"\1" + text("processed-by") + b"\1" + text(language) + text("1.0.0")
    return wasm + b"\0" + bytes([len(body)]) + body


def entries(crossings: list[Crossing], name: str) -> list[Crossing]:
    """The calls of an export."""
    return [crossing for crossing in crossings if (crossing.direction, crossing.name) == (Direction.CALL, name)]


async def events_of(stream: Stream) -> list[str]:
    """What an ended stream has told of how its guests stood still."""
    return [event.message for event in await told(stream, EventKind.PROGRESS)]
