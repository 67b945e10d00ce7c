"""An open plugin: what it answers, how it is configured, and how it closes."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest

from compat import (
    AdapterSettings,
    CompatError,
    ConfigurationError,
    KeyFormatError,
    NetworkPolicy,
    PluginCallError,
    StreamAdapter,
    StreamState,
    StreamUsageError,
    UnknownExportError,
    UsageError,
    open_plugin,
)
from compat.demo.exchange import Exchange
from compat.plugin import Plugin
from tests.support.opened import refuse
from tests.support.plugins import BOTH_KINDS, GENERIC, LEGACY, SLEEPING, PluginFixture, candle_key
from tests.support.simex import candle_of, candles
from tests.support.waiting import HANG, drain, guest_threads, until

pytestmark = pytest.mark.usefixtures("nothing_left")
KEY_TEXT = "ohlcv:simex:BTC-USDT"


@BOTH_KINDS
async def test_a_stream_takes_a_key_or_its_text_form(fixture: PluginFixture) -> None:
    async with (
        Exchange(mode="replay", rate=math.inf, limit=2) as exchange,
        open_plugin(fixture.path, rewrite=exchange.rewrites, allow_private=True) as plugin,
    ):
        for key in (candle_key(), str(candle_key())):
            async with plugin.stream(key) as stream:
                assert stream.key == candle_key()
                assert [candle_of(item) for item in await drain(stream, 2)] == candles(exchange, range(2))


async def test_a_text_that_is_no_key_is_refused() -> None:
    async with open_plugin(LEGACY.path) as plugin:
        with pytest.raises(KeyFormatError):
            plugin.stream("ohlcv")


@BOTH_KINDS
async def test_an_export_is_called_with_a_text_or_bytes(fixture: PluginFixture) -> None:
    async with open_plugin(fixture.path) as plugin:
        assert json.loads(await plugin.call("meta"))["pluginId"].startswith("simex-")
        configure = "set_credentials" if fixture is LEGACY else "plugin_configure"
        for data in ('{"api_key": ', b'{"api_key": '):
            with pytest.raises(PluginCallError, match="unexpected end of JSON"):
                await plugin.call(configure, data)
        for data in ('{"api_key": "invalid"}', b'{"api_key": "invalid"}'):
            with pytest.raises(PluginCallError, match="refuses the API key"):
                await plugin.call(configure, data)
        with pytest.raises(UnknownExportError) as caught:
            await plugin.call("get_everything")
        assert "meta" in caught.value.exports


@pytest.mark.parametrize("fixture", [GENERIC, SLEEPING], ids=["generic-blocking", "generic-sleeping"])
async def test_a_configuration_that_a_generic_plugin_accepts_without_a_word_is_accepted(fixture: PluginFixture) -> None:
    async with open_plugin(fixture.path, config={"api_key": "correct-horse", "nap_ms": 0}) as plugin:
        assert await plugin.call("meta")


async def test_a_configuration_counts_for_every_way_in() -> None:
    for options in (
        {"config": {"api_key": "invalid"}},
        {"settings": AdapterSettings(config={"api_key": "invalid"})},
        {"config": {"api_key": "invalid"}, "settings": AdapterSettings(config={"api_key": "valid"})},
    ):
        async with open_plugin(GENERIC.path, **options) as plugin:
            with pytest.raises(ConfigurationError):
                await plugin.call("meta")


async def test_an_empty_configuration_overrides_that_of_the_settings() -> None:
    settings = AdapterSettings(config={"api_key": "invalid"})
    async with open_plugin(GENERIC.path, config={}, settings=settings) as plugin:
        assert await plugin.call("meta")


async def test_a_later_change_of_the_configuration_given_changes_nothing() -> None:
    config = {"api_key": "valid"}
    async with open_plugin(GENERIC.path, config=config) as plugin:
        config["api_key"] = "invalid"
        assert await plugin.call("meta")


async def test_rewrites_go_before_those_of_the_settings_and_the_rest_of_the_policy_stays() -> None:
    async with Exchange(mode="replay", rate=math.inf, limit=1) as exchange:
        nowhere = (("wss://stream.simex.example", "ws://127.0.0.1:9"),)
        settings = AdapterSettings(policy=NetworkPolicy(rewrites=nowhere, allow_private=True))
        async with (
            open_plugin(LEGACY.path, rewrite=exchange.rewrites, settings=settings) as plugin,
            plugin.stream(candle_key()) as stream,
        ):
            await drain(stream, 1)
        narrow = AdapterSettings(policy=NetworkPolicy(only="wss://elsewhere.example/*"))
        async with (
            open_plugin(LEGACY.path, rewrite=exchange.rewrites, allow_private=True, settings=narrow) as plugin,
            plugin.stream(candle_key()) as stream,
        ):
            with pytest.raises(CompatError, match="the operator's list"):
                await drain(stream, 1)
        assert len(exchange.journal.connections) == 1


@BOTH_KINDS
async def test_closing_a_plugin_ends_its_streams(fixture: PluginFixture) -> None:
    async with (
        Exchange(rate=200) as exchange,
        open_plugin(fixture.path, rewrite=exchange.rewrites, allow_private=True) as plugin,
        plugin.stream(candle_key()) as stream,
    ):
        await drain(stream, 1)
        await plugin.aclose()
        assert [item async for item in stream] == []
        assert stream.state is StreamState.STOPPED
        await exchange.wait_for_disconnect(HANG)
        await plugin.aclose()


@BOTH_KINDS
async def test_a_closed_plugin_refuses_everything_and_starts_no_guest(fixture: PluginFixture) -> None:
    async with open_plugin(fixture.path) as plugin:
        await plugin.call("meta")
    await until(lambda: not guest_threads(), "its guest ends")
    with pytest.raises(StreamUsageError, match="has been closed"):
        plugin.stream(candle_key())
    with pytest.raises(StreamUsageError, match="has been closed"):
        await plugin.call("meta")
    with pytest.raises(StreamUsageError, match="has been closed"):
        await plugin.info()
    assert guest_threads() == []


async def test_a_plugin_that_was_never_used_can_be_closed() -> None:
    async with open_plugin(LEGACY.path) as plugin:
        assert isinstance(plugin, Plugin)
        await plugin.aclose()
        assert plugin.streams == ()


async def test_every_kind_is_run_by_an_adapter_that_keeps_the_contract() -> None:
    for fixture in (LEGACY, GENERIC):
        async with open_plugin(fixture.path) as plugin:
            assert isinstance(plugin._adapter, StreamAdapter)


@pytest.mark.parametrize(
    ("argument", "value", "problem"),
    [
        ("source", 5, "must be a path, or a module's bytes, not a value of type int"),
        ("config", "s3cret", "must be a mapping, or None, not a value of type str"),
        ("kind", 5, "must be the name of a kind, or None, not a value of type int"),
        ("name", 5, "must be a text, or None, not 5"),
        ("rewrite", "wss://a?s3cret", "must be a mapping, or None, not a value of type str"),
        ("allow_private", "no", "must be True or False, not 'no'"),
        ("allow_private", 1, "must be True or False, not 1"),
        ("settings", 5, "must be an instance of AdapterSettings, or None, not a value of type int"),
    ],
)
async def test_an_argument_that_is_not_what_it_has_to_be_is_refused(argument: str, value: Any, problem: str) -> None:
    given: dict[str, Any] = {"source": GENERIC.path, argument: value}
    with pytest.raises(UsageError) as caught:
        await refuse(**given)
    assert str(caught.value) == f"open_plugin: {argument} {problem}. Correct open_plugin({argument}=...)"


async def test_a_rewrite_of_something_else_than_prefixes_is_refused() -> None:
    rewrite: Any = {5: None}
    with pytest.raises(UsageError, match="rewrites must be pairs of URL prefixes"):
        await refuse(GENERIC.path, rewrite=rewrite)


@pytest.mark.parametrize(
    ("method", "given", "problem"),
    [
        ("stream", {"key": 5}, "key must be a StreamKey, or its text, not a value of type int"),
        ("stream", {"key": KEY_TEXT, "idle_limit": "5"}, "above 0, or None, not '5'. Correct stream(idle_limit=...)"),
        ("stream", {"key": KEY_TEXT, "idle_limit": 0}, "above 0, or None, not 0. Correct stream(idle_limit=...)"),
        ("call", {"export": None}, "export must be a text, not None. Correct call(export=...)"),
        ("call", {"export": "meta", "timeout": "5"}, "0 or more, not '5'. Correct call(timeout=...)"),
        ("call", {"export": "meta", "timeout": math.nan}, "0 or more, not nan. Correct call(timeout=...)"),
    ],
)
async def test_what_a_method_is_given_is_looked_at_before_anything_runs(
    method: str, given: dict[str, Any], problem: str
) -> None:
    async with open_plugin(GENERIC.path, name="mine") as plugin:
        with pytest.raises(UsageError, match=f"^plugin 'mine': .*{re.escape(problem)}") as caught:
            await getattr(plugin, method)(**given)
        assert type(caught.value) is UsageError
        assert plugin.streams == ()
