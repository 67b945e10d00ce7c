"""Measure everything beside every peer, in one run, and print one table of ratios.

Every case runs in a process of its own; the cases of a group take turns, and the median of the rounds counts. "spread"
is the least and the most of the rounds, "by CPU" the same ratio by processor time. "~" marks what other work on the
machine disturbed: a loop that is timed between the cases took 15 % longer in a fifth of the times than at its quickest.

    python -m benchmarks [--quick] [--rows PATTERN] [--json FILE] [--write DOCUMENT] [--list]

The whole takes less than half an hour on two idle cores, --quick a few minutes. The exit code is 0 whatever was
reached, and 1 where a message was missing or a case failed.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.cases import Case, CaseError, run_apart
from benchmarks.go_host import build_go_host
from benchmarks.picture import picture, words
from benchmarks.rows import GROUPS, ROWS
from benchmarks.running import Result, measure, quickened, read
from benchmarks.table import as_json, as_markdown, as_text, machine, side_tables, write_between

_LOCK = "lock"


def chosen(*, quick: bool, pattern: str) -> tuple[str, ...]:
    """The groups that are run: those with a row whose group or measure matches."""
    wanted = re.compile(pattern, re.IGNORECASE)
    matching = {row.group for row in ROWS if wanted.search(row.measure) or wanted.search(row.group)}
    if wanted.search(_LOCK):
        matching.add(_LOCK)
    return tuple(name for name, group in GROUPS.items() if name in matching and (group.quick or not quick))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="some of the rows, with fewer messages")
    parser.add_argument("--rows", default="", metavar="PATTERN", help="only groups and measures that match")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round to a file")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put the table and the picture into a document")
    parser.add_argument("--list", action="store_true", help="name the rows that would be run, and run none")
    arguments = parser.parse_args()
    groups = chosen(quick=arguments.quick, pattern=arguments.rows)
    rows = [row for row in ROWS if row.group in groups]
    if arguments.quick or arguments.list:
        print("rows of this run:", *(f"  {row.group}: {row.measure}" for row in rows), sep="\n", flush=True)
    if arguments.list:
        return 0
    begun, notes = time.monotonic(), [f"Measured on {machine()}."]
    results: dict[str, Result] = {}
    with tempfile.TemporaryDirectory() as folder:
        go_host = None
        if any(case.what == "go" for name in groups for case in GROUPS[name].cases.values()):
            try:
                go_host = str(build_go_host(Path(folder)))
            except CaseError as error:
                notes.append(f"The Go host was left out: {error}.")
        for name in groups:
            group = quickened(GROUPS[name]) if arguments.quick else GROUPS[name]
            results[name] = measure(group, go_host=go_host, told=lambda case, name=name: _tell(name, case))  # type: ignore[misc]
    _tell("", "")
    noisy = [name for name, result in results.items() if result.noisy]
    if noisy:
        notes.append(f"NOISY: other work on the machine disturbed {', '.join(noisy)}; figures marked ~ may be far off.")
    if arguments.quick:
        notes.append("A quick run: few rounds, few messages, and not every row.")
    measured = [read(row, results[row.group]) for row in rows]
    side = side_tables(results)
    print(as_text(measured, side, [*notes, f"It took {time.monotonic() - begun:.0f} s."]))
    if arguments.json:
        arguments.json.write_bytes(as_json(measured, results, notes))
    if arguments.write:
        write_between(arguments.write, "table", as_markdown(measured, side, notes))
        write_picture(arguments.write)
    return 1 if any(result.problems for result in results.values()) else 0


def write_picture(document: Path) -> None:
    """Draw where the time of one message goes, beside a document, and say it in words there."""
    profiles = {kind: run_apart(Case("where", kind, count=20_000)).values for kind in ("generic", "legacy")}
    document.with_suffix(".svg").write_text(picture(profiles), encoding="utf-8")
    write_between(document, "profile", words(profiles))


def _tell(group: str, case: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{group}: {case}" if group else "\r\x1b[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
