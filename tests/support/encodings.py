"""Plugins that want their messages as text or in base64."""

from __future__ import annotations

import base64

from compat import Crossing, MessageEncoding
from tests.support.guests import Answer
from tests.support.legacy import DATA, asked, legacy, on

__all__ = ["BASE64", "IGNORED", "ILLEGAL", "TEXT", "UNREADABLE", "encoded", "reads_base64", "seen"]

TEXT, BASE64 = MessageEncoding.TEXT, MessageEncoding.BASE64
IGNORED = {"success": True, "action": "ignore"}
UNREADABLE = Answer({"success": False, "error": "invalid request"}, code=1)
ILLEGAL = Answer({"success": False, "error": "illegal base64 data at input byte 0"}, code=1)


def encoded(message: str | bytes) -> str:
    return base64.b64encode(message.encode() if isinstance(message, str) else message).decode()


def reads_base64(refusal: Answer, *script: Answer) -> bytes:
    """A plugin that finds ``tick!`` and ``hush!`` in base64 only and refuses everything else in these words."""
    return legacy("command", *script, on(encoded("tick!"), DATA), on(encoded("hush!"), IGNORED), refusal)


def seen(crossings: list[Crossing]) -> list[str]:
    return [request["message"] for request in asked(crossings, "handle_stream_message")]
