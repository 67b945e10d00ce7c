from __future__ import annotations

import pytest

from detectors.toolchain import Toolchain, recognise


def _producers(*entries: tuple[str, str]) -> bytes:
    def text(value: str) -> bytes:
        return bytes([len(value)]) + value.encode()

    return b"\x01" + text("processed-by") + bytes([len(entries)]) + b"".join(text(a) + text(b) for a, b in entries)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([("Go cmd/compile", "go1.26.8")], Toolchain("Go", "go1.26.8")),
        ([("clang", "18.1.2"), ("TinyGo", "0.39.0")], Toolchain("TinyGo", "0.39.0")),
        ([("clang", "18.1.2"), ("rustc", "1.80.0 (0514789 2024)")], Toolchain("Rust", "1.80.0 (0514789 2024)")),
        ([("clang", "18.1.2")], Toolchain("C/C++", "18.1.2")),
        ([("AssemblyScript", "")], Toolchain("AssemblyScript")),
        ([("Go cmd/compile", "\x1b[2J")], Toolchain("Go")),
        ([("something", "1")], None),
    ],
)
def test_the_producers_section_names_the_toolchain(entries: list[tuple[str, str]], expected: Toolchain | None) -> None:
    assert recognise(b"", {"producers": _producers(*entries)}) == expected


def test_a_producers_section_that_ends_early_still_names_it() -> None:
    assert recognise(b"", {"producers": b"\x0eGo cmd/compile"}) == Toolchain("Go")


@pytest.mark.parametrize("name", ["go:buildid", "go.buildid"])
def test_gos_build_identity_section_is_enough(name: str) -> None:
    assert recognise(b"", {name: b""}) == Toolchain("Go")


@pytest.mark.parametrize(
    "mark", [bytes.fromhex("3077af0c9274080241e1c107e6d618e6"), b"\xff Go buildinf:"], ids=["modinfo", "buildinf"]
)
def test_gos_marks_in_the_data_survive_stripping(mark: bytes) -> None:
    assert recognise(b"\0asm..." + mark + b"path\tplugin", {}) == Toolchain("Go")


def test_no_mark_means_no_answer() -> None:
    assert recognise(b"\0asm go1.26 golang", {}) is None


def test_it_reads_as_text() -> None:
    assert str(Toolchain("Go", "go1.26.8")) == "Go (go1.26.8)"
    assert str(Toolchain("Rust")) == "Rust"
