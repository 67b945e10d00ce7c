from __future__ import annotations

import ast
import copy
import hashlib
import json
import os
import pickle
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import detectors
from detectors import module, report
from detectors.errors import PluginError
from detectors.formats import HEADER
from detectors.report import DetectionError, ModuleReport, inspect
from detectors.rules import PluginKind

if TYPE_CHECKING:
    from tests.detectors.conftest import Build

GENERIC = ("start_stream", "stop_stream")
ROOM = Path(detectors.__file__).parent


def _leb(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _is_a_report_of(found: ModuleReport, data: bytes) -> bool:
    """Whether it is a report, whole and serialisable, of exactly these bytes."""
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.size == len(data)
    assert (found.kind != PluginKind.UNKNOWN) == bool(found.offers)
    assert found.runnable or found.errors
    assert found.reason
    return bool(json.loads(json.dumps(found.to_dict()))["sha256"] and msgspec.json.encode(found))


def test_a_good_plugin(build: Build) -> None:
    data = build([*GENERIC, "meta"], [("env", "ws_send"), ("wasi_snapshot_preview1", "fd_write")])
    found = inspect(data)
    assert (found.path, found.kind, found.dialect) == (None, PluginKind.GENERIC, None)
    assert found.runnable
    assert found.errors == found.diagnostics == ()
    assert [item.name for item in found.host_imports] == ["ws_send"]
    assert found.has_export("meta")
    assert not found.has_export("init")
    found.raise_for_errors()


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_bytes_in_any_form_give_the_same_report(build: Build, form: type) -> None:
    data = build(GENERIC)
    assert inspect(form(data)) == inspect(data)


def test_a_path_in_any_form_gives_the_report_of_its_bytes(build: Build, tmp_path: Path) -> None:
    file = tmp_path / "woox.wasm"
    file.write_bytes(build(GENERIC))
    assert inspect(file) == inspect(str(file))
    assert inspect(file).path == str(file)
    assert {**inspect(file).to_dict(), "path": None} == inspect(build(GENERIC)).to_dict()


@pytest.mark.parametrize("name", ["missing.wasm", "", "a\0b"], ids=["missing", "folder", "null character"])
def test_a_path_that_cannot_be_read_raises_an_os_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(OSError, match=r"No such file|Is a directory|null character"):
        inspect(os.path.join(tmp_path, name))  # noqa: PTH118 - pathlib would drop the empty name


def test_what_is_neither_bytes_nor_a_path_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        inspect(0)  # type: ignore[arg-type]  # a file descriptor, to open()


def test_a_file_name_that_is_no_text_is_escaped(build: Build, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"woo\xff.wasm")
    file.write_bytes(build(GENERIC))
    found = inspect(file)
    assert found.path == str(tmp_path / "woo\\udcff.wasm")
    assert _is_a_report_of(found, build(GENERIC))


def test_a_file_beyond_the_bound_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MODULE_SIZE", 100)
    monkeypatch.setattr(report, "MAX_MODULE_SIZE", 100)
    file = tmp_path / "large.wasm"
    file.write_bytes(HEADER + bytes(1000))
    found = inspect(file)
    assert (found.size, found.sha256, found.diagnostics[0].slug) == (1008, "", "too-large")
    assert inspect("/dev/zero").diagnostics[0].slug == "too-large"


def test_bytes_that_are_no_module_have_one_finding_and_no_kind() -> None:
    found = inspect(b"<html>404</html>")
    assert (found.kind, found.runnable, found.imports, found.exports) == (PluginKind.UNKNOWN, False, (), ())
    assert [item.slug for item in found.diagnostics] == ["html"]
    assert "HTML page" in found.reason


def test_a_warning_does_not_keep_a_plugin_from_running(build: Build) -> None:
    found = inspect(build(GENERIC, extra='(func (export "meta"))'))
    assert len(found.diagnostics) == 1
    assert found.errors == ()
    assert found.runnable


def test_errors_are_raised_with_file_finding_and_remedy(build: Build, tmp_path: Path) -> None:
    file = tmp_path / "woox.wasm"
    file.write_bytes(build(["start_stream"], [("env", "ws_sent")]))
    with pytest.raises(DetectionError) as caught:
        inspect(file).raise_for_errors()
    error = caught.value
    assert isinstance(error, PluginError)
    assert str(error) == (
        f"{file}: incomplete-interface: The generic interface is incomplete: the module exports start_stream "
        "but no stop_stream (and 1 more). Export stop_stream as well and build the plugin again."
    )
    assert error.report == inspect(file)
    assert [item.slug for item in error.diagnostics] == ["incomplete-interface", "unknown-host-function"]


def test_the_error_of_bytes_names_no_file_and_can_be_pickled() -> None:
    with pytest.raises(DetectionError, match=r"^the module: not-wasm: .* an empty file\. Download") as caught:
        inspect(b"").raise_for_errors()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.report) == (str(caught.value), caught.value.report)


