"""Legacy plugins made to order: what they answer to which message and event, in either dialect."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from adapters.dialects import DIALECTS
from compat import ConnectionLostError, Crossing, Direction
from tests.support.guests import Answer, guest
from tests.support.plugins import candle_key
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from compat import Stream


KEY = candle_key()
URL = "wss://stream.simex.example/ws"
META = {"name": "made to order", "resources": {"allowedNetworkTargets": [{"pattern": "wss://stream.simex.example/*"}]}}
FINE = Answer({"success": True})
DATA = {"success": True, "action": "data", "dataType": "trade", "data": {"price": "1.50"}}


def on(message: str, output: Any = None, **how: Any) -> Answer:
    """The answer to one message."""
    return Answer(output, when=f'"message":"{message}"', **how)


def at(event: str, output: Any = None, **how: Any) -> Answer:
    """The answer to one connection event."""
    return Answer(output, when=f'"eventType":"{event}"', **how)


def legacy(
    dialect: str = "callback",
    *script: Answer,
    events: Sequence[Answer] | None = (),
    prepare: Answer | None = None,
    **exports: Answer,
) -> bytes:
    """A legacy plugin that answers messages by this script, ``data`` with data, and ignores everything else."""
    names = DIALECTS[dialect]
    setup = {"websocketUrl": URL}
    marker = {"result": True, "data": {"_stream": True, "streamID": "its own id", **setup}}
    prepared = prepare or Answer({"success": True, **setup} if dialect == "callback" else marker)
    messages = (*script, on("data", DATA), Answer({"success": True, "action": "ignore"}))
    if events is not None:
        exports[names.connection_event] = (*events, FINE)  # type: ignore[assignment]
    return guest({"meta": Answer(META), names.prepare: prepared, "handle_stream_message": messages, **exports})


def beating(*script: Answer, **heartbeat: Any) -> bytes:
    """A plugin whose marker has this heartbeat."""
    marker = {"_stream": True, "streamID": "s", "websocketUrl": URL, "heartbeat": heartbeat}
    return legacy("command", *script, prepare=Answer({"result": True, "data": marker}))


def asked(crossings: list[Crossing], export: str) -> list[Any]:
    """What an export was asked, decoded."""
    found = (c.data for c in crossings if (c.direction, c.name) == (Direction.CALL, export))
    return [json.loads(data) if data else None for data in found]


def events_of(crossings: list[Crossing], dialect: str = "callback") -> list[str]:
    return [request["eventType"] for request in asked(crossings, DIALECTS[dialect].connection_event)]


def breaking(*messages: str | bytes) -> Iterator[str | bytes]:
    """A feed that ends with the connection's loss."""
    yield from messages
    raise ConnectionLostError(URL, "it broke off")


async def all_of(stream: Stream) -> list[Any]:
    """The payloads of all items until the stream ends."""
    async with asyncio.timeout(HANG):
        return [item.json() async for item in stream]
