"""Keys and their forms: a text, a plugin's JSON object, and a pickle."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import KeyFormatError
from adapters.keys import StreamKey
from detectors.errors import UsageError

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

# The separators of the text form, what percent-encoding uses, white space, and all of Unicode that UTF-8 carries.
texts = st.text(st.sampled_from(":?&=#%+ /\t\n\0;é€😀aA1-") | st.characters(exclude_categories=["Cs"]), max_size=12)
parts = texts.filter(bool)
keys: SearchStrategy[StreamKey] = st.builds(
    StreamKey,
    parts,
    parts,
    parts,
    st.dictionaries(parts, texts, max_size=4),
    st.none() | st.integers(0, 2**64 - 1),
)


@given(keys)
def test_parsing_undoes_the_text_form(key: StreamKey) -> None:
    assert StreamKey.parse(str(key)) == key
    assert str(StreamKey.parse(str(key))) == str(key)


@given(keys)
def test_the_text_form_is_printable_ascii_without_white_space(key: StreamKey) -> None:
    assert all("!" <= character <= "~" for character in str(key))


@given(keys)
def test_reading_the_wire_form_undoes_writing_it(key: StreamKey) -> None:
    assert StreamKey.from_wire(key.to_wire()) == key
    assert StreamKey.from_wire(msgspec.json.decode(msgspec.json.encode(key.to_wire()))) == key


@given(keys, st.randoms(use_true_random=False))
def test_the_order_of_parameters_makes_no_difference(key: StreamKey, random: Any) -> None:
    shuffled = list(key.parameters.items())
    random.shuffle(shuffled)
    other = attrs.evolve(key, parameters=dict(shuffled))
    assert other == key
    assert hash(other) == hash(key)
    assert str(other) == str(key)


@given(st.text(max_size=40) | st.text(st.sampled_from(":?&=#%a1\ud800"), max_size=20))
def test_parsing_any_text_gives_a_key_or_a_key_format_error(text: str) -> None:
    try:
        key = StreamKey.parse(text)
    except KeyFormatError as error:
        shown = str(error)
    else:
        shown = str(key)
        assert StreamKey.parse(shown) == key
    assert shown.encode()  # it can be printed, whatever the text held


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


@given(
    json_values
    | st.fixed_dictionaries(
        {"type": json_values, "source": json_values, "identifier": json_values},
        optional={"parameters": json_values, "connectionId": json_values},
    )
)
def test_reading_any_wire_value_gives_a_key_or_a_key_format_error(value: Any) -> None:
    try:
        key = StreamKey.from_wire(value)
    except KeyFormatError:
        return
    assert StreamKey.from_wire(key.to_wire()) == key


def test_the_text_form_is_the_documented_one() -> None:
    key = StreamKey("ohlcv", "woox", "PERP BTC/USDT:1", {"timeframe": "1m", "a&b": "="}, 7)
    assert str(key) == "ohlcv:woox:PERP%20BTC/USDT%3A1?a%26b=%3D&timeframe=1m#7"


def test_an_identifier_may_hold_colons_when_parsed() -> None:
    assert StreamKey.parse("trade:x:a:b").identifier == "a:b"


def test_the_wire_form_is_what_plugins_exchange() -> None:
    assert StreamKey("ohlcv", "woox", "X", {"a": "1"}).to_wire() == {
        "type": "ohlcv",
        "source": "woox",
        "identifier": "X",
        "parameters": {"a": "1"},
        "connectionId": None,
    }


@pytest.mark.parametrize("extra", [{}, {"parameters": None, "connectionId": None}, {"unknown": 1}])
def test_parameters_and_connection_may_be_missing_or_null_on_the_wire(extra: dict[str, Any]) -> None:
    key = StreamKey.from_wire({"type": "a", "source": "b", "identifier": "c", **extra})
    assert key == StreamKey("a", "b", "c")


def test_parameters_that_are_no_texts_are_taken_as_their_json_text() -> None:
    given_parameters = {"depth": 20, "raw": True, "level": 0.5, "interval": None, "timeframe": "1m"}
    wire = {"type": "a", "source": "b", "identifier": "c", "parameters": given_parameters}
    parameters = {"depth": "20", "raw": "true", "level": "0.5", "timeframe": "1m"}
    assert StreamKey.from_wire(wire) == StreamKey("a", "b", "c", parameters)


@pytest.mark.parametrize(("given_id", "read"), [(7.0, 7), (2.0**53, 2**53), (2**64 - 1, 2**64 - 1), ("7", 7)])
def test_a_connection_id_may_be_a_whole_float(given_id: object, read: int) -> None:
    wire = {"type": "a", "source": "b", "identifier": "c", "connectionId": given_id}
    assert StreamKey.from_wire(wire).connection_id == read


@pytest.mark.parametrize("given_id", [7.5, -1.0, 1e300, True, []])
def test_a_connection_id_that_is_no_whole_number_is_told(given_id: object) -> None:
    wire = {"type": "a", "source": "b", "identifier": "c", "connectionId": given_id}
    with pytest.raises(KeyFormatError, match=r"connectionId|connection id"):
        StreamKey.from_wire(wire)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "three parts"),
        ("a:b", "three parts"),
        ("a::c", "source of a stream key is empty"),
        (":b:c", "type of a stream key is empty"),
        ("a:b:", "identifier of a stream key is empty"),
        ("a:b:c?x", "'x' in stream key"),
        ("a:b:c?=1", "parameter name of a stream key is empty"),
        ("a:b:c?x=1&x=2", "stands twice"),
        ("a:b:c?x=1&%78=2", "stands twice"),
        ("a:b:c#", "not an unsigned number"),
        ("a:b:c#-1", "not an unsigned number"),
        ("a:b:c#٣", "not an unsigned number"),
        ("a:b:c#18446744073709551616", "not an unsigned 64-bit number"),
        pytest.param("a:b:c#" + "1" * 5_000, "not an unsigned number", id="more digits than Python reads"),
        ("a:b:%ff", "not percent-encoded UTF-8"),
        ("a:b:\ud800", "UTF-8 cannot carry"),
    ],
)
def test_what_is_wrong_with_a_text_is_told(text: str, problem: str) -> None:
    with pytest.raises(KeyFormatError, match=problem) as caught:
        StreamKey.parse(text)
    assert isinstance(caught.value, UsageError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((1, "b", "c"), "type of a stream key must be a text, not int"),
        (("a", "b", "c", {"x": 1}), "parameter 'x' of a stream key must be a text, not int"),
        (("a", "b", "c", {}, -1), "-1 is not an unsigned 64-bit number"),
        (("a", "b", "c", {}, 2**64), "is not an unsigned 64-bit number"),
    ],
)
def test_a_key_cannot_be_made_of_what_it_cannot_carry(arguments: tuple[Any, ...], problem: str) -> None:
    with pytest.raises(KeyFormatError, match=problem):
        StreamKey(*arguments)


def test_neither_a_key_nor_its_parameters_can_be_changed() -> None:
    given_parameters = {"a": "1"}
    key = StreamKey("a", "b", "c", given_parameters)
    given_parameters["a"] = "2"
    parameters: Any = key.parameters
    assert parameters == {"a": "1"}
    for change in (
        lambda: parameters.update(a="2"),
        lambda: parameters.__setitem__("a", "2"),
        lambda: parameters.pop("a"),
        lambda: parameters.__ior__({"a": "2"}),
        parameters.clear,
    ):
        with pytest.raises(TypeError, match=r"attrs\.evolve"):
            change()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        key.type = "x"  # type: ignore[misc]
    assert key == StreamKey("a", "b", "c", {"a": "1"})


def test_keys_that_differ_in_the_connection_alone_are_different() -> None:
    assert StreamKey("a", "b", "c", {}, 0) != StreamKey("a", "b", "c")


@given(keys)
def test_a_key_survives_json_and_pickle(key: StreamKey) -> None:
    assert msgspec.json.decode(msgspec.json.encode(key), type=StreamKey) == key
    assert pickle.loads(pickle.dumps(key)) == key
