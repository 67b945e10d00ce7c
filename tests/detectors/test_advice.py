from __future__ import annotations

import string

import attrs
import pytest

from detectors.advice import ADVICE, Advice, advice_for
from detectors.toolchain import Toolchain

EVERY = {**ADVICE, "none that is known": Advice()}


def test_a_toolchain_has_its_own_words() -> None:
    names = ["Go", "TinyGo", "Rust", "Zig", "AssemblyScript", "C/C++", "JavaScript"]
    assert list(ADVICE) == names
    assert [name for name in names if advice_for(Toolchain(name, "1.0")) is not ADVICE[name]] == []
    assert len({*ADVICE.values(), Advice()}) == len(names) + 1  # no two say the same


@pytest.mark.parametrize("toolchain", [None, Toolchain("Haskell"), Toolchain("")])
def test_any_other_gets_the_general_ones(toolchain: Toolchain | None) -> None:
    assert advice_for(toolchain) == Advice()


def test_a_clause_is_one_printable_line_without_a_full_stop() -> None:
    for name, advice in EVERY.items():
        for field, clause in attrs.asdict(advice).items():
            assert clause or field == "declare", name
            assert clause.isprintable(), name
            assert clause == clause.strip().removesuffix("."), name


def test_an_export_is_named_in_its_one_place() -> None:
    for name, advice in EVERY.items():
        fields = [field for _, field, _, _ in string.Formatter().parse(advice.export) if field is not None]
        assert fields == [""], name
        assert advice.export.format("start_stream").count("start_stream") == 1, name


def test_an_import_is_declared_with_its_namespace_and_its_name() -> None:
    declared = {name: advice.declare.format("env", "ws_send") for name, advice in EVERY.items()}
    assert [name for name in declared if not declared[name]] == ["JavaScript", "none that is known"]
    for name, written in declared.items():
        if written:
            assert written.index("env") < written.index("ws_send"), name
            assert "{}" not in written, name


def test_go_is_told_the_command_that_builds_a_reactor() -> None:
    assert advice_for(Toolchain("Go")).reactor.startswith("build with GOOS=wasip1 GOARCH=wasm go build ")
    assert advice_for(Toolchain("Go")).export.format("meta") == "write //go:wasmexport meta above a func() int32"
    assert "tinygo" in advice_for(Toolchain("TinyGo")).reactor
