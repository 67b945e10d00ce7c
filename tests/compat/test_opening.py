"""Opening plugins: from a path or bytes, of one kind or several, and broken ones."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import wasmtime

from compat import (
    AdapterSettings,
    CompatError,
    DetectionError,
    InspectionBounds,
    PluginKind,
    PluginTrapError,
    UnsupportedPluginError,
    inspect,
    open_plugin,
)
from compat.plugin import Plugin
from tests.support.plugins import MISBUILT, PluginFixture, candle_key, wat
from tests.support.waiting import HANG, guest_threads

if TYPE_CHECKING:
    from compat.plugin import Source
from tests.support.opened import refuse
from tests.support.plugins import BOTH_KINDS, GENERIC, LEGACY

pytestmark = pytest.mark.usefixtures("nothing_left")


def module(*exports: str) -> bytes:
    """A module whose exports all trap."""
    functions = " ".join(f'(func (export "{name}") (result i32) unreachable)' for name in exports)
    return bytes(wasmtime.wat2wasm(f"(module {functions})"))


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


async def test_how_much_of_a_module_is_read_when_it_is_opened_can_be_chosen() -> None:
    wasm = module("start_stream", "stop_stream")
    async with open_plugin(wasm, settings=AdapterSettings(inspection=InspectionBounds(max_exports=2))):
        pass
    with pytest.raises(DetectionError, match="The module has 2 exports; 1 are read"):
        await open_plugin(wasm, settings=AdapterSettings(inspection=InspectionBounds(max_exports=1)))
