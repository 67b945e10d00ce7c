"""What a legacy plugin answers to a message or to a connection event: an ``Action``, and what belongs to it."""

from __future__ import annotations

import enum
from typing import Any

import attrs
import msgspec

from adapters.encoding import Taken, took
from adapters.lenient import Lenient

__all__ = ["Action", "Answer", "JudgedAnswer", "as_reason", "decode_answer", "incomplete"]


class Action(enum.StrEnum):
    """What a plugin asks the host to do."""

    IGNORE = "ignore"
    DATA = "data"
    SEND = "send"
    RECONNECT = "reconnect"
    CLOSE = "close"


class Answer(msgspec.Struct, rename="camel"):
    """The answer to a message or an event; the payload stays undecoded."""

    success: bool | None = None
    action: str | None = None
    data_type: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    send_message: str = ""
    error: Any = None


decode_answer = Lenient(Answer).decode


@attrs.frozen
class JudgedAnswer:
    """An answer, whether it is a failure, and why (the reason may be empty), and whether there was none at all."""

    answer: Answer
    reason: str
    failed: bool
    silent: bool = False

    @property
    def taken(self) -> Taken:
        """For the encoder."""
        answered = self.answer.action in (Action.DATA, Action.SEND)
        return took(failed=self.failed, reason=self.reason, answered=answered)


def as_reason(error: object) -> str:
    """Return the ``error`` of an answer as text: a string as it is, ``None`` as an empty one, all else as JSON."""
    return error if isinstance(error, str) else "" if error is None else msgspec.json.encode(error).decode()


def incomplete(answer: Answer) -> str:
    """What is missing for the action that the plugin asks for; empty if nothing is."""
    if answer.action not in (None, *Action):
        return f"it asked for an unknown action {answer.action!r}"
    if answer.action == Action.DATA and not bytes(answer.data):
        return "it announced data and gave none"
    if answer.action == Action.SEND and not answer.send_message:
        return "it asked to send a message and gave none"
    return ""
