"""Plugins made to be asked: generic ones, and those that take commands."""

from __future__ import annotations

from typing import Any

from compat import Crossing
from tests.support.guests import Answer, guest
from tests.support.legacy import asked, legacy

__all__ = ["MARKETS", "SECRET", "commands", "generic", "given", "limits", "on"]

SECRET = "correct-horse-battery"
MARKETS = [{"name": "BTC-USDT", "tick": "0.10"}]


def generic(**exports: Answer) -> bytes:
    return guest({"start_stream": Answer({"success": True}), "stop_stream": Answer({"success": True}), **exports})


def commands(*answers: Answer, **exports: Answer) -> bytes:
    """A plugin of the command dialect."""
    return legacy("command", handle_command=answers, **exports)  # type: ignore[arg-type]


def on(command: str, output: Any = None, **how: Any) -> Answer:
    return Answer(output, when=f'"name":"{command}"', **how)


def given(crossings: list[Crossing]) -> list[str]:
    """The commands that reached the plugin."""
    return [request["name"] for request in asked(crossings, "handle_command")]


def limits(**row: Any) -> Answer:
    return Answer([{"command": "getMarkets", "scope": "ip", "rps": 1e-3, "burst": 1, **row}])
