"""What a benchmark's child process is asked, and what it answers: one case, in a process of its own.

    python -m benchmarks.case '{"what": "product", "plugin": "generic", "count": 2000}'

A case is one JSON object, and so is its outcome, on stdout. Which functions run cases stands in ``benchmarks/case.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import attrs
import msgspec

from benchmarks.guests import fixture

__all__ = ["PLUGINS", "Case", "CaseError", "Outcome", "run_apart", "start_stream_input"]

ROOT = Path(__file__).resolve().parent.parent

#: The plugins of the benchmarks by what rows call them; the names on the right are those of ``fixtures/README.md``.
PLUGINS = {
    "generic": "generic-blocking",
    "legacy": "legacy-callback",
    "rust": "generic-rust",
}


class CaseError(Exception):
    """A case did not come to its end; the text says why."""


@attrs.frozen
class Case:
    """What is measured once.

    Attributes:
        what: Which function measures it, a key of ``benchmarks.case.CASES``.
        plugin: A key of ``PLUGINS``.
        streams: How many at once.
        count: Messages for each stream.
        rate: Messages a second and stream; 0: as fast as they are taken.
        trouble: What one stream of many has: ``slow``, a consumer that takes an item a second; ``flood``, tiny frames
            as fast as they are taken; empty: none has.
        by: How a stream is consumed: ``batches``, where streams have them, or ``items``.
        counted: Whether to count wake-ups of the event loop, which takes some time itself.
        reclaiming: Whether a Go host frees blocks of Extism's memory.
        go_host: The Go host's program.
        limit: Seconds until the case is ended.
    """

    what: str
    plugin: str = "generic"
    streams: int = 1
    count: int = 1
    rate: float = 0
    trouble: str = ""
    by: str = "batches"
    counted: bool = False
    reclaiming: bool = False
    go_host: str = ""
    limit: float = 120

    @property
    def kind(self) -> str:
        """``generic`` or ``legacy``."""
        return str(fixture(PLUGINS[self.plugin]).kind)

    @property
    def path(self) -> Path:
        """The plugin's file."""
        return fixture(PLUGINS[self.plugin]).path


@attrs.frozen
class Outcome:
    """What a case came to.

    Attributes:
        values: What was measured, by name: ``rate`` in messages a second, ``cpu`` in microseconds of processor time a
            message, ``p50`` and ``p99`` in milliseconds, ``core`` in per cent of one core, ...
        problems: What of the messages was missing, doubled or damaged. Where there are any, no value counts.
    """

    values: dict[str, float]
    problems: list[str] = attrs.field(factory=list)


def start_stream_input(kind: str, symbol: str = "BTC-USDT") -> bytes:
    """The input with which a host that uses no library of ours begins a stream of candles."""
    parameters = {"symbol": symbol, "interval": "1m", "timeframe": "1m"}
    if kind == "legacy":
        return json.dumps({"streamId": "s1", "streamType": "ohlcv", "parameters": parameters}).encode()
    key = {"type": "ohlcv", "source": "simex", "identifier": symbol, "parameters": {"timeframe": "1m"}}
    return json.dumps({**key, "connectionId": None}).encode()


def run_apart(case: Case) -> Outcome:
    """Run a case in a process of its own, which has ended when this returns, with all that it started.

    Raises:
        CaseError: It failed, or did not end in time.
    """
    command = [sys.executable, "-m", "benchmarks.case", msgspec.json.encode(case).decode()]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, cwd=ROOT, start_new_session=True, env=dict(os.environ)
        )
        try:
            answer, _ = process.communicate(timeout=case.limit)
        except subprocess.TimeoutExpired:
            raise CaseError(f"it did not end within {case.limit:.0f} s") from None
        finally:
            _end(process)
            if process.stdout is not None:
                process.stdout.close()
        complaints.seek(0)
        said = complaints.read().decode(errors="replace").strip().splitlines()
    if process.returncode:
        raise CaseError(said[-1] if said else f"it ended with code {process.returncode}, without a word")
    return msgspec.json.decode(answer, type=Outcome)


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its own session: the sender, too
    process.wait()
