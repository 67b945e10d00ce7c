from __future__ import annotations

import string

import attrs
import pytest

from detectors.advice import ADVICE, Advice, advice_for
from detectors.toolchain import Toolchain

EVERY = {**ADVICE, "none that is known": Advice()}


@pytest.mark.parametrize("name", ["Go", "TinyGo", "Rust", "Zig", "AssemblyScript", "C/C++", "JavaScript"])
def test_a_toolchain_has_its_own_words(name: str) -> None:
    assert advice_for(Toolchain(name, "1.0")) is ADVICE[name]
    assert ADVICE[name] != Advice()


@pytest.mark.parametrize("toolchain", [None, Toolchain("Haskell"), Toolchain("")])
def test_any_other_gets_the_general_ones(toolchain: Toolchain | None) -> None:
    assert advice_for(toolchain) == Advice()


@pytest.mark.parametrize("name", EVERY)
def test_a_clause_is_one_printable_line_without_a_full_stop(name: str) -> None:
    for field, clause in attrs.asdict(EVERY[name]).items():
        assert clause or field == "declare"
        assert clause.isprintable()
        assert clause == clause.strip()
        assert not clause.endswith(".")


@pytest.mark.parametrize("name", EVERY)
def test_an_export_is_named_in_its_one_place(name: str) -> None:
    fields = [field for _, field, _, _ in string.Formatter().parse(EVERY[name].export) if field is not None]
    assert fields == [""]
    assert "start_stream" in EVERY[name].export.format("start_stream")


@pytest.mark.parametrize("name", EVERY)
def test_an_import_is_declared_with_its_namespace_and_its_name(name: str) -> None:
    declared = EVERY[name].declare.format("env", "ws_send")
    assert not declared or declared.index("env") < declared.index("ws_send")
    assert "{}" not in declared
    assert bool(declared) is (name not in {"JavaScript", "none that is known"})


def test_go_is_told_the_command_that_builds_a_reactor() -> None:
    assert advice_for(Toolchain("Go")).reactor.startswith("build with GOOS=wasip1 GOARCH=wasm go build ")
    assert advice_for(Toolchain("Go")).export.format("meta") == "write //go:wasmexport meta above a func() int32"
    assert "tinygo" in advice_for(Toolchain("TinyGo")).reactor
