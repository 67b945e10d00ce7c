"""``plugin-compat inspect``: what it says of every fixture, in both formats, and its exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

from compat import inspect
from tests.support.plugins import FIXTURES, MISBUILT, PluginFixture

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command

DIALECTS = {
    "legacy-assemblyscript": " (callback dialect)",
    "legacy-callback": " (callback dialect)",
    "legacy-command": " (command dialect)",
}


def module(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "plugin.wasm"
    path.write_bytes(wasmtime.wat2wasm(f"(module {' '.join(lines)})"))
    return path


def export(name: str) -> str:
    return f'(func (export "{name}") (result i32) i32.const 0)'


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.id)
def test_every_plugin_is_named_by_its_kind_and_dialect(command: Command, fixture: PluginFixture) -> None:
    outcome = command("inspect", fixture.path)
    report = inspect(fixture.path)
    first, *lines = outcome.out.decode().splitlines()
    assert first == f"{fixture.path}: {fixture.kind}{DIALECTS.get(fixture.id, '')}"
    assert f"  because it {report.reason}" in lines
    built = ", built by Go" if report.toolchain is not None else ""
    assert any(line.startswith(f"  {report.size:,} bytes{built}") and report.sha256 in line for line in lines)
    assert f"  exports  {', '.join(export.name for export in report.exports)}" in lines
    assert "error" not in outcome.out.decode()
    assert (outcome.code, outcome.err) == (0, "")


def test_a_misbuilt_plugin_is_an_error_with_its_remedy(command: Command) -> None:
    outcome = command("inspect", MISBUILT)
    text = outcome.out.decode()
    assert text.startswith(f"{MISBUILT}: generic\n")
    assert "  error: go-command-module: export _start: " in text
    assert "    Rebuild with -buildmode=c-shared" in text
    assert (outcome.code, outcome.err) == (1, "")


def test_several_files_are_told_apart_and_one_error_decides_the_exit_code(command: Command) -> None:
    good, other = FIXTURES[0].path, FIXTURES[-1].path
    assert command("inspect", good, other).code == 0
    outcome = command("inspect", good, MISBUILT, other)
    heads = [part.partition(":")[0] for part in outcome.out.decode().split("\n\n")]
    assert heads == [str(path) for path in (good, MISBUILT, other)]
    assert outcome.code == 1


def test_imports_are_listed_one_by_one_where_they_are_host_functions_and_counted_otherwise(
    command: Command, tmp_path: Path
) -> None:
    path = module(
        tmp_path,
        '(import "env" "ws_connect" (func (param i64) (result i64)))',
        '(import "extism:host/user" "ws_send" (func (param i64) (result i64)))',
        '(import "extism:host/env" "alloc" (func (param i64) (result i64)))',
        '(import "extism:host/env" "length" (func (param i64) (result i64)))',
        '(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))',
        '(import "elsewhere" "f" (func))',
        export("start_stream"),
        export("stop_stream"),
    )
    outcome = command("inspect", path)
    (imports,) = (line for line in outcome.out.decode().splitlines() if line.startswith("  imports  "))
    assert imports == (
        "  imports  ws_connect from env, ws_send from extism:host/user, "
        "2 of Extism's kernel, 1 of WASI, 1 from elsewhere"
    )
    assert outcome.code == 1


def test_information_without_a_remedy_stands_alone_and_is_no_error(command: Command, tmp_path: Path) -> None:
    names = ("start_stream", "stop_stream", "handle_stream_message", "prepare_stream")
    outcome = command("inspect", module(tmp_path, *map(export, names)))
    *_, last = outcome.out.decode().splitlines()
    assert last.startswith("  info: both-interfaces: module: ")
    assert outcome.code == 0


def test_a_file_that_is_no_module_is_reported_for_what_it_is(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "page.wasm"
    path.write_text("<!DOCTYPE html><html></html>")
    outcome = command("inspect", path)
    text = outcome.out.decode()
    assert text.startswith(f"{path}: unknown\n")
    assert "because" not in text
    assert "HTML" in text
    assert outcome.code == 1


@pytest.mark.parametrize("paths", [(FIXTURES[0].path,), (FIXTURES[0].path, MISBUILT)], ids=["one", "two"])
def test_json_is_one_document_with_every_report(command: Command, paths: tuple[Path, ...]) -> None:
    outcome = command("inspect", "--format", "json", *paths)
    document = json.loads(outcome.out)
    assert document == {"schemaVersion": 1, "reports": [inspect(path).to_dict() for path in paths]}
    assert [report["path"] for report in document["reports"]] == [str(path) for path in paths]
    assert outcome.code == (1 if MISBUILT in paths else 0)
    assert outcome.err == ""


def test_ndjson_is_one_report_a_line(command: Command) -> None:
    outcome = command("inspect", "--format", "ndjson", FIXTURES[0].path, MISBUILT)
    reports = [json.loads(line) for line in outcome.out.splitlines()]
    assert reports == [{"schemaVersion": 1, **inspect(path).to_dict()} for path in (FIXTURES[0].path, MISBUILT)]
    assert (outcome.code, outcome.err) == (1, "")


def test_a_file_that_cannot_be_read_is_an_error_without_a_traceback(command: Command) -> None:
    outcome = command("inspect", "/proc/self/mem")
    assert outcome.code == 1
    assert outcome.out == b""
    assert outcome.err.startswith("error: ")
    assert "Input/output error" in outcome.err
