"""The texts of the protocol."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compat.demo import wire
from compat.demo.market import Market
from compat.demo.wire import Command


def test_a_command_is_parsed() -> None:
    text = '{"op":"subscribe","channel":"kline","symbol":"BTC-USDT","interval":"1m","id":1,"more":[]}'
    assert wire.parse(text) == Command(op="subscribe", channel="kline", symbol="BTC-USDT", interval="1m", id=1)


@pytest.mark.parametrize("word", ["ping", "pong"])
def test_a_heartbeat_may_be_said_in_the_servers_words(word: str) -> None:
    assert wire.parse(json.dumps({"event": word, "ts": 7})) == wire.parse(json.dumps({"op": word, "ts": 7}))
    assert wire.parse(json.dumps({"event": word})) == Command(op=word)


NO_COMMANDS = [b"", b"{", b"[]", b"{}", b'{"op":1}', b'{"op":"ping","id":[]}', b"\xff\xfe", b'{"event":"kline"}']


@pytest.mark.parametrize("text", NO_COMMANDS)
def test_what_is_no_command_is_none(text: bytes) -> None:
    assert wire.parse(text) is None


@given(st.binary())
def test_no_bytes_make_parsing_raise(text: bytes) -> None:
    wire.parse(text)


def test_fields_without_a_value_are_left_out() -> None:
    assert json.loads(wire.encode(event="error", id=None, code="x")) == {"event": "error", "code": "x"}


@given(st.integers(), st.integers(min_value=0, max_value=500), st.integers(min_value=0, max_value=2_000))
def test_a_candle_is_the_json_that_the_protocol_promises(seed: int, n: int, pad: int) -> None:
    candle = Market(seed, ("BTC-USDT",), ("1m",)).candle("BTC-USDT", "1m", n)
    expected = {
        "event": "kline",
        "channel": "kline",
        "symbol": "BTC-USDT",
        "interval": "1m",
        "t": candle.t,
        "o": candle.open,
        "h": candle.high,
        "l": candle.low,
        "c": candle.close,
        "v": candle.volume,
    }
    assert json.loads(wire.kline(candle, pad)) == expected | ({"pad": "x" * pad} if pad else {})
