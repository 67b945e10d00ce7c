"""Guests that say of themselves what a host asks for, and what is seen of their calls."""

from __future__ import annotations

from compat import Crossing, Direction
from tests.support.guests import Answer, guest

__all__ = ["CONNECT", "INFO", "RECEIVE", "guests_of", "module"]

CONNECT = ("ws_connect", {"url": "wss://stream.simex.example/ws"})
RECEIVE = ("ws_receive", {"connectionId": "ws-1"})
INFO = {"name": "by info", "version": "1", "streamTypes": ["ohlcv"], "networkTargets": ["wss://stream.simex.example/*"]}


def module(**exports: Answer) -> bytes:
    """A generic guest with these exports besides those that it needs."""
    return guest({"start_stream": Answer({"success": True}), "stop_stream": Answer({"success": True}), **exports})


def guests_of(crossings: list[Crossing], name: str) -> list[str]:
    """The guests in which an export was called, in the order of the calls."""
    return [crossing.guest for crossing in crossings if (crossing.direction, crossing.name) == (Direction.CALL, name)]
