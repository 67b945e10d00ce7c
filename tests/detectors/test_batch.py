from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from detectors import batch
from detectors.batch import inspect_many
from detectors.report import ModuleReport, inspect
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.detectors.conftest import Build


@pytest.fixture
def files(build: Build, tmp_path: Path) -> list[Path]:
    """Fifty different modules."""
    paths = [tmp_path / f"{n}.wasm" for n in range(50)]
    for n, path in enumerate(paths):
        path.write_bytes(build(["start_stream", f"export_{n}"]))
    return paths


@pytest.mark.parametrize("workers", [None, 1, 7])
def test_every_file_has_its_report_in_the_order_of_the_files(files: list[Path], workers: int | None) -> None:
    assert list(inspect_many(files, workers=workers)) == [inspect(path) for path in files]


def test_no_files_have_no_reports() -> None:
    assert list(inspect_many([])) == []


def test_a_file_that_cannot_be_read_has_its_error_in_its_place(files: list[Path], tmp_path: Path) -> None:
    first, error, last = inspect_many([files[0], tmp_path / "missing.wasm", files[1]])
    assert isinstance(error, FileNotFoundError)
    assert error.filename == str(tmp_path / "missing.wasm")
    assert (first, last) == (inspect(files[0]), inspect(files[1]))


def test_only_a_few_files_are_asked_for_ahead(files: list[Path]) -> None:
    asked = 0

    def asking() -> Iterator[Path]:
        nonlocal asked
        for path in itertools.cycle(files):
            asked += 1
            yield path

    reports = inspect_many(asking(), workers=2)
    for taken in range(1, 11):
        next(reports)
        assert asked == taken + 4  # two for each worker
    reports.close()  # type: ignore[attr-defined]  # a generator's
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("inspect")]


def test_as_many_files_as_there_are_workers_are_inspected_at_the_same_time(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(3)  # which lets nobody go on before all three are there

    def meet(path: Path) -> ModuleReport:
        together.wait(HANG)
        return inspect(path)

    monkeypatch.setattr(batch, "inspect", meet)
    assert list(inspect_many(files[:6], workers=3)) == [inspect(path) for path in files[:6]]


def test_one_file_needs_no_threads(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def told(path: Path) -> ModuleReport:
        threads.append(threading.current_thread())
        return inspect(path)

    monkeypatch.setattr(batch, "inspect", told)
    assert list(inspect_many(files[:1], workers=3)) == [inspect(files[0])]
    assert threads == [threading.current_thread()]


def test_what_is_no_fault_of_the_file_is_raised(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> ModuleReport:
        raise RuntimeError("a defect")

    monkeypatch.setattr(batch, "inspect", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        list(inspect_many(files))