def test_the_report_as_plain_values(build: Build) -> None:
    data = build(["start_stream"], [("env", "time_now")], '(memory (export "memory") 1) (@custom "go:buildid" "x")')
    assert inspect(data).to_dict() == {
        "path": None,
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "kind": "generic",
        "dialect": None,
        "toolchain": "Go",
        "runnable": False,
        "offers": [{"kind": "generic", "dialect": None, "missing": [["stop_stream"]]}],
        "reason": "exports start_stream but no stop_stream",
        "evidence": [
            {"subject": "export start_stream", "meaning": "the mark of the generic interface"},
            {"subject": "import env time_now", "meaning": "the host function that tells the time"},
        ],
        "imports": [{"module": "env", "name": "time_now", "type": "(i64) -> i64"}],
        "exports": [{"name": "start_stream", "type": "() -> i32"}, {"name": "memory", "type": "memory"}],
        "diagnostics": [
            {
                "slug": "incomplete-interface",
                "severity": "error",
                "subject": "module",
                "message": "The generic interface is incomplete: the module exports start_stream but no stop_stream.",
                "remedy": "Export stop_stream as well and build the plugin again.",
            }
        ],
    }


def test_the_report_itself_can_be_encoded_copied_and_pickled(build: Build) -> None:
    found = inspect(build(GENERIC, [("env", "ws_send")]))
    assert msgspec.json.decode(msgspec.json.encode(found))["kind"] == {"value": "generic"}
    assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == found


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_a_report(data: bytes) -> None:
    assert _is_a_report_of(inspect(data), data)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_behind_a_modules_header_give_a_report(tail: bytes) -> None:
    assert _is_a_report_of(inspect(HEADER + tail), HEADER + tail)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_plugin_gives_a_report(build: Build, data: st.DataObject) -> None:
    whole = bytearray(build([*GENERIC, "meta"], [("env", "ws_send")], '(memory 1) (data (i32.const 0) "abc")'))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert _is_a_report_of(inspect(whole), bytes(whole))


def test_every_truncation_of_a_plugin_gives_a_report_and_none_is_runnable(build: Build) -> None:
    whole = build([*GENERIC, "meta"], [("env", "ws_send")])
    reports = [inspect(whole[:length]) for length in range(len(whole))]
    assert all(_is_a_report_of(found, whole[:length]) for length, found in enumerate(reports))
    assert not any(found.runnable for found in reports)
    assert {found.diagnostics[0].slug for found in reports} == {
        "not-wasm",
        "truncated",
        "invalid-module",
        "no-interface",
    }


MILLION = 1_000_000
HOSTILE = {
    "a million imports": HEADER + b"\x01\x04\x01\x60\0\0" + b"\x02" + _leb(4 * MILLION + 3) + _leb(MILLION)
        + b"\0\0\0\0" * MILLION,
    "a million imports announced": HEADER + b"\x02\x04" + _leb(MILLION) + b"\0",
    "a million sections": HEADER + b"\0\x01\0" * MILLION,
    "a million types": HEADER + b"\x01" + _leb(3 * MILLION + 3) + _leb(MILLION) + b"\x60\0\0" * MILLION,
    "a number without an end": HEADER + b"\x01" + b"\xff" * 100_000,
    "a section of 4 GB": HEADER + b"\x0a\xff\xff\xff\xff\x0f",
    "deep nesting": HEADER + b"\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a" + _leb(200_007) + b"\x01" + _leb(200_003) + b"\0"
        + b"\x02\x40" * 100_001,
    "a name of a megabyte": HEADER + b"\x01\x04\x01\x60\0\0\x02" + _leb(1_000_007) + b"\x01\0" + _leb(1_000_000)
        + b"x" * 1_000_000 + b"\0\0",
    "a name that is no text": HEADER + b"\x01\x04\x01\x60\0\0\x02\x07\x01\x02\xff\xff\0\0\0",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_modules_give_a_report_soon(name: str) -> None:
    begun = time.perf_counter()
    found = inspect(HOSTILE[name])
    assert time.perf_counter() - begun < 5
    assert _is_a_report_of(found, HOSTILE[name])
    assert found.errors
    assert all(len(item.message) < 1000 for item in found.diagnostics)


@pytest.mark.parametrize("body", ["unreachable", "(loop br 0)", "call $start"], ids=["trap", "endless", "recursion"])
def test_a_start_section_is_never_run(build: Build, body: str) -> None:
    assert inspect(build(GENERIC, extra=f"(func $start {body}) (start $start)")).runnable


def test_unsatisfiable_imports_and_a_huge_memory_are_only_read(build: Build) -> None:
    found = inspect(build(GENERIC, [("nowhere", "nothing")], "(memory 65536)"))
    assert [item.slug for item in found.diagnostics] == ["foreign-namespace"]


@pytest.mark.parametrize("file", sorted(ROOM.glob("*.py")), ids=lambda file: file.name)
def test_no_file_of_the_room_can_run_a_module_or_knows_the_floors_above(file: Path) -> None:
    text = file.read_text()
    assert [word for word in ("Instance(", "Linker", "Store") if word in text] == []
    imported: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert imported.isdisjoint({"extism", "extism_sys", "asyncio", "adapters", "compat"})
    assert imported  # every file imports something; an empty set would mean that nothing was looked at


def test_the_rooms_files_are_found() -> None:
    assert {"sections.py", "module.py", "rules.py", "classify.py", "diagnostics.py", "report.py"} <= {
        file.name for file in ROOM.glob("*.py")
    }


def test_every_public_name_exists() -> None:
    assert [name for name in detectors.__all__ if not hasattr(detectors, name)] == []
    assert sorted(detectors.__all__) == sorted(set(detectors.__all__))
