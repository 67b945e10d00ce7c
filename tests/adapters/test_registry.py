"""From a report to its adapter, by the kind's name alone."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING

import attrs
import pytest
import wasmtime

import adapters.generic
import adapters.legacy
from adapters.errors import UnsupportedPluginError
from adapters.generic import generic_adapter
from adapters.registry import make_adapter
from adapters.settings import AdapterSettings
from detectors.classify import Offer
from detectors.report import DetectionError, ModuleReport, inspect
from detectors.rules import PluginKind

if TYPE_CHECKING:
    from collections.abc import Iterable

GENERIC = ("start_stream", "stop_stream")
COMMAND = ("handle_stream_message", "handle_command")
CALLBACK = ("handle_stream_message", "prepare_stream")


def module(exports: Iterable[str], extra: str = "") -> bytes:
    functions = " ".join(f'(func (export "{name}") (result i32) (i32.const 0))' for name in exports)
    return bytes(wasmtime.wat2wasm(f"(module {extra} {functions})"))


def report_on(*exports: str) -> tuple[bytes, ModuleReport]:
    wasm = module(exports)
    return wasm, inspect(wasm)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the modules whose adapters have been made."""
    names: list[str] = []

    def watch(module: types.ModuleType, name: str) -> None:
        factory = module.ADAPTER

        def note(*arguments: object) -> object:
            names.append(name)
            return factory(*arguments)

        monkeypatch.setattr(module, "ADAPTER", note)

    watch(adapters.generic, "generic")
    watch(adapters.legacy, "legacy")
    return names


@pytest.mark.parametrize(
    ("exports", "chosen", "kind"),
    [
        (GENERIC, None, "generic"),
        (COMMAND, None, "legacy"),
        (CALLBACK, None, "legacy"),
        (GENERIC + COMMAND, None, "generic"),
        (GENERIC + COMMAND, PluginKind.LEGACY, "legacy"),
        (GENERIC + COMMAND, PluginKind.GENERIC, "generic"),
    ],
)
def test_a_module_is_run_by_the_adapter_of_its_kind(
    made: list[str], exports: tuple[str, ...], chosen: PluginKind | None, kind: str
) -> None:
    wasm, report = report_on(*exports)
    adapter = make_adapter("p", wasm, report, AdapterSettings(), chosen)
    assert made == [kind]
    assert adapter.report is report


@pytest.mark.parametrize(
    ("exports", "problem"),
    [(GENERIC, "it offers generic"), (COMMAND, "it offers legacy")],
)
def test_a_kind_that_it_does_not_offer_is_refused_and_the_others_are_named(
    exports: tuple[str, ...], problem: str
) -> None:
    wasm, report = report_on(*exports)
    wrong = PluginKind.LEGACY if exports == GENERIC else PluginKind.GENERIC
    with pytest.raises(UnsupportedPluginError, match=problem) as caught:
        make_adapter("p", wasm, report, AdapterSettings(), wrong)
    assert caught.value.remedy == f"Choose one of {report.kind}"


def with_parameter(*names: str) -> str:
    return " ".join(f'(func (export "{name}") (param i32) (result i32) (i32.const 0))' for name in names)


def test_a_kind_whose_exports_cannot_be_called_is_refused(made: list[str]) -> None:
    wasm = module([*GENERIC, "handle_stream_message"], with_parameter("handle_command"))
    report = inspect(wasm)
    with pytest.raises(UnsupportedPluginError, match="it offers generic") as caught:
        make_adapter("p", wasm, report, AdapterSettings(), PluginKind.LEGACY)
    assert caught.value.remedy == "Choose one of generic"
    assert made == []
    make_adapter("p", wasm, report, AdapterSettings(), PluginKind.GENERIC)
    make_adapter("p", wasm, report, AdapterSettings())
    assert made == ["generic", "generic"]


def test_a_kind_that_is_offered_in_part_is_refused(made: list[str]) -> None:
    wasm, report = report_on(*COMMAND, "start_stream")
    with pytest.raises(UnsupportedPluginError, match="it offers legacy"):
        make_adapter("p", wasm, report, AdapterSettings(), PluginKind.GENERIC)
    assert made == []


def test_what_looks_like_a_better_kind_and_cannot_be_called_is_run_as_the_other(made: list[str]) -> None:
    wasm = module(COMMAND, with_parameter("start_stream", "stop_stream"))
    make_adapter("p", wasm, inspect(wasm), AdapterSettings())
    assert made == ["legacy"]


def test_a_kind_of_several_dialects_is_named_once() -> None:
    wasm, report = report_on(*COMMAND, "prepare_stream")
    with pytest.raises(UnsupportedPluginError) as caught:
        make_adapter("p", wasm, report, AdapterSettings(), PluginKind.GENERIC)
    assert caught.value.remedy == "Choose one of legacy"


def test_a_module_with_errors_is_refused_with_its_diagnosis() -> None:
    wasm, report = report_on("start_stream")
    with pytest.raises(DetectionError):
        make_adapter("p", wasm, report, AdapterSettings())


@pytest.mark.parametrize("chosen", [None, PluginKind.GENERIC])
def test_a_module_of_no_known_kind_is_refused(chosen: PluginKind | None) -> None:
    wasm, report = report_on("run")
    with pytest.raises((UnsupportedPluginError, DetectionError)) as caught:
        make_adapter("p", wasm, attrs.evolve(report, diagnostics=()), AdapterSettings(), chosen)
    assert "See plugin-compat inspect" in caught.value.remedy


def third_kind() -> tuple[bytes, ModuleReport]:
    wasm, report = report_on(*GENERIC)
    kind = PluginKind("third")
    return wasm, attrs.evolve(report, kind=kind, offers=(Offer(kind, None),), diagnostics=())


def test_a_third_kind_needs_a_module_of_its_name_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    third = types.ModuleType("adapters.third")
    made = generic_adapter("p", *report_on(*GENERIC), AdapterSettings())
    third.ADAPTER = lambda *_: made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "adapters.third", third)
    wasm, report = third_kind()
    assert make_adapter("p", wasm, report, AdapterSettings()) is made


def test_a_kind_without_such_a_module_is_refused() -> None:
    wasm, report = third_kind()
    with pytest.raises(UnsupportedPluginError, match="there is no adapter for this kind"):
        make_adapter("p", wasm, report, AdapterSettings())


def test_a_start_section_is_no_reason_to_refuse_a_module(made: list[str]) -> None:
    wasm = module(GENERIC, "(func $init) (start $init)")
    make_adapter("plugin", wasm, inspect(wasm), AdapterSettings())
    assert made == ["generic"]


def test_a_module_that_takes_a_name_of_the_host_s_is_refused(made: list[str]) -> None:
    wasm = module(GENERIC, '(func (export "compat_start"))')
    with pytest.raises(DetectionError, match=r"reserved-name: .* Give the export another name"):
        make_adapter("plugin", wasm, inspect(wasm), AdapterSettings())
    assert made == []
