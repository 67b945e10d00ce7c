"""``plugin-compat inspect``: what modules are, without running them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import attrs
import click
import msgspec

from compat.cli.command import Command
from compat.cli.modules import MODULES, STDIN, files
from compat.cli.progress import counting
from compat.cli.reports import github, sarif, text
from compat.cli.reports.verdict import Verdict
from detectors.batch import inspect_many
from detectors.module import MAX_MODULE_SIZE
from detectors.report import ModuleReport
from detectors.report import inspect as inspect_module
from detectors.rules import INTERFACES

__all__ = ["inspect"]

_KINDS = list(dict.fromkeys(row.kind.value for row in INTERFACES))

Render = Callable[[Sequence[Verdict], Sequence[OSError]], str]


def _json(verdicts: Sequence[Verdict], _: Sequence[OSError]) -> str:
    document = {"schemaVersion": 1, "reports": [verdict.to_dict() for verdict in verdicts]}
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def _ndjson(verdicts: Sequence[Verdict], _: Sequence[OSError]) -> str:
    return "\n".join(msgspec.json.encode({"schemaVersion": 1, **verdict.to_dict()}).decode() for verdict in verdicts)


_FORMATS: dict[str, Render] = {
    "text": lambda verdicts, _: text.render(verdicts) if verdicts else "",
    "json": _json,
    "ndjson": _ndjson,
    "sarif": sarif.render,
    "github": lambda verdicts, _: github.render(verdicts),
}


@click.command(cls=Command, short_help="Say what modules are, without running them.")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=MODULES)
@click.option("--expect", type=click.Choice(_KINDS), help="Fail what is not of this kind.")
@click.option("--strict", is_flag=True, help="Let warnings fail as errors do.")
@click.option(
    "--format",
    "style",
    type=click.Choice(list(_FORMATS)),
    default="text",
    show_default=True,
    help="For people; as one JSON document or one JSON value a line; for code scanning; for GitHub Actions.",
)
def inspect(paths: tuple[tuple[Path, ...], ...], expect: str | None, strict: bool, style: str) -> int:
    """Say what each module is: its kind and dialect, what is wrong with it, and what to do about that.

    PATH is a file, a folder (all .wasm files in it, at any depth), a pattern in quotes, or - for standard input.
    Nothing is ever run or compiled. Exits with 1 if any module has an error.

    \b
    Examples:
      plugin-compat inspect woox.wasm
      plugin-compat inspect plugins/ --expect generic --strict
      plugin-compat inspect 'plugins/**/*.wasm' --format ndjson | jq -r 'select(.runnable | not) | .path'
      plugin-compat inspect plugins/ --format sarif > findings.sarif
    """
    chosen = list(files(paths))
    verdicts: list[Verdict] = []
    unread: list[OSError] = []
    with counting("inspecting", len(chosen)) as count:
        for outcome in _inspected(chosen):
            if isinstance(outcome, OSError):
                unread.append(outcome)
            else:
                verdicts.append(Verdict(outcome, expect, strict))
            count()
    rendered = _FORMATS[style](verdicts, unread)
    if rendered:
        click.echo(rendered)
    for error in unread[1:]:
        click.echo(f"error: {error.filename}: {error.strerror or error}", err=True)
    if unread:
        raise unread[0]
    return 1 if any(verdict.failed for verdict in verdicts) else 0


def _inspected(paths: Iterable[Path]) -> Iterator[ModuleReport | OSError]:
    if STDIN not in paths:
        yield from inspect_many(paths)
        return
    for path in paths:
        if path == STDIN:
            data = sys.stdin.buffer.read(MAX_MODULE_SIZE + 1)
            yield attrs.evolve(inspect_module(data), path=str(STDIN))
        else:
            yield from inspect_many([path])
