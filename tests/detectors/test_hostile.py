"""Damaged and hostile modules: a report, soon, and never an error of another type.

A short run of ``python -m benchmarks.fuzz``, which can run longer, and files that are large rather than clever.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.fuzz import MUTATIONS, SLOWEST, examine, mutant, originals
from detectors.formats import HEADER
from detectors.report import inspect
from tests.detectors.encoding import leb, section
from tests.support.timing import measured

MEBI = 1 << 20


def test_a_thousand_damaged_modules_have_a_report_each_soon() -> None:
    whole = originals()
    slugs: set[str] = set()
    for seed in range(1_000):
        data = mutant(seed, whole)
        with measured() as took:
            report, _ = examine(data)
        assert took() < SLOWEST, f"seed {seed}"
        slugs.update(found.slug for found in report.diagnostics)
    # They are not all broken in the same way, and some are not broken at all.
    assert {"truncated", "invalid-module", "not-wasm", "no-interface"} < slugs


@pytest.mark.parametrize("mutation", dict.fromkeys(MUTATIONS), ids=lambda mutation: mutation.__name__)
def test_each_mutation_is_reproducible_and_changes_most_modules(mutation: object) -> None:
    import random  # noqa: PLC0415 - the only test that needs it

    assert callable(mutation)
    whole = originals()
    changed = 0
    for data in whole:
        one, other = (mutation(data, random.Random(5), whole) for _ in range(2))
        assert one == other
        changed += one != data
    assert changed > len(whole) / 2


MEMORY, TABLE = section(5, b"\x01\0\x01"), section(4, b"\x01\x70\0\0")
LARGE = {
    # Sparse on the disk. Zeros are empty custom sections without a name, as far as they are read.
    "200 MB of zeros behind a header": (HEADER, 200_000_000),
    "a custom section": (HEADER + section(0, b"\1x", 95 * MEBI), 13 + 95 * MEBI),
    "zeros in the data section": (HEADER + section(11, leb(1) + b"\1" + leb(95 * MEBI - 6), 95 * MEBI), 13 + 95 * MEBI),
    "80,000,000 segments announced": (HEADER + section(11, leb(80_000_000), 95 * MEBI), 13 + 95 * MEBI),
}
MEASURE = """
import resource, sys, time
from detectors.report import inspect
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = inspect(sys.argv[1])
took = time.process_time()
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(report.size, report.diagnostics[0].slug, took, memory // 1024)
"""


@pytest.mark.parametrize("name", LARGE)
def test_large_files_are_reported_soon_in_bounded_memory(name: str, tmp_path: Path) -> None:
    file = tmp_path / "large.wasm"
    start, size = LARGE[name]
    with file.open("wb") as out:
        out.write(start)
        out.truncate(size)
    done = subprocess.run([sys.executable, "-c", MEASURE, file], capture_output=True, text=True, check=True)
    told_size, slug, took, memory = done.stdout.split()
    assert int(told_size) == size
    assert slug in {"too-large", "no-interface", "invalid-module"}
    assert float(took) < SLOWEST  # on all cores together
    assert int(memory) < 400, "MiB"  # the file, and wasmtime's copy of it


def data_of(contents: bytes) -> bytes:
    """A module with a memory of one page and these contents for it."""
    return HEADER + MEMORY + section(11, b"\1\0\x41\0\x0b" + leb(len(contents)) + contents)


REPEATED = {
    "data segments": HEADER + MEMORY + section(11, leb(100_000) + b"\1\2xx" * 100_000),
    "active data segments": HEADER + MEMORY + section(11, leb(100_000) + b"\0\x41\0\x0b\0" * 100_000),
    "what looks like headers": data_of(b"\0\x41" * 1_000_000),
    "what looks like sums": data_of(b"\0\x41\0\x41" * 1_000_000),
    "elements": HEADER + TABLE + section(9, b"\x02" + (b"\5\x70" + leb(500_000) + b"\xd0\x70\x0b" * 500_000) * 2),
    "globals": HEADER + section(6, leb(100_000) + b"\x7f\0\x41\0\x0b" * 100_000),
    "a sum": HEADER + MEMORY + section(11, b"\1\0" + b"\x41\0" * 50_000 + b"\x6a" * 49_999 + b"\x0b\0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REPEATED)
def test_repetition_takes_no_time_to_speak_of(name: str) -> None:
    with measured() as took:
        report = inspect(REPEATED[name])
    assert took() < SLOWEST
    assert {"truncated", "invalid-module", "too-large"}.isdisjoint(found.slug for found in report.diagnostics)
