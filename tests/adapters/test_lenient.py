"""JSON that is not quite as it should be is read, and what is well-formed is read as ever."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import Reply, StreamData, StreamKey
from adapters.lenient import Lenient, convert, decode_json, valid_utf8

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


class Message(msgspec.Struct):
    """A message with a part that stays undecoded, and two that may be written in another way."""

    raw: msgspec.Raw = msgspec.Raw()
    number: int | None = None
    text: str = ""


@given(values, st.booleans())
def test_what_is_well_formed_is_read_as_ever(value: Any, escaped: bool) -> None:
    assert decode_json(json.dumps(value, ensure_ascii=escaped).encode()) == value


# Pieces of texts that meet each other: escapes, halves of pairs in any order, and what only looks like them.
pieces = st.sampled_from(
    [
        rb"\ud83d",
        rb"\ude00",
        rb"\uD83D",
        rb"\uDE00",
        rb"\\",
        rb"\"",
        rb"\n",
        rb"\u0041",
        rb"\\ud83d",
        b"ud83d",
        b"a",
        b"d",
    ]
)


@given(st.lists(pieces, max_size=6).map(b"".join))
def test_half_a_surrogate_is_read_as_a_replacement(text: bytes) -> None:
    written = b'"' + text + b'"'
    # What Python makes of it, with every half replaced.
    expected = json.loads(written).encode("utf-16-le", errors="surrogatepass").decode("utf-16-le", errors="replace")
    assert decode_json(written) == expected
    message = Lenient(Message).decode(b'{"raw": ' + written + b', "text":' + written + b"}")
    assert (bytes(message.raw), message.text) == (written, expected)


@given(st.binary(max_size=40))
def test_any_bytes_become_valid_utf8_and_valid_ones_stay(data: bytes) -> None:
    valid = valid_utf8(data)
    assert valid_utf8(valid) is valid
    assert valid.decode() == valid.decode(errors="replace")


@given(st.text(max_size=20))
def test_utf8_is_not_touched(text: str) -> None:
    data = text.encode()
    assert valid_utf8(data) is data


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xed\xa0\xbd\xed\xb8\x80", "\U0001f600"),
        (b"\xed\xa0\xbd", "�"),
        (b"\xed\xb8\x80\xed\xa0\xbd", "��"),
        (b"a\xffb", "a�b"),
        (b"\xc3", "�"),
        (b"caf\xe9 \xc3\xa9", "caf� é"),
    ],
)
def test_surrogates_in_utf8_are_joined_or_replaced(data: bytes, text: str) -> None:
    assert valid_utf8(data).decode() == text


@pytest.mark.parametrize(
    ("written", "number"), [("1.0", 1), ("1e3", 1_000), ("-0.0", 0), ('"12"', 12), ("2e15", 2 * 10**15)]
)
def test_an_integer_may_be_a_whole_float_or_a_text(written: str, number: int) -> None:
    message = Lenient(Message).decode(f'{{"number":{written}}}'.encode())
    assert message.number == number
    assert isinstance(message.number, int)


@pytest.mark.parametrize("written", ["1.5", "1e-3", "1e17", "-1e300"])
def test_a_float_that_is_no_integer_is_named(written: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"`\$\.number`: not a whole number up to 2\^53"):
        Lenient(Message).decode(f'{{"number":{written}}}'.encode())
    with pytest.raises(msgspec.ValidationError, match=r"not a whole number up to 2\^53"):
        convert(float(written), int)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_a_decode_error(data: bytes) -> None:
    for decode in (decode_json, Lenient(Message).decode):
        with contextlib.suppress(msgspec.DecodeError):
            decode(data)


def test_what_stands_twice_is_decoded_as_the_same() -> None:
    message = Lenient(Message).decode(rb'{"text":"\udc00","raw":"\ud83d"}')
    assert [decode_json(bytes(message.raw)), message.text] == ["�", "�"]


def test_items_and_replies_are_decoded_leniently() -> None:
    data = b'{"note": "\\ud83d", "price": 1.10}'
    item = StreamData(StreamKey("a", "b", "c"), 0, "a", data, 0)
    assert item.json() == Reply(data).json() == {"note": "�", "price": 1.10}
    with pytest.raises(msgspec.DecodeError):
        Reply(b"{").json()
