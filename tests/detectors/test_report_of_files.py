"""Reading what is inspected: files of all sorts, as far as they are looked at, and paths that lead to none."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from detectors.batch import inspect_many
from detectors.bounds import InspectionBounds
from detectors.formats import HEADER
from detectors.report import ModuleReport, inspect
from tests.detectors.encoding import leb, section
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from tests.detectors.conftest import Build

GENERIC = ("start_stream", "stop_stream")
HUNDRED = InspectionBounds(max_size=100)


def _of(path: Path, data: bytes) -> ModuleReport:
    """What is reported of these bytes, under the name of a file."""
    return attrs.evolve(inspect(data), path=str(path))


def test_a_path_in_any_form_gives_the_report_of_its_bytes(build: Build, tmp_path: Path) -> None:
    file = tmp_path / "woox.wasm"
    file.write_bytes(build(GENERIC))
    assert inspect(file) == inspect(str(file)) == _of(file, build(GENERIC))


@pytest.mark.parametrize(
    ("name", "number", "words"),
    [
        ("missing.wasm", errno.ENOENT, "No such file"),
        ("", errno.EISDIR, "Is a directory"),
        ("a\0b", errno.EINVAL, "A path cannot contain a null character"),
    ],
    ids=["missing", "folder", "null character"],
)
def test_a_path_that_cannot_be_read_raises_an_os_error(tmp_path: Path, name: str, number: int, words: str) -> None:
    path = os.path.join(tmp_path, name)  # noqa: PTH118 - pathlib would drop the empty name
    with pytest.raises(OSError, match=words) as caught:
        inspect(path)
    assert (caught.value.errno, Path(caught.value.filename)) == (number, Path(path))


@pytest.mark.parametrize("name", ["\ud800.wasm", "folder/\udfff", "a\ud800\udc00.wasm"], ids=ascii)
@pytest.mark.parametrize("form", [str, Path])
def test_a_path_with_half_a_character_raises_an_os_error_that_can_be_printed(name: str, form: type) -> None:
    with pytest.raises(OSError, match="half a character") as caught:
        inspect(form(name))
    assert (caught.value.errno, str(caught.value).isascii()) == (errno.EINVAL, True)
    (outcome,) = inspect_many([form(name)])
    assert str(outcome) == str(caught.value)


def test_what_is_neither_bytes_nor_a_path_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="not int"):
        inspect(0)  # type: ignore[arg-type]  # a file descriptor, to open()


def test_a_file_name_that_is_no_text_is_escaped(build: Build, tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"woo\xff.wasm")
    file.write_bytes(build(GENERIC))
    assert inspect(file) == _of(tmp_path / "woo\\udcff.wasm", build(GENERIC))


def test_a_file_beyond_the_bound_is_not_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "large.wasm"
    file.write_bytes(HEADER + bytes(1000))
    found = inspect(file, bounds=HUNDRED)
    assert (found.size, found.sha256, found.diagnostics[0].slug) == (1008, "", "too-large")


def test_of_a_device_without_an_end_one_byte_more_than_the_bound_is_read() -> None:
    found = inspect("/dev/zero", bounds=HUNDRED)
    assert (found.size, found.sha256, found.runnable) == (101, "", False)
    assert [item.slug for item in found.diagnostics] == ["too-large"]


def test_a_file_up_to_the_bound_is_read_whole(tmp_path: Path) -> None:
    whole = HEADER + section(0, leb(1) + b"x" + bytes(88))
    assert len(whole) == 100
    file = tmp_path / "largest.wasm"
    file.write_bytes(whole)
    found = inspect(file, bounds=HUNDRED)
    assert found == _of(file, whole)
    assert [item.slug for item in found.diagnostics] == ["no-interface"]
    file.write_bytes(whole + b"\0")
    assert [item.slug for item in inspect(file, bounds=HUNDRED).diagnostics] == ["too-large"]


@pytest.mark.parametrize("size", [0, 1, 8, None])
def test_a_pipe_is_read_to_its_end(build: Build, tmp_path: Path, size: int | None) -> None:
    data = build(GENERIC, extra=f'(@custom "x" "{"x" * 300_000}")')[:size]  # more than a pipe holds
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(data,), daemon=True)
    writer.start()
    found = inspect(pipe)
    writer.join(HANG)
    assert found == _of(pipe, data)
    assert found.runnable is (size is None)


def test_a_file_that_does_not_tell_its_size_is_read_to_its_end() -> None:
    file = Path("/proc/version")
    assert file.stat().st_size == 0
    found = inspect(file)
    assert found == _of(file, file.read_bytes())
    assert found.size > 0
    assert "plain text" in found.reason


def test_a_file_that_fails_while_it_is_read_is_named_in_the_error() -> None:
    with pytest.raises(OSError, match="/proc/self/mem") as caught:
        inspect("/proc/self/mem")
    assert caught.value.filename == "/proc/self/mem"
