"""What crosses of several messages in one call: their inputs, and how each has ended."""

from __future__ import annotations

import logging
import struct

import pytest

from adapters.companion.exchange import BorderError, Operation, Record
from adapters.companion.messages import Returned, encode_inputs, read_returned
from tests.adapters.runtime.crossings import crossing, exchanged, record
from tests.adapters.runtime.guests import border_of


def returned(code: int, flags: int = 0, output: bytes = b"") -> bytes:
    return struct.pack("<iI", code, flags) + output


def test_inputs_stand_one_behind_the_other_with_their_lengths() -> None:
    assert (
        encode_inputs([b"one", b"", b"three"]) == b"\3%b" % bytes(7) + b"one" + bytes(8) + b"\5%b" % bytes(7) + b"three"
    )


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (returned(0, 0, b"output"), Returned(0, b"output", last=False)),
        (returned(-1), Returned(-1, b"", last=False)),
        (returned(2**31 - 1, 2, b"x"), Returned(2**31 - 1, b"x", last=True)),
        (returned(0, 3), Returned(0, None, last=True)),
    ],
)
def test_a_return_has_a_code_and_an_output_or_the_call_s(body: bytes, read: Returned) -> None:
    assert read_returned(body) == read


def test_a_return_without_its_head_is_refused() -> None:
    with pytest.raises(BorderError, match="a return in 7 bytes"):
        read_returned(bytes(7))


def test_each_return_ends_what_belongs_to_its_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    border = border_of()
    border.begin("handle_stream_message")
    before = border.moves
    records = [
        (Record.ERROR, b"why"),
        (Record.STDERR, b"unfinished"),
        (Record.RETURNED, returned(1)),
        (Record.STDERR, b"words\nof the second"),
        (Record.RETURNED, returned(0, 2, b"{}")),
    ]
    exchanged(border, crossing(Operation.FLUSH, b"", b"".join(record(kind, body) for kind, body in records)))
    assert border.returned == [(Returned(1, b"", last=False), "why"), (Returned(0, b"{}", last=True), None)]
    assert [line.getMessage() for line in caplog.records] == ["unfinished", "words", "of the second"]
    assert border.voice.last_words() == ""
    assert border.reason() is None
    assert border.moves - before == 3  # two messages, one crossing
    border.begin("handle_stream_message")
    assert border.returned == []
