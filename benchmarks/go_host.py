"""Extism's Go SDK on wazero: a host in another language, built from ``benchmarks/go-host`` where there is Go."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import msgspec

from benchmarks.cases import Case, CaseError, Outcome, start_stream_input
from benchmarks.feed import ACKNOWLEDGEMENT, Feed

__all__ = ["build_go_host", "go_host"]

_SOURCE = Path(__file__).parent / "go-host"


def build_go_host(folder: Path) -> Path:
    """Build the Go host into a folder. Returns its program.

    Raises:
        CaseError: There is no Go, or it cannot build it (its modules may not be to be had).
    """
    go = shutil.which("go") or next((path for path in ["/usr/local/go/bin/go"] if Path(path).exists()), None)
    if go is None:
        raise CaseError("there is no Go here")
    program = folder / "go-host"
    built = subprocess.run(
        [go, "build", "-trimpath", "-o", program, "."], cwd=_SOURCE, capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise CaseError(f"go build failed: {(built.stderr.strip() or 'without a word').splitlines()[-1]}")
    return program


def go_host(case: Case) -> Outcome:
    """Run a plugin in the Go host; the messages are those of the other hosts."""
    with tempfile.TemporaryDirectory() as folder:
        key, messages = Path(folder) / "key.json", Path(folder) / "messages"
        key.write_bytes(start_stream_input(case.kind))
        acknowledgement = [ACKNOWLEDGEMENT] if case.kind == "generic" else []
        messages.write_text("\n".join([*acknowledgement, *Feed("constant", case.count)]) + "\n")
        way = "reclaiming" if case.reclaiming else "plain"
        command = [case.go_host, case.kind, way, str(case.path), str(key), str(messages)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CaseError((done.stderr.strip() or "without a word").splitlines()[-1])
    values = msgspec.json.decode(done.stdout, type=dict[str, float])
    sent, delivered = values["sent"], values["delivered"]
    return Outcome(values, [] if sent == delivered else [f"{delivered:.0f} of {sent:.0f} messages were delivered"])
