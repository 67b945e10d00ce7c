"""How plugins say that something failed, in each of their ways. Pure functions over bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from adapters.lenient import decode_json
from adapters.runtime.engine import CallOutcome
from adapters.secrets import LONGEST_SECRET

__all__ = ["decode_list", "decode_object", "failure_reason"]

_MAX_REASON = 2_000  # characters of a plugin's own words that are worth keeping
_MAX_READ = 2**16  # characters of them in which secrets are looked for


def failure_reason(outcome: CallOutcome, redact: Callable[[str], str] = str) -> str:
    """Why a call failed, in the plugin's words: from error memory, else from the ``error`` of its JSON output.

    Args:
        outcome: How the call ended.
        redact: Takes secrets out of a text, before the reason is cut short.

    Returns:
        The reason, at most 2,000 characters; empty if the plugin gave none.
    """
    reason = _whole_reason(outcome)
    read = redact(reason[:_MAX_READ])
    return (read if len(reason) <= _MAX_READ else read[:-LONGEST_SECRET])[:_MAX_REASON]


def _whole_reason(outcome: CallOutcome) -> str:
    said = outcome.reason or outcome.error
    if said:
        return said.strip()
    try:
        answer = decode_object(outcome.output)
    except ValueError:
        return outcome.output.decode(errors="replace").strip()
    reason = answer.get("error") or answer.get("message") or ""
    return reason if isinstance(reason, str) else msgspec.json.encode(reason).decode()


def decode_object(data: bytes) -> dict[str, Any]:
    """Decode a JSON object.

    Raises:
        ValueError: The bytes are no JSON object; the text says what they are.
    """
    value = _decode(data, "object")
    if not isinstance(value, dict):
        msg = f"it is a JSON {type(value).__name__} where an object is expected"
        raise ValueError(msg)  # noqa: TRY004 - what is wrong is the plugin's value, not a caller's type
    return value


def decode_list(data: bytes, names: tuple[str, ...] = ()) -> list[Any]:
    """Decode a JSON list; null is an empty one, which is how Go writes that.

    Args:
        data: The bytes.
        names: Under which the list may stand in an object instead.

    Raises:
        ValueError: The bytes are no JSON list; the text says what they are.
    """
    value = _decode(data, "list")
    if isinstance(value, dict):
        value = next((value[name] for name in names if name in value), value)
    if value is None:
        return []
    if not isinstance(value, list):
        msg = f"it is a JSON {type(value).__name__} where a list is expected"
        raise ValueError(msg)  # noqa: TRY004 - what is wrong is the plugin's value, not a caller's type
    return value


def _decode(data: bytes, expected: str) -> Any:
    if not data.strip():
        msg = f"it is empty where a JSON {expected} is expected"
        raise ValueError(msg)
    try:
        return decode_json(data)
    except (msgspec.DecodeError, RecursionError) as error:
        msg = f"it is not JSON ({error})"
        raise ValueError(msg) from error
