"""A third kind of plugin is one row in the table of interfaces and one file in ``adapters/``, and nothing else.

Here it is the polled kind: the host asks the plugin for one item after the other, until there is none.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import TYPE_CHECKING

import pytest
import wasmtime

import adapters
from adapters.errors import UnsupportedPluginError
from compat import DetectionError, PluginKind, StreamKey, StreamManager, StreamState, inspect, open_plugin
from detectors.classify import classify
from detectors.diagnostics import diagnose
from detectors.rules import INTERFACES, Interface

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("nothing_left")

ROW = Interface(kind=PluginKind("polled"), dialect=None, marks=("poll",), required=("poll_interval",), precedence=5)

FILE = '''
"""The adapter for polled plugins: the host asks for one item after the other."""

from adapters.adapter import PluginAdapter
from adapters.host import GuestHooks, PluginHost


async def takes_no_configuration(guest):
    pass


def ADAPTER(name, wasm, report, settings):
    host = PluginHost(name, wasm, report, settings, takes_no_configuration)
    return PluginAdapter(host, lambda stream: PolledDriver(host, stream))


class PolledDriver:
    def __init__(self, host, stream):
        self.host, self.stream, self.live = host, stream, None

    async def run(self):
        key, clock = self.stream.key, self.stream.clock
        self.live = await self.host.make_guest(GuestHooks())
        while data := await self.live.guest.call("poll", b"", timeout=5):
            await self.stream.offer_here(key, clock(), key.type, data)

    async def aclose(self):
        if self.live is not None:
            await self.live.aclose()

'''

# poll answers {"n":0}, {"n":1}, ... {"n":4}, and then nothing.
PLUGIN = bytes(
    wasmtime.wat2wasm(r"""
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
  (memory 1)
  (data (i32.const 0) "{\"n\":0}")
  (global $n (mut i32) (i32.const 0))
  (func (export "poll_interval") (result i32) (i32.const 0))
  (func (export "poll") (result i32)
    (local $block i64) (local $i i32)
    (if (i32.eq (global.get $n) (i32.const 5)) (then (return (i32.const 0))))
    (i32.store8 (i32.const 5) (i32.add (i32.const 48) (global.get $n)))
    (global.set $n (i32.add (global.get $n) (i32.const 1)))
    (local.set $block (call $alloc (i64.const 7)))
    (loop $next
      (call $store_u8
        (i64.add (local.get $block) (i64.extend_i32_u (local.get $i)))
        (i32.load8_u (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 7))))
    (call $output_set (local.get $block) (i64.const 7))
    (i32.const 0)))
""")
)
ITEMS = [{"n": n} for n in range(5)]
KEY = StreamKey("count", "counter", "anything")


@pytest.fixture
def row(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row, as if it stood in ``detectors.rules.INTERFACES``: that table is the default of both its readers."""
    table = (*INTERFACES, ROW)
    monkeypatch.setattr(classify, "__defaults__", (table,))
    monkeypatch.setattr(diagnose, "__defaults__", (table,))


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The file, as if it stood in ``adapters/``."""
    (tmp_path / "polled.py").write_text(FILE)
    monkeypatch.setattr(adapters, "__path__", [*adapters.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    yield
    sys.modules.pop("adapters.polled", None)
    if hasattr(adapters, "polled"):
        del adapters.polled


def test_without_the_row_it_is_no_plugin(file: None) -> None:
    assert inspect(PLUGIN).kind is PluginKind.UNKNOWN
    with pytest.raises(DetectionError, match="no-interface"):
        open_plugin(PLUGIN).wait()


def test_with_the_row_alone_it_is_known_and_cannot_run(row: None) -> None:
    with pytest.raises(UnsupportedPluginError, match="no adapter for this kind"):
        open_plugin(PLUGIN).wait()


def test_the_row_is_all_that_a_report_needs(row: None) -> None:
    report = inspect(PLUGIN)
    assert (report.kind, report.dialect, report.diagnostics) == (PluginKind("polled"), None, ())
    assert report.reason == "exports poll and poll_interval"
    assert report.runnable
    broken = bytes(wasmtime.wat2wasm('(module (func (export "poll") (param i32)))'))
    assert [found.slug for found in inspect(broken).errors] == ["incomplete-interface", "wrong-export-signature"]


async def test_it_streams_through_open_plugin(row: None, file: None) -> None:
    async with open_plugin(PLUGIN, name="counter") as plugin:
        assert (await plugin.info()).name == "counter"
        assert await plugin.call("poll") == b'{"n":0}'
        async with asyncio.timeout(10), plugin.stream(KEY) as stream:
            items = [item async for item in stream]
        assert [item.json() for item in items] == ITEMS
        assert [(item.key, item.data_type, item.sequence) for item in items] == [(KEY, "count", n) for n in range(5)]
        assert stream.state is StreamState.STOPPED


async def test_it_streams_through_the_manager_to_several_subscribers(row: None, file: None) -> None:
    async with StreamManager() as manager:
        await manager.register("counter", PLUGIN, kind="polled")
        async with asyncio.timeout(10), manager.subscribe(KEY) as one, manager.subscribe(KEY) as two:
            for subscription in (one, two):
                assert [item.json() async for item in subscription] == ITEMS
