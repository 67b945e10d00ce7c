"""Candles in payloads: every form that plugins write, to the last digit, and ``None`` for everything else."""

from __future__ import annotations

import json
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.candles import FIELDS, Candle, read_candle
from adapters.times import rfc3339
from compat import StreamData, StreamKey

EXPECTED = Candle(
    1_735_689_600 * 10**9, Decimal("1.10"), Decimal(2), Decimal("0.5"), Decimal("1.30"), Decimal("9.0000")
)
NUMBERS = '"open":1.10,"high":2,"low":0.5,"close":1.30,"volume":9.0000'
TEXTS = '"open":"1.10","high":"2","low":"0.5","close":"1.30","volume":"9.0000"'

FORMS = {
    "numbers": f'{{"timestamp":1735689600,{NUMBERS}}}',
    "texts": f'{{"openTime":1735689600,{TEXTS}}}',
    "generic": f'{{"symbol":"X","interval":"1m","timestamp":"2025-01-01T00:00:00Z",{TEXTS}}}',
    "another zone": f'{{"timestamp":"2025-01-01T01:00:00.000+01:00",{TEXTS}}}',
    "seconds with a fraction": f'{{"timestamp":1735689600.000,{TEXTS}}}',
    "seconds with an exponent": f'{{"timestamp":1.7356896e9,{TEXTS}}}',
    "seconds as a text": f'{{"timestamp":"1735689600",{TEXTS}}}',
    "one name is null": f'{{"timestamp":null,"openTime":1735689600,{TEXTS}}}',
    "a text cut within an emoji": f'{{"timestamp":1735689600,{TEXTS},"note":"\\ud83d"}}',
    "no UTF-8": f'{{"timestamp":1735689600,{TEXTS},"note":"\udcff"}}',
    "more than a candle": f'{{"timestamp":1735689600,{TEXTS},"trades":[{{"open":1}}],"closed":true}}',
}


@pytest.mark.parametrize("payload", FORMS.values(), ids=FORMS)
def test_every_form_is_read_as_the_same_candle(payload: str) -> None:
    candle = read_candle(payload.encode(errors="surrogateescape"))
    assert candle == EXPECTED
    assert str(candle.open) == "1.10"
    assert str(candle.volume) == "9.0000"


def test_an_item_has_the_view() -> None:
    key = StreamKey("ohlcv", "simex", "BTC-USDT")
    assert StreamData(key, 0, "ohlcv", FORMS["texts"].encode(), 0).candle() == EXPECTED
    assert StreamData(key, 0, "trade", b'{"price": 1}', 0).candle() is None


@pytest.mark.parametrize("text", ["0.1000000000000000055511151231257827", "123456789012345678901234567890.5", "1e-30"])
@pytest.mark.parametrize("quote", ["", '"'], ids=["number", "text"])
def test_no_digit_is_lost(text: str, quote: str) -> None:
    payload = f'{{"timestamp":1,"open":{quote}{text}{quote},"high":2,"low":2,"close":2,"volume":2}}'
    candle = read_candle(payload.encode())
    assert candle is not None
    assert candle.open == Decimal(text)


@pytest.mark.parametrize(
    ("time", "opened"),
    [
        ("1735689600.123456789", 1_735_689_600_123_456_789),
        ("0.1234567891", 123_456_789),
        ("-0.5", -500_000_000),
        ("-0.0000000001", -1),
        ('"2025-01-01T00:00:00.000000001Z"', 1_735_689_600_000_000_001),
        ("1e-999999", 0),
    ],
)
def test_times_are_integer_nanoseconds(time: str, opened: int) -> None:
    candle = read_candle(f'{{"timestamp":{time},{NUMBERS}}}'.encode())
    assert candle is not None
    assert candle.opened == opened


NO_CANDLES = {
    "nothing": "",
    "no JSON": "<html>",
    "null": "null",
    "a list": f"[{FORMS['numbers']}]",
    "a text": '"candle"',
    "no time": f"{{{NUMBERS}}}",
    "a time that is none": f'{{"timestamp":"yesterday",{NUMBERS}}}',
    "milliseconds": f'{{"timestamp":1735689600000,{NUMBERS}}}',
    "an enormous time": f'{{"timestamp":1e999999999,{NUMBERS}}}',
    "a time that is true": f'{{"timestamp":true,{NUMBERS}}}',
    "a price that is none": '{"timestamp":1,"open":"n/a","high":2,"low":2,"close":2,"volume":2}',
    "a price that is no number": '{"timestamp":1,"open":"NaN","high":2,"low":2,"close":2,"volume":2}',
    "an infinite price": '{"timestamp":1,"open":"Infinity","high":2,"low":2,"close":2,"volume":2}',
    "a price with spaces": '{"timestamp":1,"open":" 1 ","high":2,"low":2,"close":2,"volume":2}',
    "a price with separators": '{"timestamp":1,"open":"1_000","high":2,"low":2,"close":2,"volume":2}',
    "an exponent too large": '{"timestamp":1,"open":1e99999999999999999999,"high":2,"low":2,"close":2,"volume":2}',
    "more digits than a number has": f'{{"timestamp":1,"open":{"1" * 5_000},"high":2,"low":2,"close":2,"volume":2}}',
    "a price that is null": '{"timestamp":1,"open":null,"high":2,"low":2,"close":2,"volume":2}',
    "no volume": '{"timestamp":1,"open":1,"high":2,"low":2,"close":2}',
    "a trade": '{"timestamp":1,"price":"1.5","size":"2"}',
    "too deep": "[" * 100_000,
    "too deep inside": f'{{"x":{"[" * 100_000}',
}


@pytest.mark.parametrize("payload", NO_CANDLES.values(), ids=NO_CANDLES)
def test_what_is_no_candle_is_none(payload: str) -> None:
    assert read_candle(payload.encode()) is None


@given(st.binary())
def test_no_bytes_raise(data: bytes) -> None:
    read_candle(data)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.decimals().map(str),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=3,
)
names = [name for several in FIELDS.values() for name in several]


@given(st.dictionaries(st.sampled_from(names), values))
def test_no_payload_raises(payload: dict[str, object]) -> None:
    read_candle(json.dumps(payload).encode())


prices = st.decimals(allow_nan=False, allow_infinity=False)


@given(st.integers(-62_135_596_800 * 10**9, 253_402_300_799 * 10**9), st.tuples(*[prices] * 5), st.booleans())
def test_what_is_written_is_read(opened: int, numbers: tuple[Decimal, ...], quoted: bool) -> None:
    quote = '"' if quoted else ""
    fields = ("open", "high", "low", "close", "volume")
    rest = ",".join(f'"{name}":{quote}{value}{quote}' for name, value in zip(fields, numbers, strict=True))
    candle = read_candle(f'{{"timestamp":"{rfc3339(opened)}",{rest}}}'.encode())
    assert candle is not None
    assert candle.opened == opened
    assert attrs.astuple(candle)[1:] == numbers


def test_the_table_names_every_field() -> None:
    assert list(FIELDS) == [field.name for field in attrs.fields(Candle)]
