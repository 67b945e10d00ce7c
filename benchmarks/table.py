"""The table of ``make bench`` as text, as Markdown and as JSON."""

from __future__ import annotations

import datetime as dt
import os
import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec

from benchmarks.running import Measured, Result

__all__ = ["as_json", "as_markdown", "as_text", "machine", "side_tables", "write_between"]

_HEAD = ("measure", "before", "reached", "spread", "by CPU", "to reach", "")
#: What further tables show of each case of some groups: the groups, and the columns by what they are called.
_SIDE: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = (
    (("ten", "hundred", "forty", "one"), {"p50, ms": "p50", "p99, ms": "p99", "% of a core": "core"}),
    (
        ("lock",),
        {
            "threads": "threads",
            "voluntary switches a message": "voluntary",
            "involuntary": "involuntary",
            "wake-ups of the loop a message": "wakeups",
        },
    ),
)
_VERDICTS = {True: "yes", False: "NO", None: ""}
_LIBRARIES = ("extism", "extism-sys", "wasmtime", "websockets")


def machine() -> str:
    """What it was measured on, in one line."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, CPython {platform.python_version()}, {libraries}"


def _cells(measured: Measured) -> tuple[str, ...]:
    row, value = measured.row, measured.value
    reached = "-" if value is None else row.form.format(value)
    spread = "" if measured.spread is None else " to ".join(_bare(row.form, each) for each in measured.spread)
    cpu = "" if measured.cpu is None else f"{measured.cpu:.2f} x"
    noisy = "~ " if measured.noisy and value is not None else ""
    verdict = _VERDICTS[measured.reached] + (f" ({measured.problem})" if measured.problem else "")
    return (row.measure, row.before, noisy + reached, spread, cpu, row.wanted, verdict.strip())


def _bare(form: str, value: float) -> str:
    """A value without its unit."""
    return re.sub(r"[^-+0-9.,]", "", form.format(value))


def side_tables(results: Mapping[str, Result]) -> list[list[tuple[str, ...]]]:
    """Latencies, and what threads do, as medians of each case; only of groups that were run. Heads come first."""
    tables = []
    for groups, columns in _SIDE:
        rows = [
            (f"{group}: {case}", *_medians(values, columns))
            for group in groups
            if group in results
            for case, values in results[group].values().items()
        ]
        tables += [[("case", *columns), *rows]] if rows else []
    return tables


def _medians(values: Mapping[str, float], columns: Mapping[str, str]) -> list[str]:
    return [f"{values[name]:.3g}" if name in values else "-" for name in columns.values()]


def _text_table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body))


def as_text(rows: Iterable[Measured], side: Iterable[Sequence[Sequence[str]]], notes: Iterable[str]) -> str:
    """Everything, for a terminal."""
    parts = [_text_table([_HEAD, *map(_cells, rows)]), *map(_text_table, side), *notes]
    return "\n\n".join(parts)


def as_markdown(rows: Iterable[Measured], side: Iterable[Sequence[Sequence[str]]], notes: Iterable[str]) -> str:
    """Everything, for a document."""
    parts = [_markdown_table([_HEAD, *map(_cells, rows)]), *map(_markdown_table, side), *notes]
    return "\n\n".join(parts)


def as_json(rows: Iterable[Measured], results: Mapping[str, Result], notes: Iterable[str]) -> bytes:
    """Everything that was measured, each round of it."""
    document = {
        "schemaVersion": 1,
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "notes": list(notes),
        "rows": [
            {
                "group": measured.row.group,
                "measure": measured.row.measure,
                "before": measured.row.before,
                "value": measured.value,
                "spread": measured.spread,
                "cpu": measured.cpu,
                "wanted": measured.row.wanted,
                "reached": measured.reached,
                "noisy": measured.noisy,
                "problem": measured.problem,
            }
            for measured in rows
        ],
        "groups": {
            name: {"noise": result.noise, "problems": result.problems, "rounds": result.rounds}
            for name, result in results.items()
        },
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1)


def write_between(path: Path, name: str, text: str) -> None:
    """Replace what a document has between ``<!-- NAME -->`` and ``<!-- end of NAME -->``.

    Raises:
        ValueError: It has no such place.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = path.read_text(encoding="utf-8").partition(begin)
    _, ended, after = rest.partition(end)
    if not found or not ended:
        raise ValueError(f"{path} has no place for {name}: {begin} ... {end}")
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
