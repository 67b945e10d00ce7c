"""One `PluginInfo` from two answers, whatever they hold (ABI.md, 3 and 6), held against the module."""

from __future__ import annotations

from typing import Any

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

from adapters.fields import ConfigurationField
from adapters.metadata import METADATA_EXPORTS, Answers, AnswersCache, merge_info
from adapters.plugin_info import PluginInfo
from adapters.rate_limits import RateLimit
from detectors.report import ModuleReport, inspect


def module(*imports: str, exports: tuple[str, ...] = ("start_stream", "stop_stream")) -> ModuleReport:
    lines = [f'(import "env" "{name}" (func (param i64) (result i64)))' for name in imports]
    lines += [f'(func (export "{name}") (result i32) i32.const 0)' for name in exports]
    return inspect(bytes(wasmtime.wat2wasm(f"(module {' '.join(lines)})")))


QUIET = module()
STREAMS = module("ws_connect", "ws_receive", "http_request", "publish_stream_data")


def merged(
    plugin_info: dict[str, Any] | None = None, meta: dict[str, Any] | None = None, report: ModuleReport = QUIET
) -> PluginInfo:
    return merge_info("file", Answers(plugin_info or {}, meta or {}), report)


def test_the_two_answers_are_merged() -> None:
    plugin_info = {
        "name": "Stream",
        "version": "2",
        "streamTypes": ["ohlcv", "trade"],
        "networkTargets": ["wss://a/*", "wss://b/*"],
    }
    meta = {
        "name": "Stream",
        "version": "2",
        "author": "someone",
        "description": "what it does",
        "resources": {"allowedNetworkTargets": [{"pattern": "wss://b/*"}, {"pattern": "https://c/*"}]},
    }
    assert merge_info("file", Answers(plugin_info, meta, ("why",)), STREAMS) == PluginInfo(
        name="Stream",
        version="2",
        author="someone",
        description="what it does",
        stream_types=("ohlcv", "trade"),
        network_targets=("wss://a/*", "wss://b/*", "https://c/*"),
        problems=("why",),
    )


def test_without_answers_the_file_names_the_plugin_and_nothing_is_declared() -> None:
    assert merged() == PluginInfo(name="file")


@pytest.mark.parametrize(
    ("plugin_info", "meta", "told"),
    [
        ({"name": 5}, {}, "plugin_info: name is no text and was left out"),
        ({}, {"version": ["1"]}, "meta: version is no text and was left out"),
        ({"streamTypes": "ohlcv"}, {}, "plugin_info: streamTypes is no list of texts; what is none was left out"),
        ({"streamTypes": ["ohlcv", 1]}, {}, "plugin_info: streamTypes is no list of texts; what is none was left out"),
        (
            {"networkTargets": {}},
            {},
            "plugin_info: networkTargets is no list of URL patterns; what is none was left out",
        ),
        (
            {},
            {"resources": {"allowedNetworkTargets": [7]}},
            'meta: resources.allowedNetworkTargets is no list of objects {"pattern": text}; what is none was left out',
        ),
    ],
)
def test_values_of_the_wrong_type_count_as_missing_and_are_told(
    plugin_info: dict[str, Any], meta: dict[str, Any], told: str
) -> None:
    info = merged(plugin_info, meta)
    assert info.discrepancies == (told,)
    assert attributes_are_texts(info)


@pytest.mark.parametrize(
    ("plugin_info", "meta", "report", "told"),
    [
        ({"version": "1"}, {"version": "2"}, QUIET, "plugin_info says version '1' and meta '2'; the first is used"),
        (
            {},
            {},
            STREAMS,
            "it imports ws_connect and http_request and declares no network targets: it will reach nothing",
        ),
        (
            {"networkTargets": ["wss://a/*"]},
            {},
            module("publish_stream_data"),
            "it declares network targets and imports neither ws_connect nor http_request: it cannot reach them",
        ),
        ({"type": "legacy"}, {}, QUIET, "it says that it is a legacy plugin, and the module is generic"),
        (
            {"streamTypes": ["ohlcv"]},
            {},
            module(exports=("meta",)),
            "it declares stream types and has no stream interface",
        ),
    ],
)  # fmt: skip
def test_what_it_says_is_held_against_itself_and_the_module(
    plugin_info: dict[str, Any], meta: dict[str, Any], report: ModuleReport, told: str
) -> None:
    assert merged(plugin_info, meta, report).discrepancies == (told,)


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("*", "is no URL pattern"),
        ("api.woox.io", "is no URL pattern"),
        ("wss://*", "names no host"),
        ("wss://*.*/x", "names no host"),
        ("ftp://host/*", "has none of the schemes ws, http, wss, https"),
    ],
)
def test_a_network_target_that_allows_nothing_is_told(pattern: str, fault: str) -> None:
    info = merged({"networkTargets": [pattern]}, report=STREAMS)
    assert info.network_targets == (pattern,)
    assert info.discrepancies == (f"the network target {pattern!r} {fault}, so nothing is reached by it",)


def test_a_title_beside_a_name_is_no_discrepancy() -> None:
    info = merged({"name": "simex-spot", "version": "1"}, {"name": "SimEx Spot", "version": "1"})
    assert (info.name, info.discrepancies) == ("simex-spot", ())


@pytest.mark.parametrize("kind", ["generic", "Generic", "exchange", ""])
def test_a_type_that_fits_or_is_no_kind_is_no_discrepancy(kind: str) -> None:
    assert merged({"type": kind}).discrepancies == ()


def test_stubs_that_were_called_are_told() -> None:
    answers = Answers({"name": "A"}, called={"plugin_info": ("http_request",), "meta": ("ws_connect", "ws_send")})
    assert merge_info("file", answers, QUIET).discrepancies == (
        "plugin_info calls http_request, a stub while metadata is read: what it says may depend on that",
        "meta calls ws_connect and ws_send, a stub while metadata is read: what it says may depend on that",
    )


