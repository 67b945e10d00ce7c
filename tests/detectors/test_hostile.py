"""Damaged and hostile modules: a report, never an error of another type, and never more work than a module deserves.

Work is counted in lines of Python, which are the same on every machine. ``python -m benchmarks.fuzz`` measures how long
the same modules take, and very many more.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fuzz import HOSTILE, MUTATIONS, examine, mutant, originals
from detectors.formats import HEADER
from tests.detectors.counting import counted_lines
from tests.detectors.encoding import leb, section
from tests.detectors.examples import few_and_many
from tests.support.waiting import HANG

ROOT = Path(__file__).resolve().parents[2]
MEBI = 1 << 20
INVALID = ["invalid-module"]
NO_PLUGIN = ["no-interface"]


@few_and_many(100, 1_000)
def test_damaged_modules_have_a_report_each_for_little_work(examples: int) -> None:
    whole = originals()
    slugs: set[str] = set()
    for seed in range(examples):
        data = mutant(seed, whole)
        with counted_lines() as lines:
            report, _ = examine(data)
        assert lines() < 50_000 + 25 * len(data), f"seed {seed}"
        slugs.update(found.slug for found in report.diagnostics)
    # They are not all broken in the same way, and some are not broken at all.
    assert {"truncated", "invalid-module", "not-wasm", "no-interface"} <= slugs


def test_each_mutation_is_reproducible_and_changes_most_modules() -> None:
    whole = originals()
    for mutation in dict.fromkeys(MUTATIONS):
        changed = 0
        for data in whole:
            one, other = (mutation(data, random.Random(5), whole) for _ in range(2))
            assert one == other, mutation.__name__
            changed += one != data
        assert changed > len(whole) / 2, mutation.__name__


FEW = 20_000  # lines, among them those by which a pattern is compiled for the first time
# What is found of each module, and the most lines that may be run for it: half as many again as it takes.
EXPECTED: dict[str, tuple[list[str], int]] = {
    "a million sections": (["too-large"], 720_000),
    "a million types": (["too-large"], FEW),
    "5,000 imports that look like others": ([*NO_PLUGIN, *["unknown-host-function"] * 21], 1_600_000),
    "5,000 exports that look like others": (NO_PLUGIN, 1_400_000),
    "globals each computed from the one before": (NO_PLUGIN, 1_300_000),
    "passive data segments": (NO_PLUGIN, FEW),
    "active data segments": (NO_PLUGIN, 9_200_000),
    "a sum": (NO_PLUGIN, 1_200_000),
    "elements": (NO_PLUGIN, FEW),
    "what looks like beginnings of segments": (NO_PLUGIN, FEW),
    "what looks like segments": (NO_PLUGIN, 80_000),
    "what looks like segments far away": (NO_PLUGIN, FEW),
    "what looks like no segments": (NO_PLUGIN, 80_000),
    "what looks like sums": (NO_PLUGIN, FEW),
    "a million imports": (INVALID, FEW),
    "a million imports announced": (INVALID, FEW),
    "a number without an end": (INVALID, FEW),
    "a section of 4 GB": (["truncated"], FEW),
    "deep nesting": (INVALID, FEW),
    "a name of a megabyte": (INVALID, FEW),
    "a name that is no text": (INVALID, FEW),
}


def test_every_hostile_module_of_the_benchmark_is_tested_here() -> None:
    assert list(EXPECTED) == list(HOSTILE)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_module_has_a_report_for_bounded_work(name: str) -> None:
    slugs, most = EXPECTED[name]
    with counted_lines() as lines:
        report, _ = examine(HOSTILE[name])
    assert [found.slug for found in report.diagnostics] == slugs
    assert lines() < most
    assert max(len(found.message) for found in report.diagnostics) < 150


# What a file begins with, how large it is, and what is found of it. The rest of it are zeros, sparse on the disk: they
# are empty custom sections without a name, as far as they are read.
LARGE = {
    "200 MB of zeros behind a header": (HEADER, 200_000_000, "too-large"),
    "a custom section": (HEADER + section(0, b"\1x", 95 * MEBI), 13 + 95 * MEBI, "no-interface"),
    "zeros in the data section": (
        HEADER + section(11, leb(1) + b"\1" + leb(95 * MEBI - 6), 95 * MEBI),
        13 + 95 * MEBI,
        "no-interface",
    ),
    "80,000,000 segments announced": (
        HEADER + section(11, leb(80_000_000), 95 * MEBI),
        13 + 95 * MEBI,
        "invalid-module",
    ),
}
MEASURE = """
import resource, sys
from detectors.report import inspect
from tests.detectors.counting import counted_lines
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with counted_lines() as lines:
    report = inspect(sys.argv[1])
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(report.size, report.diagnostics[0].slug, lines(), memory // 1024)
"""


@pytest.mark.parametrize("name", LARGE)
def test_a_large_file_is_reported_for_bounded_work_in_bounded_memory(name: str, tmp_path: Path) -> None:
    file = tmp_path / "large.wasm"
    start, size, slug = LARGE[name]
    with file.open("wb") as out:
        out.write(start)
        out.truncate(size)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, file], cwd=ROOT, capture_output=True, text=True, check=True, timeout=HANG
    )
    told_size, told_slug, lines, memory = done.stdout.split()
    assert (int(told_size), told_slug) == (size, slug)
    assert int(lines) < FEW
    assert int(memory) < 400, "MiB"  # the file, and wasmtime's copy of it
