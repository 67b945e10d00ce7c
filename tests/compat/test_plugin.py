"""Opening plugins: from a path or bytes, of one kind or several, broken ones, and what an open one answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import wasmtime

from compat import (
    AdapterSettings,
    CompatError,
    ConfigurationError,
    DetectionError,
    KeyFormatError,
    NetworkPolicy,
    PluginCallError,
    PluginKind,
    PluginTrapError,
    StreamAdapter,
    StreamState,
    StreamUsageError,
    UnknownExportError,
    UnsupportedPluginError,
    UsageError,
    inspect,
    open_plugin,
)
from compat.demo.exchange import Exchange
from compat.plugin import Plugin
from tests.support.plugins import FIXTURES, MISBUILT, PluginFixture, candle_key, wat
from tests.support.simex import candle_of, candles
from tests.support.waiting import HANG, drain, guest_threads, until

if TYPE_CHECKING:
    from compat.plugin import Source

pytestmark = pytest.mark.usefixtures("nothing_left")

PLUGINS = {fixture.id: fixture for fixture in FIXTURES}
LEGACY, GENERIC, SLEEPING = (PLUGINS[name] for name in ("legacy-callback", "generic-blocking", "generic-sleeping"))
KEY_TEXT = "ohlcv:simex:BTC-USDT"
BOTH_KINDS = pytest.mark.parametrize("fixture", [LEGACY, GENERIC], ids=["legacy", "generic"])


def module(*exports: str) -> bytes:
    """A module whose exports all trap."""
    functions = " ".join(f'(func (export "{name}") (result i32) unreachable)' for name in exports)
    return bytes(wasmtime.wat2wasm(f"(module {functions})"))


async def refuse(source: Source, **options: Any) -> None:
    """Open what is not to be opened."""
    async with open_plugin(source, **options):
        pytest.fail("it is open")


TWO_FACED = module("start_stream", "stop_stream", "handle_stream_message", "prepare_stream")


@BOTH_KINDS
async def test_a_plugin_opens_from_a_text_a_path_and_bytes(fixture: PluginFixture) -> None:
    sources: tuple[Source, ...] = (str(fixture.path), fixture.path, fixture.path.read_bytes())
    for source in sources:
        async with open_plugin(source) as plugin:
            assert plugin.report.kind is fixture.kind
            assert plugin.report.path == (None if isinstance(source, bytes) else str(fixture.path))
            assert (await plugin.info()).name == fixture.title


async def test_a_plugin_is_named_after_its_file_its_digest_or_as_wished(tmp_path: Path) -> None:
    wasm = wat("traps")
    path = tmp_path / "woox.wasm"
    path.write_bytes(wasm)
    folder = tmp_path / "simex-blocking"
    folder.mkdir()
    (folder / "plugin.wasm").write_bytes(wasm)
    named: tuple[tuple[Source, dict[str, Any], str], ...] = (
        (path, {}, "woox"),
        (wasm, {}, f"plugin-{hashlib.sha256(wasm).hexdigest()[:8]}"),
        (path, {"name": "mine"}, "mine"),
        (folder / "plugin.wasm", {}, "simex-blocking"),
    )
    for source, options, name in named:
        async with open_plugin(source, **options) as plugin:
            assert plugin.name == name
            with pytest.raises(CompatError, match=f"'{name}'"):
                await plugin.call("missing")


async def test_a_plugin_in_the_present_folder_is_named_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plugin.wasm").write_bytes(wat("traps"))
    monkeypatch.chdir(tmp_path)
    async with open_plugin("plugin.wasm") as plugin:
        assert plugin.name == tmp_path.name


async def test_nothing_of_a_plugin_runs_before_the_first_stream_or_call() -> None:
    async with open_plugin(GENERIC.path, config={"api_key": "invalid"}) as plugin:
        plugin.stream(candle_key())
        assert guest_threads() == []


@pytest.mark.parametrize(
    ("kind", "export"),
    [
        (None, "start_stream"),
        ("generic", "start_stream"),
        (PluginKind.GENERIC, "start_stream"),
        ("legacy", "prepare_stream"),
        (PluginKind.LEGACY, "prepare_stream"),
    ],
)
async def test_a_module_with_both_interfaces_runs_as_the_kind_that_is_chosen(
    kind: PluginKind | str | None, export: str
) -> None:
    async with open_plugin(TWO_FACED, kind=kind) as plugin:
        assert plugin.report.kind is PluginKind.GENERIC
        async with plugin.stream(candle_key()) as stream:
            with pytest.raises(PluginTrapError) as caught:
                await anext(stream)
        assert caught.value.export == export


@pytest.mark.parametrize(
    ("source", "kind", "offered"),
    [
        (LEGACY.path, PluginKind.GENERIC, "Choose one of legacy"),
        (GENERIC.path, "legacy", "Choose one of generic"),
        (TWO_FACED, "ticker", "Choose one of generic, legacy"),
        (GENERIC.path, PluginKind.UNKNOWN, "Choose one of generic"),
    ],
)
async def test_a_kind_that_the_module_does_not_offer_is_refused(
    source: Source, kind: PluginKind | str, offered: str
) -> None:
    with pytest.raises(UnsupportedPluginError) as caught:
        await refuse(source, kind=kind, name="mine")
    assert caught.value.remedy == offered
    assert (caught.value.plugin, caught.value.kind) == ("mine", str(kind))


async def test_the_incomplete_one_of_two_interfaces_cannot_be_chosen() -> None:
    wasm = module("start_stream", "stop_stream", "handle_stream_message")
    with pytest.raises(UnsupportedPluginError, match="legacy"):
        await refuse(wasm, kind="legacy")


@pytest.mark.parametrize(
    ("wasm", "slug"),
    [
        (MISBUILT.read_bytes(), "go-command-module"),
        (b"<html>502 Bad Gateway</html>", "html"),
        (b"", "not-wasm"),
        (GENERIC.path.read_bytes()[:5_000], "truncated"),
        (module("start_stream"), "incomplete-interface"),
        (module("run"), "no-interface"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_module_that_cannot_run_is_refused_with_everything_that_was_found(
    tmp_path: Path, wasm: bytes, slug: str
) -> None:
    path = tmp_path / "broken.wasm"
    path.write_bytes(wasm)
    with pytest.raises(DetectionError) as caught:
        await refuse(path)
    report = caught.value.report
    assert [found.slug for found in caught.value.diagnostics] == [slug] == [found.slug for found in report.errors]
    assert report == inspect(path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy == report.errors[0].remedy.rstrip(".")


async def test_a_path_that_cannot_be_read_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await refuse(tmp_path / "missing.wasm")
    with pytest.raises(IsADirectoryError):
        await refuse(tmp_path)


async def test_what_has_not_been_opened_says_how_to_open_it() -> None:
    opening = open_plugin(LEGACY.path)
    with pytest.raises(AttributeError, match=r"has no 'stream': use 'async with open_plugin\(\.\.\.\)' or 'await' it"):
        opening.stream(candle_key())  # type: ignore[attr-defined]


async def test_the_event_loop_goes_on_while_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pipe.wasm"
    os.mkfifo(path)  # which blocks its reader until somebody writes, and the writer is on the event loop
    opening = asyncio.create_task(_open(path))
    descriptor = await _opened_for_writing(path)
    os.write(descriptor, wat("traps"))
    os.close(descriptor)
    async with await opening as plugin:
        assert plugin.report.kind is PluginKind.GENERIC


async def _open(path: Path) -> Plugin:
    return await open_plugin(path)


async def _opened_for_writing(path: Path) -> int:
    """Open a pipe for writing as soon as somebody reads it."""
    async with asyncio.timeout(HANG):
        while True:
            try:
                return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody does yet
                await asyncio.sleep(0.005)


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
