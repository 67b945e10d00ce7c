"""Validation that takes its time, and inspection where threads are a matter of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

from detectors import module
from detectors.formats import ModuleError
from detectors.module import MAX_VALIDATION, read_module
from detectors.report import inspect
from tests.detectors.encoding import slow_to_validate

if TYPE_CHECKING:
    from tests.detectors.conftest import Build

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 40  # seconds, after which a process counts as one that hangs


def _runs(script: str, *arguments: str) -> str:
    """What a Python script prints, which ends well and says nothing else."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_validation_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_VALIDATION", 0.05)
    data = slow_to_validate(seconds=2)
    begun = time.perf_counter()
    with pytest.raises(ModuleError, match=r"not been validated within 0\.05 s") as caught:
        read_module(data)
    assert time.perf_counter() - begun < 1.5
    assert caught.value.slug == "too-large"
    report = inspect(data)
    assert [found.slug for found in report.diagnostics] == ["too-large"]
    assert not report.runnable
    assert (report.size, len(report.sha256)) == (len(data), 64)


def test_what_takes_long_but_not_too_long_is_valid() -> None:
    assert inspect(slow_to_validate(seconds=0.2)).diagnostics[0].slug == "no-interface"
    assert 5 <= MAX_VALIDATION <= 30


def test_the_deadline_holds_while_the_validator_is_at_work_for_other_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    held = threading.Event()
    monkeypatch.setattr(module, "MAX_VALIDATION", 0.05)
    monkeypatch.setattr(wasmtime.Module, "validate", lambda *_: held.wait(20))
    try:
        for _ in range(3):
            with pytest.raises(ModuleError, match="not been validated"):
                read_module(b"\0asm\1\0\0\0")
    finally:
        held.set()


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


ABANDONED = """
import sys, threading
from detectors import module
from detectors.report import inspect
from tests.detectors.encoding import slow_to_validate

module.MAX_VALIDATION = 0.05
print(inspect(slow_to_validate(seconds=60)).diagnostics[0].slug)
assert any(thread.name == "validate" for thread in threading.enumerate())
"""


def test_a_validation_that_nobody_waits_for_any_more_keeps_no_process_from_ending() -> None:
    begun = time.perf_counter()
    assert _runs(ABANDONED) == "too-large\n"
    assert time.perf_counter() - begun < 20
