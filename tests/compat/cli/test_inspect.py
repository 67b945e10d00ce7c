"""``plugin-compat inspect``: what it says in text, which files it takes, and its exit code."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from compat import inspect
from detectors.catalogue import CATALOGUE
from fixtures.diagnostics import raises
from tests.support.plugins import FIXTURES, MISBUILT, PluginFixture
from tests.support.processes import COMPAT, begin, end_of

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command, Outcome
from tests.support.inspected import GOOD, export, module

DIALECTS = {
    "legacy-assemblyscript": ", callback dialect",
    "legacy-assemblyscript-start": ", callback dialect",
    "legacy-callback": ", callback dialect",
    "legacy-command": ", command dialect",
    "legacy-command-base64": ", command dialect",
    "legacy-rust": ", callback dialect",
}


# The text


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.id)
def test_every_plugin_is_named_by_its_kind_and_dialect(command: Command, fixture: PluginFixture) -> None:
    outcome = command("inspect", fixture.path)
    report = inspect(fixture.path)
    first, *lines = outcome.out.decode().splitlines()
    assert first == f"{fixture.path}: {fixture.kind} plugin{DIALECTS.get(fixture.id, '')}, can run"
    built = "unknown" if report.toolchain is None else str(report.toolchain)
    assert any(line.startswith(f"  built    {built}") for line in lines)
    assert f"  size     {report.size:,} bytes" in lines
    assert f"  sha256   {report.sha256}" in lines
    assert f"  exports  {', '.join(export.name for export in report.exports)}" in lines
    assert not any(line.startswith(("  error", "  warning")) for line in lines)
    assert (outcome.code, outcome.err) == (0, "")


def test_the_sdk_stands_beside_the_compiler(command: Command) -> None:
    assert "  built    Go 1.26.8, github.com/extism/go-pdk v1.1.3\n" in command("inspect", MISBUILT).out.decode()


def test_a_misbuilt_plugin_is_an_error_with_its_remedy(command: Command) -> None:
    outcome = command("inspect", MISBUILT)
    lines = outcome.out.decode().splitlines()
    assert lines[0] == f"{MISBUILT}: generic plugin, cannot run"
    at = lines.index("  error    go-command-module (export _start)")
    assert lines[at + 1].startswith("           The module is a Go command")
    assert lines[at + 2].startswith("           → Build with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared")
    assert (outcome.code, outcome.err) == (1, "")


def test_the_worst_finding_comes_first(command: Command, tmp_path: Path) -> None:
    path = module(
        tmp_path,
        '(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))',
        '(import "extism:host/env" "http_request" (func (param i64 i64) (result i64)))',
        '(import "env" "ws_recieve" (func (param i64) (result i64)))',
        *map(export, ("start_stream", "stop_stream")),
    )
    lines = command("inspect", path).out.decode().splitlines()
    findings = [line.split()[:2] for line in lines if line.startswith(("  error", "  warning", "  info"))]
    assert findings == [["error", "unknown-host-function"], ["warning", "kernel-http"], ["info", "needs-wasi"]]


def test_several_files_take_a_line_each_with_what_is_wrong_and_a_summary(command: Command) -> None:
    other = FIXTURES[-1].path
    outcome = command("inspect", GOOD, MISBUILT, other)
    first, second, slug, message, remedy, third, empty, summary = outcome.out.decode().splitlines()
    assert [line.partition(":")[0] for line in (first, second, third)] == [str(p) for p in (GOOD, MISBUILT, other)]
    assert slug == "  error    go-command-module (export _start)"
    assert message and remedy and not empty  # noqa: PT018 - three lines of one finding
    kinds = [inspect(path).kind.value for path in (GOOD, MISBUILT, other)]
    assert f"3 files ({kinds.count(kinds[0])} {kinds[0]}" in summary
    assert summary.endswith(": 2 can run; 1 error, 0 warnings")
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
        '(import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))' * 2,
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


@pytest.mark.parametrize("slug", [rule.slug for rule in CATALOGUE if rule.check is None])
def test_a_file_that_is_no_module_is_reported_for_what_it_is(command: Command, tmp_path: Path, slug: str) -> None:
    path = tmp_path / "plugin.wasm"
    path.write_bytes(raises(slug))
    outcome = command("inspect", path)
    text = outcome.out.decode()
    assert text.startswith(f"{path}: unreadable, cannot run\n")
    assert f"  error    {slug}\n" in text
    assert outcome.code == 1
    assert command("inspect", path, GOOD).out.decode().startswith(f"{path}: unreadable, cannot run\n")


@pytest.mark.parametrize("slug", ["no-interface", "foreign-abi"])
def test_a_module_that_can_be_read_and_is_no_plugin_is_called_that(command: Command, tmp_path: Path, slug: str) -> None:
    path = tmp_path / "plugin.wasm"
    path.write_bytes(raises(slug))
    assert command("inspect", path).out.decode().startswith(f"{path}: no plugin, cannot run\n")


# Which files


def test_a_folder_is_searched_at_any_depth_and_each_file_told_once(command: Command, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    deep = module(tmp_path / "a" / "b", export("start_stream"), export("stop_stream"))
    (tmp_path / "notes.txt").write_text("no module")
    outcome = command("inspect", tmp_path, deep, tmp_path / "a", "--format", "ndjson")
    assert [json.loads(line)["path"] for line in outcome.out.splitlines()] == [str(deep)]


def test_a_pattern_may_go_through_folders(command: Command, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    files = [module(tmp_path / "x", export("start_stream"), name=f"{n}.wasm") for n in "ba"]
    outcome = command("inspect", f"{tmp_path}/**/*.wasm", "--format", "ndjson")
    assert [json.loads(line)["path"] for line in outcome.out.splitlines()] == sorted(map(str, files))


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(command: Command, tmp_path: Path) -> None:
    path = module(tmp_path, export("start_stream"), export("stop_stream"), name="[v1].wasm")
    assert command("inspect", path).code == 0


def test_standard_input_is_read(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.read_bytes())))
    outcome = command("inspect", "-", MISBUILT, "--format", "json")
    one, other = json.loads(outcome.out)["reports"]
    assert one == {**inspect(GOOD).to_dict(), "path": "-"}
    assert other["path"] == str(MISBUILT)


def test_a_file_may_have_the_name_that_stands_for_standard_input(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    Path("-").write_bytes(GOOD.read_bytes())
    (file,) = json.loads(command("inspect", "./-", "--format", "json").out)["reports"]
    assert file["sha256"] == inspect(GOOD).sha256
    both = json.loads(command("inspect", "./-", "-", "./-", "-", "--format", "json").out)["reports"]
    assert [report["size"] for report in both] == [GOOD.stat().st_size, 0]


async def test_standard_input_that_is_closed_is_told_in_two_lines() -> None:
    end = await end_of(await begin("sh", "-c", '"$@" <&-', "sh", sys.executable, *COMPAT, "inspect", "-"))
    what, remedy = end.err.splitlines()
    assert (end.code, end.out) == (1, b"")
    assert what == "error: standard input is closed"
    assert "plugin-compat inspect - <" in remedy


@pytest.mark.parametrize(
    ("argument", "problem", "hint"),
    [
        ("empty", "there is no .wasm file in the folder", "Name the files"),
        ("none/*.wasm", "no file matches", "'**' stands for folders"),
        ("missing.wasm", "does not exist", ""),
    ],
)
def test_what_names_no_file_is_wrong_usage(
    command: Command, tmp_path: Path, argument: str, problem: str, hint: str
) -> None:
    (tmp_path / "empty").mkdir()
    outcome = command("inspect", tmp_path / argument)
    assert (outcome.code, outcome.out) == (2, b"")
    assert problem in outcome.err
    assert hint in outcome.err


def test_a_file_that_cannot_be_read_is_an_error_and_hides_no_other(command: Command) -> None:
    outcome = command("inspect", "/proc/self/mem", GOOD)
    assert outcome.code == 1
    assert outcome.out.decode().startswith(f"{GOOD}: ")
    assert outcome.err.startswith("error: /proc/self/mem: Input/output error")


def test_several_files_that_cannot_be_read_are_told_one_by_one(command: Command, tmp_path: Path) -> None:
    links = [tmp_path / f"{n}.wasm" for n in range(3)]
    for link in links:
        link.symlink_to("/proc/self/mem")
    outcome = command("inspect", links[0], GOOD, *links[1:])
    assert outcome.code == 1
    assert outcome.out.decode().startswith(f"{GOOD}: ")
    told = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert told == [f"error: {link}: Input/output error" for link in links]


# What must not reach a terminal


FORMATS = ("text", "json", "ndjson", "sarif", "github")
TITLE = "\x1b]0;owned\x07"
CONTROL = TITLE + "\x9b2J\u202e\u2066"
NEVER = set(CONTROL) - set("]0;owned2J")


def raw(outcome: Outcome) -> set[str]:
    """What of it was printed as it is."""
    return NEVER.intersection(outcome.out.decode() + outcome.err)


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("others", [(), (GOOD,)], ids=["alone", "beside another"])
def test_a_file_name_cannot_command_a_terminal(
    command: Command, tmp_path: Path, style: str, others: tuple[Path, ...]
) -> None:
    path = tmp_path / f"a{CONTROL}.wasm"
    path.write_bytes(raises("shared-memory"))
    outcome = command("inspect", "--format", style, path, *others)
    assert outcome.code == 1
    assert raw(outcome) == set()
    assert b"owned" in outcome.out


@pytest.mark.parametrize("style", FORMATS)
def test_the_name_of_a_file_that_cannot_be_read_cannot_command_a_terminal(
    command: Command, tmp_path: Path, style: str
) -> None:
    link = tmp_path / f"a{CONTROL}.wasm"
    link.symlink_to("/proc/self/mem")
    outcome = command("inspect", "--format", style, link, GOOD)
    assert outcome.code == 1
    assert raw(outcome) == set()
    assert "owned" in outcome.err


@pytest.mark.parametrize("style", FORMATS)
def test_names_in_a_module_cannot_command_a_terminal(command: Command, tmp_path: Path, style: str) -> None:
    name = "".join(f"\\{byte:02x}" for byte in CONTROL.encode())
    path = module(
        tmp_path,
        f'(import "env" "{name}" (func))',
        f'(import "{name}" "ws_send" (func (param i64) (result i64)))',
        f'(import "wasi_snapshot_preview1" "{name}" (func))',
        f'(func (export "pluginInfo{name}") (result i32) i32.const 0)',
        export("start_stream"),
        export("stop_stream"),
    )
    outcome = command("inspect", "--format", style, path)
    assert raw(outcome) == set()
    assert b"owned" in outcome.out
    if style == "json":
        (report,) = json.loads(outcome.out)["reports"]
        assert report["imports"][0]["name"] == CONTROL


def test_letters_of_other_scripts_are_no_danger(command: Command, tmp_path: Path) -> None:
    path = module(tmp_path, '(import "env" "größe日本" (func))', export("start_stream"), export("stop_stream"))
    for style in FORMATS:
        assert "größe日本" in command("inspect", "--format", style, path).out.decode()


# What fails


def test_another_kind_than_expected_fails(command: Command, tmp_path: Path) -> None:
    path = module(tmp_path, export("handle_stream_message"), export("handle_command"))
    assert command("inspect", path, "--expect", "legacy").code == 0
    outcome = command("inspect", path, "--expect", "generic")
    assert outcome.code == 1
    assert "  error    unexpected-kind\n" in outcome.out.decode()
    assert "The module is of the kind legacy; generic was expected." in outcome.out.decode()


def test_a_kind_that_is_usable_too_can_be_chosen(command: Command, tmp_path: Path) -> None:
    both = module(tmp_path, *map(export, ("handle_stream_message", "handle_command", "start_stream", "stop_stream")))
    (found,) = unexpected(command, both, "legacy")
    assert "used as generic" in found["message"]
    assert "legacy was expected" in found["message"]
    assert "--kind legacy" in found["remedy"]


@pytest.mark.parametrize(
    "other",
    [
        [],
        [export("handle_stream_message")],
        [export("handle_stream_message"), '(func (export "handle_command") (param i32))'],
    ],
    ids=["not offered", "in part", "not callable"],
)
def test_a_kind_that_is_not_usable_cannot_be_chosen(command: Command, tmp_path: Path, other: list[str]) -> None:
    path = module(tmp_path, export("start_stream"), export("stop_stream"), *other)
    (found,) = unexpected(command, path, "legacy")
    assert found["message"] == "The module is of the kind generic; legacy was expected."
    assert "--kind" not in found["remedy"]


@pytest.mark.parametrize("slug", ["no-interface", "foreign-abi", "truncated", "html", "not-wasm"])
def test_what_is_no_plugin_is_not_told_to_be_of_another_kind(command: Command, tmp_path: Path, slug: str) -> None:
    path = tmp_path / "plugin.wasm"
    path.write_bytes(raises(slug))
    assert unexpected(command, path, "legacy") == []
    assert command("inspect", path, "--expect", "legacy").code == 1


def unexpected(command: Command, path: Path, kind: str) -> list[dict[str, str]]:
    """The findings that it is of another kind."""
    outcome = command("inspect", path, "--expect", kind, "--format", "json")
    (report,) = json.loads(outcome.out)["reports"]
    found = [found for found in report["diagnostics"] if found["slug"] == "unexpected-kind"]
    assert outcome.code == 1
    return found


def test_what_was_expected_says_nothing_of_what_can_run(command: Command, tmp_path: Path) -> None:
    path = module(tmp_path, export("start_stream"), export("stop_stream"))
    (report,) = json.loads(command("inspect", path, "--expect", "legacy", "--format", "json").out)["reports"]
    assert report["runnable"]
    assert [found["slug"] for found in report["diagnostics"]] == ["unexpected-kind"]


def test_a_warning_fails_only_if_that_is_asked_for(command: Command, tmp_path: Path) -> None:
    path = module(tmp_path, *map(export, ("start_stream", "stop_stream")), "(memory 5000)")
    assert command("inspect", path).code == 0
    outcome = command("inspect", path, "--strict")
    assert outcome.code == 1
    assert "  warning" in outcome.out.decode()
