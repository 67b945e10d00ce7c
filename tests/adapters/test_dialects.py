"""The two dialects as data: what is asked, and how the answers are read (ABI.md, 2a and 2b)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import StreamKey
from adapters.dialects import DIALECTS, PARAMETERS, StreamSetup, same_parameters
from detectors.rules import INTERFACES, PluginKind

CALLBACK, COMMAND = DIALECTS["callback"], DIALECTS["command"]
ROWS = {row.dialect: row for row in INTERFACES if row.kind == PluginKind.LEGACY}
MARKER = {"_stream": True, "streamID": "s-1", "websocketUrl": "wss://x/ws"}


def test_the_dialects_are_those_that_the_detector_tells_apart() -> None:
    assert set(DIALECTS) == set(ROWS)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_dialect_names_exports_that_the_detector_knows(name: str) -> None:
    dialect = DIALECTS[name]
    named = {dialect.configure, dialect.prepare, dialect.connection_event, dialect.shutdown} - {None}
    assert named <= set(ROWS[name].exports)
    assert dialect.prepare in ROWS[name].required
    assert dialect.name == name


@pytest.mark.parametrize(
    ("parameters", "asked"),
    [
        ({}, {"symbol": "BTC", "private": False}),
        ({"timeframe": "1m"}, {"symbol": "BTC", "private": False, "interval": "1m"}),
        ({"interval": "5m"}, {"symbol": "BTC", "private": False, "interval": "5m"}),
        (
            {"timeframe": "1m", "interval": "5m"},
            {"symbol": "BTC", "private": False, "interval": "5m", "timeframe": "1m"},
        ),
        ({"private": "true"}, {"symbol": "BTC", "private": True}),
        ({"private": "False"}, {"symbol": "BTC", "private": False}),
        ({"private": "perhaps"}, {"symbol": "BTC", "private": "perhaps"}),
        ({"symbol": "other", "depth": "5"}, {"symbol": "other", "private": False, "depth": "5"}),
        (
            {"market": "perp", "assetType": "spot"},
            {"symbol": "BTC", "private": False, "market": "perp", "assetType": "spot"},
        ),
    ],
)
def test_the_callback_dialect_prepares_with_symbol_and_interval(
    parameters: dict[str, str], asked: dict[str, Any]
) -> None:
    key = StreamKey("ohlcv", "x", "BTC", parameters)
    assert CALLBACK.request(key, "s-1") == {"streamId": "s-1", "streamType": "ohlcv", "parameters": asked}


@pytest.mark.parametrize(
    ("parameters", "asked"),
    [
        ({}, {"market": {"symbol": "BTC"}}),
        ({"timeframe": "1m"}, {"market": {"symbol": "BTC"}, "timeframe": "1m"}),
        ({"interval": "1m"}, {"market": {"symbol": "BTC"}, "timeframe": "1m"}),
        ({"interval": "1m", "timeframe": "5m"}, {"market": {"symbol": "BTC"}, "timeframe": "5m", "interval": "1m"}),
        ({"symbol": "other"}, {"market": {"symbol": "other"}}),
        ({"market": "perp"}, {"market": {"symbol": "BTC", "market": "perp"}}),
        ({"private": "true"}, {"market": {"symbol": "BTC"}, "private": True}),
        ({"assetType": "spot", "depth": "5"}, {"market": {"symbol": "BTC", "assetType": "spot"}, "depth": "5"}),
    ],
)
def test_the_command_dialect_commands_with_market_and_timeframe(
    parameters: dict[str, str], asked: dict[str, Any]
) -> None:
    key = StreamKey("ohlcv", "x", "BTC", parameters)
    assert COMMAND.request(key, "ignored") == {"name": "ohlcvStream", "params": asked}


NAMES = st.sampled_from([*PARAMETERS, "depth", "streamId", "params"]) | st.text(
    st.characters(codec="utf-8"), min_size=1
)


@pytest.mark.parametrize("name", DIALECTS)
@given(st.sets(NAMES), st.sampled_from(["true", "false"]))
def test_no_parameter_of_a_key_is_lost(name: str, names: set[str], private: str) -> None:
    parameters = {each: f"value {number}" for number, each in enumerate(sorted(names))}
    if "private" in parameters:
        parameters["private"] = private
    request = DIALECTS[name].request(StreamKey("ohlcv", "x", "BTC", parameters), "s-1")
    found = list(leaves(request["parameters" if name == "callback" else "params"]))
    for each, value in parameters.items():
        assert found.count(value if each != "private" else private == "true") == 1, each
    if "symbol" not in parameters:
        assert found.count("BTC") == 1


def leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    else:
        yield value


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("parameter interval is missing", True),
        ("Timeframe: required", True),
        ("unknown_interval: no interval 7m", True),
        ("the intervals between us", False),
        ("no such market", False),
        ("", False),
    ],
)
def test_a_plugin_that_speaks_of_one_word_is_explained_by_the_other(said: str, told: bool) -> None:
    sentence = "timeframe and interval are the same parameter of a key: timeframe=... is enough"
    assert same_parameters(said) == (sentence if told else "")


def test_a_full_answer_of_the_callback_dialect_is_read() -> None:
    answer = {
        "success": True,
        "websocketUrl": "wss://x/ws",
        "headers": {"A": "b"},
        "subprotocol": "v1",
        "initialMessages": ["one", "two"],
    }
    assert CALLBACK.setup(answer, "s-1") == StreamSetup("s-1", "wss://x/ws", {"A": "b"}, "v1", ("one", "two"))


def test_a_full_marker_of_the_command_dialect_is_read() -> None:
    marker = {**MARKER, "headers": {"A": "b"}, "initialMessages": ["one"], "streamContext": {"n": 1}}
    expected = StreamSetup("s-1", "wss://x/ws", {"A": "b"}, None, ("one",), {"n": 1})
    assert COMMAND.setup({"result": True, "data": marker}, "ignored") == expected


def test_what_may_be_missing_may_be_missing_null_or_empty() -> None:
    bare = StreamSetup("s-1", "wss://x/ws")
    assert CALLBACK.setup({"websocketUrl": "wss://x/ws"}, "s-1") == bare
    nulls = {"websocketUrl": "wss://x/ws", "headers": None, "initialMessages": None, "subprotocol": ""}
    assert CALLBACK.setup(nulls, "s-1") == bare


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"websocketUrl": None}, "no websocketUrl"),
        ({"websocketUrl": ""}, "no websocketUrl"),
        ({"websocketUrl": 5}, "no websocketUrl"),
        ({"headers": ["a"]}, "headers are no object of texts"),
        ({"headers": {"a": 1}}, "headers are no object of texts"),
        ({"initialMessages": "one"}, "initialMessages are no list of texts"),
        ({"initialMessages": [{"op": "subscribe"}]}, "initialMessages are no list of texts"),
        ({"subprotocol": 5}, "subprotocol is no text"),
    ],
)
def test_both_dialects_tell_what_is_wrong_with_a_set_up(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CALLBACK.setup({"websocketUrl": "wss://x/ws", **change}, "s-1")
    with pytest.raises(ValueError, match=problem):
        COMMAND.setup({"data": {**MARKER, **change}}, "s-1")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "no StreamMarker"),
        ([], "no StreamMarker"),
        ({}, "no StreamMarker"),
        ({**MARKER, "_stream": "true"}, "no StreamMarker"),
        ({**MARKER, "streamID": ""}, "has no streamID"),
        ({**MARKER, "streamID": 1}, "has no streamID"),
    ],
)
def test_an_answer_without_marker_is_told(data: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        COMMAND.setup({"result": True, "data": data}, "s-1")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["websocketUrl", "headers", "subprotocol", "initialMessages", "streamContext", "_stream", "streamID"]


@pytest.mark.parametrize("name", DIALECTS)
@given(st.dictionaries(st.sampled_from(FIELDS), json_values) | st.fixed_dictionaries({"data": json_values}))
def test_any_answer_gives_a_set_up_or_a_value_error(name: str, answer: dict[str, Any]) -> None:
    for whole in (answer, {"data": {**MARKER, **answer}}):
        try:
            setup = DIALECTS[name].setup(whole, "s-1")
        except ValueError:
            continue
        assert setup.url
        assert setup.stream_id
        assert setup.subprotocol is None or isinstance(setup.subprotocol, str)


def test_a_set_up_does_not_show_what_may_be_secret() -> None:
    setup = StreamSetup("s-1", "wss://x", {"Authorization": "s3cret"}, None, ('{"key":"s3cret"}',))
    assert "s3cret" not in repr(setup)