TARGETS = {"networkTargets": [f"host{n}" for n in range(100)]}


def test_more_discrepancies_than_somebody_reads_are_not_told() -> None:
    told = merged(TARGETS, report=STREAMS).discrepancies
    assert told[-1] == "and more"
    assert len(set(told)) == len(told) == 21
    assert all("host" in each for each in told[:-1])


@pytest.mark.parametrize(("count", "last"), [(20, "'host19'"), (21, "and more")])
def test_twenty_discrepancies_are_all_told(count: int, last: str) -> None:
    told = merged({"networkTargets": TARGETS["networkTargets"][:count]}, report=STREAMS).discrepancies
    assert len(told) == count
    assert last in told[-1]


def test_what_the_module_shows_is_told_before_a_long_list_of_targets() -> None:
    told = merged({**TARGETS, "type": "legacy", "version": 1}, report=STREAMS).discrepancies
    assert "plugin_info: version is no text and was left out" in told
    assert "it says that it is a legacy plugin, and the module is generic" in told


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(
    ["name", "version", "author", "description", "streamTypes", "networkTargets", "resources", "type"]
)
ANSWER = st.dictionaries(FIELDS, JSON | st.dictionaries(st.just("allowedNetworkTargets"), JSON), max_size=8)


@given(plugin_info=ANSWER, meta=ANSWER)
def test_any_two_answers_give_texts_only(plugin_info: dict[str, Any], meta: dict[str, Any]) -> None:
    info = merged(plugin_info, meta, STREAMS)
    assert attributes_are_texts(info)
    assert all(told.isprintable() for told in info.discrepancies)


def attributes_are_texts(info: PluginInfo) -> bool:
    texts = (info.name, info.version, info.author, info.description)
    return all(isinstance(text, str) for text in (*texts, *info.stream_types, *info.network_targets))


def test_answers_are_kept_by_digest_the_latest_ones() -> None:
    cache = AnswersCache(2)
    one, two, three = (Answers({"name": name}) for name in "123")
    cache.put("1", one)
    cache.put("2", two)
    assert cache.get("1") is one
    cache.put("3", three)
    assert (cache.get("1"), cache.get("2"), cache.get("3")) == (one, None, three)


def test_answers_with_problems_or_without_a_digest_are_not_kept() -> None:
    cache = AnswersCache(2)
    cache.put("1", Answers(problems=("meta: hung",)))
    cache.put("", Answers())
    assert (cache.get("1"), cache.get("")) == (None, None)


def test_huge_answers_are_not_kept() -> None:
    cache = AnswersCache(4)
    large, huge = (Answers(meta={"name": "x" * size}) for size in (60_000, 70_000))
    many = Answers({"streamTypes": ["ohlcv"] * 10_000})
    for digest, answers in (("large", large), ("huge", huge), ("many", many)):
        cache.put(digest, answers)
    assert (cache.get("large"), cache.get("huge"), cache.get("many")) == (large, None, None)


def test_an_answer_that_is_too_huge_to_be_kept_takes_no_others_place() -> None:
    cache = AnswersCache(1)
    cache.put("1", Answers({"name": "one"}))
    cache.put("2", Answers({"name": "x" * 100_000}))
    assert cache.get("1") == Answers({"name": "one"})


def test_declared_fields_and_limits_stand_beside_it_and_what_is_odd_about_them_is_told() -> None:
    lists: dict[str, list[Any]] = {
        "get_configuration_fields": [{"name": "apiKey", "required": True}, {"label": "no name"}],
        "get_credential_fields": ["apiKey", "pin"],
        "get_rate_limits": [{"command": "*", "scope": "ip", "rps": 1, "burst": 1}, 5],
    }
    report = module(exports=("start_stream", "stop_stream", "plugin_configure"))
    info = merge_info("file", Answers(meta={"pluginId": "simex"}, lists=lists), report)
    assert info.plugin_id == "simex"
    assert info.fields == (ConfigurationField("apiKey", required=True), ConfigurationField("pin"))
    assert info.rate_limits == (RateLimit("*", ("ip",), 1, 1),)
    assert info.discrepancies == (
        "get_configuration_fields: a field without a name was left out",
        "get_rate_limits: a row that names no command was left out",
    )
    assert merge_info("file", Answers(meta={"pluginId": 5}), QUIET).plugin_id == ""


@pytest.mark.parametrize(
    ("output", "fields"),
    [
        (b'["a"]', ["a"]),
        (b'{"fields": ["a"]}', ["a"]),
        (b'{"success": true, "data": ["a"]}', ["a"]),
        (b"null", []),
        (b'{"fields": null}', []),
    ],
)
def test_fields_may_stand_in_an_object(output: bytes, fields: list[str]) -> None:
    assert METADATA_EXPORTS["get_credential_fields"](output) == fields


@pytest.mark.parametrize("output", [b"", b"5", b'{"apiKey": {"required": true}}', b"<html>"])
def test_what_is_no_list_of_fields_is_no_answer(output: bytes) -> None:
    with pytest.raises(ValueError, match="it is "):
        METADATA_EXPORTS["get_credential_fields"](output)


def test_what_a_plugin_has_no_way_to_take_is_not_required_and_told() -> None:
    fields = {"get_credential_fields": [{"name": "api_key", "required": True}, {"name": "note"}]}
    info = merge_info("file", Answers(lists=fields), QUIET)
    assert info.fields == (ConfigurationField("api_key"), ConfigurationField("note"))
    assert info.discrepancies == ("it requires api_key and exports nothing that takes a configuration",)
