from __future__ import annotations

import copy
import hashlib
import json
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import detectors
from detectors.errors import PluginError
from detectors.formats import HEADER
from detectors.report import DetectionError, ModuleReport, inspect
from detectors.rules import PluginKind
from fixtures.diagnostics import SLUGS, raises
from tests.detectors.examples import few_and_many

if TYPE_CHECKING:
    from tests.detectors.conftest import Build

GENERIC = ("start_stream", "stop_stream")
GO_PLUGIN = Path(__file__).resolve().parents[2] / "fixtures/plugins/legacy-command/plugin.wasm"


def _is_a_report_of(found: ModuleReport, data: bytes) -> bool:
    """Whether it is a report, whole and serialisable, of exactly these bytes."""
    assert found.sha256 == hashlib.sha256(data).hexdigest()
    assert found.size == len(data)
    assert (found.kind != PluginKind.UNKNOWN) == bool(found.offers)
    assert found.runnable or found.errors
    assert found.reason
    plain = found.to_dict()
    return bool(json.loads(json.dumps(plain)) == plain and msgspec.json.encode(found))


def test_a_good_plugin(build: Build) -> None:
    data = build(
        extra="""(import "env" "ws_send" (func (param i64) (result i64)))
        (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))
        (func (export "start_stream") (export "stop_stream") (export "meta") (result i32) i32.const 0)"""
    )
    found = inspect(data)
    assert (found.path, found.kind, found.dialect) == (None, PluginKind.GENERIC, None)
    assert found.runnable
    assert found.wasi
    assert found.errors == ()
    assert [item.slug for item in found.diagnostics] == ["needs-wasi"]
    assert [item.name for item in found.host_imports] == ["ws_send"]
    assert found.has_export("meta")
    assert not found.has_export("init")
    found.raise_for_errors()


@pytest.mark.parametrize(
    ("written", "is_callable"),
    [
        ('(func (export "meta") (result i32) i32.const 0)', True),
        ('(func (export "meta"))', False),
        ('(func (export "meta") (param i32) (result i32) i32.const 0)', False),
        ('(func (export "meta") (result i64) i64.const 0)', False),
        ('(global (export "meta") i32 (i32.const 0))', False),
        ('(memory (export "meta") 1)', False),
        ('(table (export "meta") 1 funcref)', False),
    ],
)
def test_an_export_is_one_that_the_host_can_call(build: Build, written: str, *, is_callable: bool) -> None:
    assert inspect(build(GENERIC, extra=written)).has_export("meta") is is_callable


def test_what_an_offer_needs_and_cannot_be_called_is_told(build: Build) -> None:
    data = build(["start_stream"], extra='(func (export "stop_stream") (param i32))')
    (offer,) = inspect(data).to_dict()["offers"]
    assert offer == {"kind": "generic", "dialect": None, "missing": [], "uncallable": ["stop_stream"]}


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_bytes_in_any_form_give_the_same_report(build: Build, form: type) -> None:
    data = build(GENERIC)
    assert inspect(form(data)) == inspect(data)


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


def test_a_module_of_no_kind_is_not_runnable_and_one_without_wasi_says_so(build: Build) -> None:
    found = inspect(build(["meta"]))
    assert (found.kind, found.runnable, found.wasi) == (PluginKind.UNKNOWN, False, False)
    assert not inspect(b"").wasi
    assert not inspect(build(GENERIC, [("wasi_unstable", "fd_write")])).wasi


def test_errors_are_raised_with_file_finding_and_remedy(build: Build, tmp_path: Path) -> None:
    file = tmp_path / "woox.wasm"
    file.write_bytes(build(["start_stream"]))
    with pytest.raises(DetectionError) as caught:
        inspect(file).raise_for_errors()
    error = caught.value
    assert isinstance(error, PluginError)
    assert str(error).startswith(
        f"{file}: incomplete-interface: The generic interface is incomplete: the module exports start_stream "
        "but no stop_stream. Export stop_stream as well"
    )
    assert not str(error).endswith(".")
    assert error.report == inspect(file)
    assert error.diagnostics == error.report.errors == error.report.diagnostics


@pytest.mark.parametrize(
    ("imports", "also"),
    [
        (["ws_sent"], "(and 1 more error: unknown-host-function)"),
        (["ws_sent", "read_disk", "f"], "(and 3 more errors: unknown-host-function)"),
        (["ws_sent", "alloc", "read_disk"], "(and 3 more errors: unknown-host-function and foreign-namespace)"),
    ],
)
def test_the_first_error_is_told_and_the_others_are_named(build: Build, imports: list[str], also: str) -> None:
    found = inspect(build(["start_stream", "meta"], [("env", name) for name in imports]))
    with pytest.raises(DetectionError) as caught:
        found.raise_for_errors()
    assert f"but no stop_stream {also}. Export stop_stream as well" in str(caught.value)
    assert len(caught.value.diagnostics) == len(imports) + 1


