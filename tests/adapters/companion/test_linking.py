"""What Extism is given for a plugin: its manifest, and the file in memory that it names."""

from __future__ import annotations

import base64
import gc
import os
import sys
from pathlib import Path

import msgspec
import pytest
import wasmtime

from adapters.companion import linking
from adapters.companion.linking import Linked, MemoryFile, link
from adapters.companion.rewriting import Ceilings, rewrite
from tests.hostile.lacking import no_files

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has files in memory")


def module(number: int = 0) -> bytes:
    """A plugin that is like no other."""
    text = f'(module (memory (export "memory") 1) (func (export "run") (result i32) (i32.const {number})))'
    return bytes(wasmtime.wat2wasm(text))


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    linking._linked.clear()


def modules(linked: Linked) -> dict[str, dict[str, str]]:
    """The modules of a manifest, by their names."""
    return {each["name"]: each for each in msgspec.json.decode(linked.manifest)["wasm"]}


@on_linux
def test_the_plugin_is_read_from_a_file_in_memory() -> None:
    linked = link(module())
    path = modules(linked)["compat:guest"]["path"]
    assert Path(path).read_bytes() == rewrite(module()).wasm
    assert len(linked.manifest) < 100_000


def test_the_manifest_itself_has_it_where_there_are_no_such_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    linked = link(module())
    assert base64.b64decode(modules(linked)["compat:guest"]["data"]) == rewrite(module()).wasm
    assert linked.intact


@on_linux
def test_so_it_does_where_files_in_memory_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> int:
        raise OSError("too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    assert "data" in modules(link(module()))["compat:guest"]


def test_equal_modules_are_linked_once_for_the_same_ceilings() -> None:
    first = link(module())
    assert link(module()) is first
    others = [link(module(), Ceilings(2**20)), link(module(1))]
    assert len({first.key, *(other.key for other in others)}) == 3
    assert link(module()) is first


@on_linux
def test_the_file_ends_with_the_last_use_of_it() -> None:
    path = MemoryFile(b"module").path
    gc.collect()
    assert not Path(path).exists()


@on_linux
def test_a_file_whose_descriptor_was_closed_is_made_again() -> None:
    linked = link(module())
    os.close(int(modules(linked)["compat:guest"]["path"].rpartition("/")[2]))
    assert not linked.intact
    again = link(module())
    assert again.intact
    assert (again.key, link(module())) == (linked.key, again)
    assert Path(modules(again)["compat:guest"]["path"]).read_bytes() == rewrite(module()).wasm


@on_linux
def test_what_took_its_number_meanwhile_is_neither_read_nor_closed() -> None:
    file = MemoryFile(b"module")
    number = int(file.path.rpartition("/")[2])
    with open(os.devnull, "rb") as other:  # noqa: PTH123 - of which the descriptor counts
        os.dup2(other.fileno(), number)
    assert not file.intact
    del file
    gc.collect()
    os.close(number)  # which fails if it has been closed


@on_linux
def test_what_keeps_extism_from_reading_the_file_is_the_machine_s_fault() -> None:
    linked = link(module())
    path = modules(linked)["compat:guest"]["path"]
    said = f'Unable to load Wasm file "{path}": uncategorized error'
    for_a_moment = linked.fault(said)
    assert for_a_moment is not None
    assert "too many files open" in for_a_moment.what
    with no_files():
        without_files = linked.fault(said)
    os.close(int(path.rpartition("/")[2]))
    closed = linked.fault(said)
    assert without_files is not None
    assert "too many files open" in without_files.what
    assert closed is not None
    assert "No such file" in closed.what
    assert linked.fault("wasm trap") is None


def test_without_a_file_nothing_is_the_fault_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    assert link(module()).fault('Unable to load Wasm file "/proc/self/fd/7": uncategorized error') is None
