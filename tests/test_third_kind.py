"""A third kind of plugin is one row in the table of interfaces and one file in ``adapters/``, and nothing else.

Here it is the polled kind: the host asks the plugin for one item after the other, until there is none. The row and the
file are put into a copy of the packages, which a process of its own imports.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import wasmtime

from tests.support.waiting import HANG

ROOT = Path(__file__).parents[1]
TABLE = "INTERFACES: tuple[Interface, ...] = (\n"
ROW = '    Interface(PluginKind("polled"), None, marks=("poll",), required=("poll_interval",), precedence=5),\n'

FILE = '''
"""The adapter for polled plugins: the host asks for one item after the other."""

from adapters.adapter import PluginAdapter
from adapters.channel import Item
from adapters.feed import Feed
from adapters.host import PluginHost
from adapters.live_guest import GuestHooks


async def takes_no_configuration(guest):
    pass


def ADAPTER(name, wasm, report, settings):
    host = PluginHost(name, wasm, report, settings, takes_no_configuration)
    return PluginAdapter(host, lambda channel: PolledDriver(host, channel))


class PolledDriver:
    def __init__(self, host, channel):
        self.host, self.feed, self.live = host, Feed(channel), None

    async def run(self):
        key, clock = self.feed.channel.key, self.feed.channel.clock
        self.live = await self.host.make_guest(GuestHooks())
        while data := await self.live.guest.call("poll", b"", timeout=5):
            await self.feed.write_here([Item(key, key.type, data, clock())])

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
BROKEN = bytes(wasmtime.wat2wasm('(module (func (export "poll") (param i32)))'))
ITEMS = [{"n": n} for n in range(5)]

# Tells, as JSON, what it can find out and do with the plugin beside it.
SURVEY = """
import asyncio, json, threading
from pathlib import Path
import adapters, compat, detectors

told = {"from": [str(Path(package.__file__).parents[1]) for package in (adapters, compat, detectors)]}
report = compat.inspect("plugin.wasm")
told["report"] = [report.kind.value, report.dialect, report.runnable, report.reason, len(report.diagnostics)]
told["broken"] = [found.slug for found in compat.inspect("broken.wasm").errors]
KEY = compat.StreamKey("count", "counter", "anything")

async def plugin():
    async with compat.open_plugin("plugin.wasm", name="counter") as plugin:
        told["name"] = (await plugin.info()).name
        told["call"] = (await plugin.call("poll")).decode()
        async with plugin.stream(KEY) as stream:
            told["stream"] = [[item.json(), str(item.key), item.data_type, item.sequence] async for item in stream]
            told["state"] = stream.state.value

async def manager():
    async with compat.StreamManager() as manager:
        await manager.register("counter", "plugin.wasm", kind="polled")
        async with manager.subscribe(KEY) as one, manager.subscribe(KEY) as two:
            told["subscribers"] = [[item.json() async for item in subscription] for subscription in (one, two)]

try:
    asyncio.run(plugin())
    asyncio.run(manager())
except compat.CompatError as error:
    told["error"] = [type(error).__name__, str(error)]
guests = [thread for thread in threading.enumerate() if thread.name.startswith("guest")]
for thread in guests:
    thread.join(60)
told["left"] = [thread.name for thread in guests if thread.is_alive()]
print(json.dumps(told))
"""


def house(folder: Path, *, row: bool, file: bool) -> Path:
    """The packages with or without the row and the file, and the plugin beside them."""
    for package in ("detectors", "adapters"):
        shutil.copytree(ROOT / package, folder / package)
    (folder / "compat").symlink_to(ROOT / "compat")
    rules = folder / "detectors" / "rules.py"
    before = rules.read_text()
    assert before.count(TABLE) == 1
    if row:
        rules.write_text(before.replace(TABLE, TABLE + ROW))
    if file:
        (folder / "adapters" / "polled.py").write_text(FILE)
    (folder / "plugin.wasm").write_bytes(PLUGIN)
    (folder / "broken.wasm").write_bytes(BROKEN)
    return folder


def run(folder: Path, *arguments: str) -> str:
    """What Python prints that imports the packages from there."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=2 * HANG, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def survey(folder: Path) -> dict[str, Any]:
    """What the packages there can do with the plugin."""
    told: dict[str, Any] = json.loads(run(folder, "-c", SURVEY))
    assert told.pop("from") == [str(folder)] * 3
    assert told.pop("left") == []
    return told


KNOWN = {
    "report": ["polled", None, True, "exports poll and poll_interval", 0],
    "broken": ["incomplete-interface", "wrong-export-signature"],
}


def test_without_the_row_it_is_no_plugin(tmp_path: Path) -> None:
    told = survey(house(tmp_path, row=False, file=True))
    assert told["report"][:3] == ["unknown", None, False]
    assert set(told) == {"report", "broken", "error"}
    assert told["error"][0] == "DetectionError"
    assert "no-interface" in told["error"][1]


def test_with_the_row_alone_it_is_known_and_cannot_run(tmp_path: Path) -> None:
    told = survey(house(tmp_path, row=True, file=False))
    kind, text = told.pop("error")
    assert kind == "UnsupportedPluginError"
    assert "there is no adapter for this kind" in text
    assert told == KNOWN


def test_with_the_row_and_the_file_it_is_a_plugin_like_any_other(tmp_path: Path) -> None:
    folder = house(tmp_path, row=True, file=True)
    assert survey(folder) == KNOWN | {
        "name": "counter",
        "call": '{"n":0}',
        "stream": [[item, "count:counter:anything", "count", number] for number, item in enumerate(ITEMS)],
        "state": "stopped",
        "subscribers": [ITEMS, ITEMS],
    }
    assert "polled" in run(folder, "-m", "compat", "inspect", "plugin.wasm", "--expect", "polled")