def test_errors_can_be_ignored_by_their_slugs(build: Build) -> None:
    found = inspect(build(GENERIC, [("env", "ws_sent")], "(memory 1 2 shared)"))
    assert [item.slug for item in found.errors] == ["unknown-host-function", "shared-memory"]
    assert not found.runnable
    found.raise_for_errors(ignoring={"shared-memory", "unknown-host-function"})
    for ignored, left in (("shared-memory", "unknown-host-function"), ("unknown-host-function", "shared-memory")):
        with pytest.raises(DetectionError, match=f"^the module: {left}: ") as caught:
            found.raise_for_errors(ignoring=[ignored])
        assert [item.slug for item in caught.value.diagnostics] == [left]
        assert "more error" not in str(caught.value)
        again = pickle.loads(pickle.dumps(caught.value))
        assert (str(again), again.diagnostics, again.report) == (str(caught.value), caught.value.diagnostics, found)
    with pytest.raises(DetectionError, match="more error"):
        found.raise_for_errors(ignoring=["shared_memory", "module"])


def test_warnings_and_information_are_never_raised(build: Build) -> None:
    found = inspect(build(GENERIC, extra='(func (export "_start")) (memory 5000)'))
    assert [item.slug for item in found.diagnostics] == ["command-module", "huge-memory"]
    found.raise_for_errors()
    inspect(raises("legacy-deprecated")).raise_for_errors()


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
        "runnable": False,
        "toolchain": {"name": "Go", "version": None, "sdks": []},
        "wasi": False,
        "offers": [{"kind": "generic", "dialect": None, "missing": [["stop_stream"]], "uncallable": []}],
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
                "remedy": "Export stop_stream as well: write //go:wasmexport stop_stream above a func() int32.",
            }
        ],
    }


def test_a_toolchain_is_told_with_its_version_and_its_sdks_or_is_null(build: Build) -> None:
    assert inspect(GO_PLUGIN).to_dict()["toolchain"] == {
        "name": "Go",
        "version": "go1.26.8",
        "sdks": [{"name": "github.com/extism/go-pdk", "version": "v1.1.3"}],
    }
    assert inspect(GO_PLUGIN).to_dict()["wasi"] is True
    assert inspect(build(GENERIC)).to_dict()["toolchain"] is None
    assert inspect(b"").to_dict()["toolchain"] is None


def test_the_report_of_every_finding_is_made_of_plain_values() -> None:
    for slug in SLUGS:
        found = inspect(raises(slug))
        plain = found.to_dict()
        assert json.loads(json.dumps(plain)) == plain, slug
        assert pickle.loads(pickle.dumps(found)) == found, slug
        assert type(plain["wasi"]) is type(plain["runnable"]) is bool, slug


def test_the_report_itself_can_be_encoded_copied_and_pickled(build: Build) -> None:
    found = inspect(build(GENERIC, [("env", "ws_send")]))
    assert msgspec.json.decode(msgspec.json.encode(found))["kind"] == {"value": "generic"}
    assert pickle.loads(pickle.dumps(found)) == copy.deepcopy(found) == found


@given(st.binary(max_size=300))
def test_any_bytes_give_a_report(data: bytes) -> None:
    assert _is_a_report_of(inspect(data), data)


@given(st.binary(max_size=300))
def test_any_bytes_behind_a_modules_header_give_a_report(tail: bytes) -> None:
    assert _is_a_report_of(inspect(HEADER + tail), HEADER + tail)


@few_and_many(50, 1_000)
def test_a_damaged_plugin_gives_a_report(build: Build, examples: int) -> None:
    whole = build([*GENERIC, "meta"], [("env", "ws_send")], '(memory 1) (data (i32.const 0) "abc")')
    changes = st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255))

    @settings(max_examples=examples)
    @given(st.lists(changes, min_size=1, max_size=4))
    def has_a_report(changed: list[tuple[int, int]]) -> None:
        damaged = bytearray(whole)
        for at, byte in changed:
            damaged[at] = byte
        assert _is_a_report_of(inspect(damaged), bytes(damaged))

    has_a_report()


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


def test_every_public_name_exists() -> None:
    assert [name for name in detectors.__all__ if not hasattr(detectors, name)] == []
    assert sorted(detectors.__all__) == sorted(set(detectors.__all__))
