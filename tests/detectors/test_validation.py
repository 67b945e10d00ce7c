"""Validation that takes its time, and inspection where threads are a matter of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

from detectors.bounds import InspectionBounds
from detectors.formats import HEADER, ModuleError
from detectors.module import read_module
from detectors.report import inspect
from tests.detectors.encoding import slow_to_validate
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from tests.detectors.conftest import Build

ROOT = Path(__file__).resolve().parents[2]
IMPATIENT = InspectionBounds(validation_timeout=0.05)
PATIENT = InspectionBounds(validation_timeout=HANG)


def _runs(script: str, *arguments: str) -> str:
    """What a Python script prints, which ends well and says nothing else."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=HANG,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[threading.Thread]]:
    """A validator that does not end before the test does; the threads on which it is at work."""
    released = threading.Event()
    at_work: list[threading.Thread] = []

    def validate(*_: object) -> None:
        at_work.append(threading.current_thread())
        released.wait(HANG)

    monkeypatch.setattr(wasmtime.Module, "validate", validate)
    yield at_work
    released.set()
    for thread in at_work:
        thread.join(HANG)


def test_validation_has_a_deadline_whatever_the_validator_is_doing(endless: list[threading.Thread]) -> None:
    for module in range(3):  # the validator is at work for those before it as well
        with pytest.raises(ModuleError, match=r"not been validated within 0\.05 s") as caught:
            read_module(HEADER, bounds=IMPATIENT)
        assert caught.value.slug == "too-large"
        assert [thread.is_alive() for thread in endless] == [True] * (module + 1)


def test_what_is_not_validated_in_time_has_a_report_with_all_else(endless: list[threading.Thread]) -> None:
    report = inspect(HEADER, bounds=IMPATIENT)
    assert [(found.slug, found.severity) for found in report.diagnostics] == [("too-large", "error")]
    assert not report.runnable
    assert (report.size, len(report.sha256)) == (len(HEADER), 64)
    assert [thread.is_alive() for thread in endless] == [True]


def test_the_verdict_is_waited_for_however_long_ago_the_interface_was_read() -> None:
    valid = slow_to_validate(seconds=0.2)
    assert [found.slug for found in inspect(valid, bounds=PATIENT).diagnostics] == ["no-interface"]
    invalid = valid[:-2] + b"\x01" + valid[-1:]  # which is found at the end of the function, behind all that takes long
    assert [found.slug for found in inspect(invalid, bounds=PATIENT).diagnostics] == ["invalid-module"]


FORKED = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, at a fork beside threads
from detectors.report import inspect

before = [inspect(path).to_dict() for path in sys.argv[1:]]
children = []
for _ in range(3):
    child = os.fork()
    if not child:
        try:
            same = [inspect(path).to_dict() for path in sys.argv[1:]] == before
            os.write(1, b"same " if same else b"different ")
        finally:
            os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
assert [inspect(path).to_dict() for path in sys.argv[1:]] == before
"""
PLUGIN = ROOT / "fixtures/plugins/legacy-command/plugin.wasm"  # large enough for wasmtime to share it among threads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_can_inspect_what_its_parent_has_inspected_before() -> None:
    assert _runs(FORKED, str(PLUGIN), str(ROOT / "fixtures/zig/generic-blocking/plugin.wasm")) == "same same same "


LATE = """
import atexit, sys
from detectors.report import inspect

def tell():
    print(inspect(sys.argv[1]).kind, inspect(b"").diagnostics[0].slug)

atexit.register(tell)
if len(sys.argv) > 2:
    inspect(sys.argv[1])
"""


@pytest.mark.parametrize("more", [(), ("before",)], ids=["for the first time", "again"])
def test_a_module_can_be_inspected_while_the_interpreter_ends(more: tuple[str, ...]) -> None:
    assert _runs(LATE, str(PLUGIN), *more) == "legacy not-wasm\n"


def test_a_module_is_validated_even_where_no_thread_can_be_started(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    data = build(["start_stream", "stop_stream"])
    monkeypatch.setattr(threading.Thread, "start", start)
    assert inspect(data).runnable
    damaged = data[:-2] + b"\xfa" + data[-1:]
    assert [found.slug for found in inspect(damaged).diagnostics] == ["invalid-module"]


# What is called at the exit runs after all threads that keep the process from ending have ended.
ABANDONED = """
import atexit, threading
from detectors.bounds import InspectionBounds
from detectors.report import inspect
from tests.detectors.encoding import slow_to_validate

atexit.register(lambda: print([thread.name for thread in threading.enumerate() if thread.name == "validate"]))
report = inspect(slow_to_validate(seconds=70), bounds=InspectionBounds(validation_timeout=0.05))
print(report.diagnostics[0].slug)
"""


def test_a_validation_that_nobody_waits_for_any_more_keeps_no_process_from_ending() -> None:
    assert _runs(ABANDONED) == "too-large\n['validate']\n"
