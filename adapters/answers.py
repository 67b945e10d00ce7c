"""What a legacy plugin answers to a message or to a connection event: an ``Action``, and what belongs to it."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from adapters.encoding import Taken, took
from adapters.lenient import Lenient

if TYPE_CHECKING:
    from adapters.runtime.engine import CallOutcome

__all__ = ["Action", "Answer", "JudgedAnswer", "as_reason", "decode_answer", "incomplete", "judged"]


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


_ACTIONS = frozenset((None, *Action))
_PLAIN = (None, Action.IGNORE, Action.DATA)


@attrs.frozen
class JudgedAnswer:
    """An answer, whether it is a failure, and why (the reason may be empty), and whether there was none at all."""

    answer: Answer
    reason: str = ""
    failed: bool = False
    silent: bool = False

    @property
    def plain(self) -> bool:
        """Whether it asks for nothing: it is no failure, and the connection goes on as it is."""
        return not self.failed and self.answer.action in _PLAIN

    @property
    def taken(self) -> Taken:
        """For the encoder."""
        answered = self.answer.action in (Action.DATA, Action.SEND)
        return took(failed=self.failed, reason=self.reason, answered=answered)


def as_reason(error: object) -> str:
    """Return the ``error`` of an answer as text: a string as it is, ``None`` as an empty one, all else as JSON."""
    return error if isinstance(error, str) else "" if error is None else msgspec.json.encode(error).decode()


def judged(
    outcome: CallOutcome, reason_of: Callable[[CallOutcome], str], redact: Callable[[str], str], *, silence_fails: bool
) -> JudgedAnswer:
    """Read the answer to a message or an event, and judge it.

    Args:
        outcome: How the call ended; the guest is still whole.
        reason_of: Why a call failed, in the plugin's words.
        redact: Takes secrets out of a text.
        silence_fails: Whether an empty answer is a failure; older plugins answer an event with nothing at all.
    """
    reason = "" if outcome.ok else reason_of(outcome) or f"return code {outcome.code}"
    if silence_fails and outcome.ok and not outcome.output:
        return JudgedAnswer(Answer(), "it answered nothing", failed=True, silent=True)
    try:
        answer = decode_answer(outcome.output) if outcome.output or not outcome.ok else Answer()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return JudgedAnswer(Answer(), reason or f"its answer is unusable: {error}", failed=True)
    if not outcome.ok or answer.success is False:
        return JudgedAnswer(answer, reason or redact(as_reason(answer.error)), failed=True)
    problem = incomplete(answer)
    return JudgedAnswer(answer, problem, failed=bool(problem))


def incomplete(answer: Answer) -> str:
    """What is missing for the action that the plugin asks for; empty if nothing is."""
    if answer.action not in _ACTIONS:
        return f"it asked for an unknown action {answer.action!r}"
    if answer.action == Action.DATA and not bytes(answer.data):
        return "it announced data and gave none"
    if answer.action == Action.SEND and not answer.send_message:
        return "it asked to send a message and gave none"
    return ""
