"""One `PluginInfo` from two answers, whatever they hold (ABI.md, 3 and 6)."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import PluginInfo
from adapters.metadata import merge_info


def test_the_two_answers_are_merged() -> None:
    plugin_info = {
        "name": "Stream",
        "version": "2",
        "streamTypes": ["ohlcv", "trade"],
        "networkTargets": ["wss://a/*", "wss://b/*"],
    }
    meta = {
        "name": "Meta",
        "version": "1",
        "author": "someone",
        "description": "what it does",
        "resources": {"allowedNetworkTargets": [{"pattern": "wss://b/*"}, {"pattern": "https://c/*"}]},
    }
    assert merge_info("file", plugin_info, meta, ["why"]) == PluginInfo(
        name="Stream",
        version="2",
        author="someone",
        description="what it does",
        stream_types=("ohlcv", "trade"),
        network_targets=("wss://a/*", "wss://b/*", "https://c/*"),
        problems=("why",),
    )


def test_without_answers_the_file_names_the_plugin_and_nothing_is_declared() -> None:
    assert merge_info("file", {}, {}) == PluginInfo(name="file")


def test_values_of_the_wrong_type_count_as_missing() -> None:
    wrong = {"name": 5, "version": None, "streamTypes": "ohlcv", "networkTargets": [1, {"pattern": 2}, {}, "wss://a"]}
    meta = {"name": "", "author": ["x"], "resources": ["wss://b"]}
    assert merge_info("file", wrong, meta) == PluginInfo(name="file", network_targets=("wss://a",))


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["name", "version", "author", "description", "streamTypes", "networkTargets", "resources"]
answers = st.dictionaries(
    st.sampled_from(FIELDS), json_values | st.fixed_dictionaries({"allowedNetworkTargets": json_values})
)


@given(answers, answers)
def test_any_two_answers_give_texts_only(plugin_info: dict[str, Any], meta: dict[str, Any]) -> None:
    info = merge_info("file", plugin_info, meta)
    assert info.name
    for value in (info.name, info.version, info.author, info.description, *info.stream_types, *info.network_targets):
        assert isinstance(value, str)
