"""The values that cross between adapters and whoever streams through them, and the protocols."""

from __future__ import annotations

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
    PluginInfo,
    Stream,
    StreamAdapter,
    StreamData,
    StreamEvent,
    StreamKey,
    StreamState,
    StreamStats,
)
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


def test_the_payload_is_decoded_on_request() -> None:
    key = StreamKey("a", "b", "c")
    assert StreamData(key, 0, "a", b'{"x":[1]}', 0).json() == {"x": [1]}
    with pytest.raises(msgspec.DecodeError):
        StreamData(key, 0, "a", b"{", 0).json()


def test_the_adapter_has_every_member_of_the_contract() -> None:
    members = {name for name in vars(StreamAdapter) if not name.startswith("_")}
    assert members
    assert members <= set(dir(PluginAdapter))


async def test_an_adapter_stream_is_a_stream(key: StreamKey) -> None:
    stream = AdapterStream(key, lambda _: pytest.fail("it is never opened"))
    assert isinstance(stream, Stream)
