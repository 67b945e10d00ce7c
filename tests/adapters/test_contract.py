"""The values that cross between adapters and whoever streams through them, and the protocols."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.adapter import PluginAdapter
from adapters.contract import (
    EventKind,
    Stream,
    StreamAdapter,
    StreamData,
    StreamEvent,
    StreamKey,
    StreamState,
    StreamStats,
)
from adapters.plugin_info import PluginInfo
from adapters.stream import AdapterStream

texts = st.text(max_size=12)
keys = st.builds(
    StreamKey,
    texts.filter(bool),
    texts.filter(bool),
    texts.filter(bool),
    st.dictionaries(texts.filter(bool), texts, max_size=3),
    st.none() | st.integers(0, 2**64 - 1),
)
numbers = st.integers(-(2**63), 2**63 - 1)
values = st.one_of(
    keys,
    st.builds(StreamData, keys, numbers, texts, st.binary(max_size=20), st.integers(0, 2**63 - 1)),
    st.builds(
        StreamEvent,
        st.sampled_from(EventKind),
        numbers,
        st.integers(0, 2**63 - 1),
        texts,
        st.none() | st.sampled_from(StreamState),
        st.none() | st.integers(0, 2**63 - 1),
        st.integers(1, 2**63 - 1),
        st.none() | st.integers(0, 2**63 - 1),
    ),
    st.builds(
        StreamStats,
        **{
            field.name: st.floats(0, 1e9) if "float" in str(field.type) else st.integers(0, 2**63 - 1)
            for field in attrs.fields(StreamStats)
        },
    ),
    st.builds(PluginInfo, texts, texts, texts, texts, *[st.lists(texts, max_size=3).map(tuple)] * 3),
)


@given(values)
def test_every_value_survives_json_and_pickle(value: Any) -> None:
    assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value
    assert pickle.loads(pickle.dumps(value)) == value


def test_an_event_says_where_it_stands() -> None:
    one = StreamEvent(EventKind.GAP, 0, 3, "")
    several = attrs.evolve(one, count=5, until=9)
    assert (one.places, one.where) == (range(3, 4), "item 3")
    assert (several.places, several.where) == (range(3, 10), "items 3 to 9")
    assert msgspec.to_builtins(several)["count"] == 5
    assert msgspec.to_builtins(several)["until"] == 9


def test_the_payload_is_decoded_on_request() -> None:
    key = StreamKey("a", "b", "c")
    assert StreamData(key, 0, "a", b'{"x":[1]}', 0).json() == {"x": [1]}
    with pytest.raises(msgspec.DecodeError):
        StreamData(key, 0, "a", b"{", 0).json()


def members(kind: type) -> dict[str, object]:
    """The public members of a class and its asynchronous protocol: how each is called, and with what defaults."""
    own = ("__aenter__", "__aexit__", "__aiter__", "__anext__")
    found = {name: value for name, value in vars(kind).items() if not name.startswith("_") or name in own}
    return {name: shape(value) for name, value in found.items()}


def shape(member: object) -> object:
    if not inspect.isfunction(member):
        return type(member)
    parameters = inspect.signature(member).parameters.values()
    return inspect.iscoroutinefunction(member), [(each.name, each.kind, each.default) for each in parameters]


@pytest.mark.parametrize(("contract", "kind"), [(StreamAdapter, PluginAdapter), (Stream, AdapterStream)])
def test_every_member_of_the_contract_is_there_and_called_in_the_same_way(contract: type, kind: type) -> None:
    promised = members(contract)
    assert "aclose" in promised
    assert {name: how for name, how in members(kind).items() if name in promised} == promised
