"""``plugin-compat inspect``: what modules are, without running them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from compat.cli.command import Command
from compat.cli.output import print_reports, wrapped
from compat.cli.parameters import FILE, format_option
from compat.cli.progress import waiting
from detectors.diagnostics import Severity
from detectors.report import ModuleReport
from detectors.report import inspect as inspect_module
from detectors.rules import KERNEL_NAMESPACE, NAMESPACES, WASI_NAMESPACE
from detectors.wording import shown

__all__ = ["describe", "inspect"]

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}


@click.command(cls=Command, short_help="Say what modules are, without running them.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@format_option
def inspect(files: tuple[Path, ...], style: str) -> int:
    """Say what each FILE is: its kind and dialect, what led to that, and what is wrong with it.

    Nothing is ever run. Exits with 1 if any file has an error.

    \b
    Examples:
      plugin-compat inspect woox.wasm
      plugin-compat inspect plugins/*.wasm --format ndjson | jq -r 'select(.runnable | not) | .path'
    """
    with waiting(f"inspecting {len(files)} files"):
        reports = [inspect_module(path) for path in files]
    print_reports(style, "reports", reports, ModuleReport.to_dict, describe)
    return 1 if any(report.errors for report in reports) else 0


def describe(report: ModuleReport) -> Iterator[str]:
    """A report as lines for people."""
    kind = f"{report.kind} ({report.dialect} dialect)" if report.dialect else str(report.kind)
    yield f"{report.path}: {click.style(kind, bold=True)}"
    yield f"  because it {report.reason}" if report.offers else f"  {report.reason}"
    toolchain = f", built by {report.toolchain.name} {report.toolchain.version}".rstrip() if report.toolchain else ""
    yield f"  {report.size:,} bytes{toolchain}, sha256 {report.sha256}"
    if report.exports:
        yield wrapped("exports", (shown(item.name) for item in report.exports))
    if report.imports:
        yield wrapped("imports", _import_groups(report))
    for found in report.diagnostics:
        severity = click.style(str(found.severity), fg=_COLOURS[found.severity], bold=True)
        yield f"  {severity}: {found.slug}: {found.subject}: {found.message}"
        if found.remedy:
            yield f"    {found.remedy}"


def _import_groups(report: ModuleReport) -> Iterator[str]:
    """The host functions one by one, the rest counted."""
    yield from (f"{shown(item.name)} from {item.module}" for item in report.imports if item.module in NAMESPACES)
    others = Counter(item.module for item in report.imports if item.module not in NAMESPACES)
    names = {KERNEL_NAMESPACE: "of Extism's kernel", WASI_NAMESPACE: "of WASI"}
    yield from (f"{count} {names.get(module, f'from {shown(module)}')}" for module, count in others.items())
