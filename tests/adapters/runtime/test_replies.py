"""How a plugin says why it failed."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.runtime.engine import CallOutcome
from adapters.runtime.replies import decode_list, decode_object, failure_reason
from adapters.secrets import Redactor


@pytest.mark.parametrize(
    ("error", "output", "reason"),
    [
        ("  from error memory\n", b'{"error":"from the output"}', "from error memory"),
        (None, b'{"success":false,"error":"from the output"}', "from the output"),
        ("", b'{"error":"from the output"}', "from the output"),
        (None, b'{"message":"a message"}', "a message"),
        (None, b'{"error":"","message":"a message"}', "a message"),
        (None, b'{"error":{"code":7}}', '{"code":7}'),
        (None, b'{"success":false}', ""),
        (None, b"", ""),
        (None, b" plain words ", "plain words"),
        (None, b"\xff", "�"),
        (None, b'["a list"]', '["a list"]'),
    ],
)
def test_the_reason_is_found_wherever_plugins_put_it(error: str | None, output: bytes, reason: str) -> None:
    assert failure_reason(CallOutcome(1, error, output)) == reason


@pytest.mark.parametrize("said", ["correct-horse", '{"error":"correct-horse"}'])
def test_secrets_are_taken_out_before_a_reason_is_cut(said: str) -> None:
    def redact(text: str) -> str:
        return text.replace("correct-horse", "***")

    for length in range(1_980, 2_001):
        output = said.replace("correct", "x" * length + "correct").encode()
        assert "cor" not in failure_reason(CallOutcome(1, None, output), redact)


@given(
    st.none() | st.text(max_size=3_000), st.binary(max_size=3_000) | st.text(max_size=3_000).map(msgspec.json.encode)
)
def test_a_reason_is_short_whatever_was_said(error: str | None, output: bytes) -> None:
    assert len(failure_reason(CallOutcome(1, error, output))) <= 2_000
    assert len(failure_reason(CallOutcome(1, None, b'{"error":' + output + b"}"))) <= 2_000


@pytest.mark.parametrize("form", ["{}", '{{"error":"{}"}}', '{{"error":["{}"]}}'], ids=["text", "error", "object"])
@pytest.mark.parametrize("place", ["reason", "error", "output"])
def test_a_secret_across_the_cut_of_a_reason_is_not_told_by_half(place: str, form: str) -> None:
    said = form.format("x" * 1_980 + "correct-horse-battery" + "y" * 100)
    outcome = {
        "reason": CallOutcome(1, None, b"", reason=said),
        "error": CallOutcome(1, said, b""),
        "output": CallOutcome(1, None, said.encode()),
    }[place]
    reason = failure_reason(outcome, lambda text: text.replace("correct-horse-battery", "***"))
    assert "cor" not in reason
    assert "***" in reason
    assert len(reason) == 2_000


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"{", "it is not JSON"),
        (b"[1]", "it is a JSON list"),
        (b"null", "it is a JSON NoneType"),
        pytest.param(b"[" * 100_000, "it is not JSON", id="nested deeper than can be read"),
    ],
)
def test_what_is_no_object_is_named(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        decode_object(data)


def test_a_text_that_is_cut_within_an_emoji_or_is_no_utf8_is_read() -> None:
    assert decode_object(b'{"error":"\\ud83d \xff"}') == {"error": "\ufffd \ufffd"}
    assert decode_list(b'["\\udc00"]') == ["\ufffd"]


@given(st.binary(max_size=40))
def test_any_bytes_are_an_object_or_a_value_error(data: bytes) -> None:
    problem = "it is "
    try:
        assert isinstance(decode_object(data), dict)
    except ValueError as error:
        problem = str(error)
    assert problem.startswith("it is ")


def test_no_half_of_a_secret_is_left_where_a_long_reason_is_cut() -> None:
    secret = "tok-" + "0123456789abcdef" * 60
    output = json.dumps({"error": f"{secret} " * 80}).encode()  # which gets short enough by what is taken out of it
    reason = failure_reason(CallOutcome(1, None, output), Redactor({"token": secret}))
    assert len(reason) < 2_000
    assert "0123456789abcdef" not in reason
