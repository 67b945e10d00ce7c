"""``plugin-compat inspect``: what modules are, without running them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import attrs
import click

from compat.cli.command import Command, Session, tell
from compat.cli.modules import MODULES, STDIN, files
from compat.cli.output import as_json
from compat.cli.progress import counting
from compat.cli.reports import github, sarif, text
from compat.cli.reports.verdict import Verdict
from detectors.batch import inspect_many
from detectors.errors import UsageError
from detectors.module import MAX_MODULE_SIZE
from detectors.report import ModuleReport
from detectors.report import inspect as inspect_module
from detectors.rules import INTERFACES

__all__ = ["inspect"]

_KINDS = list(dict.fromkeys(row.kind.value for row in INTERFACES))

Render = Callable[[Sequence[Verdict], Sequence[OSError]], str]


def _json(verdicts: Sequence[Verdict], _: Sequence[OSError]) -> str:
    reports = [verdict.to_dict() for verdict in verdicts]
    return as_json({"schemaVersion": 1, "reports": reports}, indented=True)


def _ndjson(verdicts: Sequence[Verdict], _: Sequence[OSError]) -> str:
    return "\n".join(as_json({"schemaVersion": 1, **verdict.to_dict()}) for verdict in verdicts)


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
    chosen = files(paths)
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
    for error in unread:
        tell(error, click.get_current_context().ensure_object(Session))
    return 1 if unread or any(verdict.failed for verdict in verdicts) else 0


def _inspected(paths: Sequence[Path]) -> Iterator[ModuleReport | OSError]:
    """All files at once; if standard input is one of them, one after the other."""
    for group in [paths] if not any(path is STDIN for path in paths) else [[path] for path in paths]:
        if any(path is STDIN for path in group):
            yield _from_stdin()
        else:
            yield from inspect_many(group)


def _from_stdin() -> ModuleReport:
    if sys.stdin is None:
        msg = "standard input is closed"
        raise UsageError(msg, remedy="Name a file, or lead a module there: plugin-compat inspect - < plugin.wasm")
    data = sys.stdin.buffer.read(MAX_MODULE_SIZE + 1)
    return attrs.evolve(inspect_module(data), path=str(STDIN))
