"""``plugin-compat inspect``: what modules are, without running them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from detectors.report import ModuleReport
from detectors.report import inspect as inspect_module
from detectors.rules import KERNEL_NAMESPACE, NAMESPACES, WASI_NAMESPACE

__all__ = ["describe", "inspect"]


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "style", type=click.Choice(["text", "json"]), default="text", help="How to print.")
def inspect(files: tuple[Path, ...], style: str) -> int:
    """Say what each FILE is: its kind and dialect, what led to that, and what is wrong with it.

    Nothing is ever run. Exits with 1 if any file has an error.
    """
    reports = [inspect_module(path) for path in files]
    if style == "json":
        document = {"schemaVersion": 1, "reports": [report.to_dict() for report in reports]}
        click.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
    else:
        click.echo("\n\n".join("\n".join(describe(report)) for report in reports))
    return 1 if any(report.errors for report in reports) else 0


def describe(report: ModuleReport) -> Iterator[str]:
    """A report as lines for people."""
    kind = f"{report.kind} ({report.dialect} dialect)" if report.dialect else str(report.kind)
    yield f"{report.path}: {kind}"
    yield f"  because it {report.reason}" if report.offers else f"  {report.reason}"
    toolchain = f", built by {report.toolchain.name} {report.toolchain.version}".rstrip() if report.toolchain else ""
    yield f"  {report.size:,} bytes{toolchain}, sha256 {report.sha256}"
    if report.exports:
        yield f"  exports  {', '.join(item.name for item in report.exports)}"
    if report.imports:
        yield f"  imports  {', '.join(_import_groups(report))}"
    for found in report.diagnostics:
        yield f"  {found.severity}: {found.slug}: {found.subject}: {found.message}"
        if found.remedy:
            yield f"    {found.remedy}"


def _import_groups(report: ModuleReport) -> Iterator[str]:
    """The host functions one by one, the rest counted."""
    yield from (f"{item.name} from {item.module}" for item in report.imports if item.module in NAMESPACES)
    others = Counter(item.module for item in report.imports if item.module not in NAMESPACES)
    names = {KERNEL_NAMESPACE: "of Extism's kernel", WASI_NAMESPACE: "of WASI"}
    yield from (f"{count} {names.get(module, f'from {module}')}" for module, count in others.items())
