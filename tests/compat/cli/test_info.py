"""``plugin-compat info``: what plugins say of themselves, and what it does with those that fail at it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

from adapters.shared import PROCESS
from compat import MessageEncoding, inspect
from tests.support.guests import Answer
from tests.support.legacy import legacy
from tests.support.plugins import FIXTURES, MISBUILT, PluginFixture, wat

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command

TARGETS = ["wss://stream.simex.example/*", "https://api.simex.example/*"]


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.id)
def test_every_plugin_tells_who_it_is_and_what_it_reaches(command: Command, fixture: PluginFixture) -> None:
    outcome = command("info", fixture.path)
    first, *lines = outcome.out.decode().splitlines()
    assert first == f"{fixture.path}: {fixture.title} 1.0.0 by plugin-compat"
    dialect = inspect(fixture.path).dialect
    assert f"  kind     {fixture.kind}" + (f", {dialect} dialect" if dialect else "") in lines
    assert f"  streams  {', '.join(fixture.stream_types) or 'it does not say which types'}" in lines
    assert any(line.startswith("  reaches  ") and TARGETS[0] in line for line in lines)
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.parametrize("style", ["json", "ndjson"])
def test_the_same_for_machines(command: Command, style: str) -> None:
    fixtures = {fixture.id: fixture for fixture in FIXTURES}
    generic = fixtures["generic-blocking"]
    paths = [fixtures["legacy-callback"].path, fixtures["legacy-command"].path, generic.path]
    outcome = command("info", *paths, "--format", style)
    if style == "json":
        document = json.loads(outcome.out)
        assert document["schemaVersion"] == 1
        plugins = document["plugins"]
    else:
        plugins = [json.loads(line) for line in outcome.out.splitlines()]
        assert {plugin.pop("schemaVersion") for plugin in plugins} == {1}
    assert [plugin["path"] for plugin in plugins] == list(map(str, paths))
    report = inspect(paths[2])
    assert plugins[2] == {
        "path": str(paths[2]),
        "sha256": report.sha256,
        "kind": "generic",
        "dialect": None,
        "runnable": True,
        "pluginId": "simex-generic-blocking",
        "name": generic.title,
        "version": "1.0.0",
        "author": "plugin-compat",
        "description": "Candles of SimEx, received inside start_stream",
        "streamTypes": ["ohlcv"],
        "networkTargets": TARGETS,
        "problems": [],
        "discrepancies": [],
        "messageEncoding": None,
        "configurationFields": [],
        "rateLimits": [],
    }
    assert plugins[1]["configurationFields"] == [
        {
            "name": "apiKey",
            "label": "API key",
            "type": "password",
            "required": False,
            "secret": True,
            "description": "Sent to the exchange when a stream is opened",
            "default": None,
        }
    ]
    assert plugins[1]["rateLimits"][1] == {
        "command": "getMarkets",
        "scopes": ["ip"],
        "rps": 0.5,
        "burst": 2,
        "cost": 2,
    }


def test_what_it_wants_to_be_configured_with_and_how_often_it_may_be_asked_is_one_line_each(
    command: Command, tmp_path: Path
) -> None:
    fields = [{"name": "api_key", "required": True, "mask": True}, {"name": "depth", "default": [5]}, "note"]
    limits = [
        {"command": "*", "scope": ["ip", "apikey"], "rps": 10, "burst": 20},
        {"command": "getOHLCV", "scope": "ip", "rps": 1, "burst": 4, "cost": 2},
    ]
    path = tmp_path / "wants.wasm"
    path.write_bytes(
        legacy("command", get_configuration_fields=Answer(fields), get_rate_limits=Answer(limits), init=Answer())
    )
    outcome = command("info", path)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.decode().splitlines()
    assert "  config   api_key (required, secret), depth (by default [5]), note" in lines
    assert "  limits   all commands 10/s by ip and apikey, getOHLCV 0.5/s by ip" in lines


@pytest.mark.parametrize(("wanted", "told"), [("text", "as text"), ("base64", "in base64")])
def test_how_a_plugin_wants_its_messages_is_told_when_it_is_known(command: Command, wanted: str, told: str) -> None:
    path = next(fixture.path for fixture in FIXTURES if fixture.id == "legacy-command")
    assert b"messages" not in command("info", path).out
    PROCESS.encodings.put(inspect(path).sha256, MessageEncoding(wanted))
    assert f"\n  messages {told}\n" in command("info", path).out.decode()
    assert json.loads(command("info", path, "--format", "json").out)["plugins"][0]["messageEncoding"] == wanted


def test_a_plugin_that_fails_at_it_is_a_problem_and_the_others_are_told_all_the_same(
    command: Command, tmp_path: Path
) -> None:
    path = tmp_path / "odd.wasm"
    exports = "".join(
        f'(func (export "{name}") (result i32) (i32.const 0))' for name in ("start_stream", "stop_stream")
    )
    path.write_bytes(wasmtime.wat2wasm(f'(module {exports} (func (export "meta") (result i32) unreachable))'))
    outcome = command("info", path, FIXTURES[0].path)
    assert outcome.code == 1
    text = outcome.out.decode()
    assert f"{path}: odd\n" in text
    assert "  reaches  nothing: it declares no addresses\n" in text
    assert "  problem: meta: plugin 'odd': meta trapped: " in text
    assert f"{FIXTURES[0].path}: SimEx 1.0.0" in text


def test_what_cannot_run_is_not_run_and_hides_no_other(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "page.wasm"
    page.write_text("<html></html>")
    outcome = command("info", MISBUILT, page, FIXTURES[0].path, "--format", "json")
    assert (outcome.code, outcome.err) == (1, "")
    misbuilt, html, good = json.loads(outcome.out)["plugins"]
    assert [plugin["runnable"] for plugin in (misbuilt, html, good)] == [False, False, True]
    assert (misbuilt["kind"], misbuilt["name"]) == ("generic", "plugin")
    assert misbuilt["problems"][0].startswith("go-command-module: The module is a Go command")
    assert html["problems"][0].startswith("html: Not a core WebAssembly module")
    assert good["name"] == "SimEx"


def test_for_people_those_that_cannot_run_are_told_as_errors(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "page.wasm"
    page.write_text("<html></html>")
    outcome = command("info", page, FIXTURES[0].path, MISBUILT)
    assert outcome.code == 1
    assert outcome.out.startswith(f"{FIXTURES[0].path}: SimEx 1.0.0".encode())
    first, remedy, second, other = outcome.err.splitlines()
    assert first.startswith(f"error: {page}: html: ")
    assert second.startswith(f"error: {MISBUILT}: go-command-module: ")
    assert remedy.startswith("  Check the address")
    assert other.startswith("  Build with GOOS=wasip1")


def test_what_contradicts_itself_is_a_note_and_no_problem(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "vague.wasm"
    exports = "".join(
        f'(func (export "{name}") (result i32) (i32.const 0))' for name in ("start_stream", "stop_stream")
    )
    connect = '(import "env" "ws_connect" (func (param i64) (result i64)))'
    path.write_bytes(wasmtime.wat2wasm(f"(module {connect} {exports})"))
    outcome = command("info", path)
    assert "  note: it imports ws_connect and declares no network targets" in outcome.out.decode()
    assert outcome.code == 0


def test_a_plugin_without_any_words_is_called_after_its_file(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "silent.wasm"
    path.write_bytes(wat("traps"))
    assert command("info", path).out.startswith(f"{path}: ".encode())
