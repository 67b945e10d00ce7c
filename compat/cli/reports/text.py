"""Reports for people: what a module is on the first line, then what is wrong with it and what to do, worst first."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

import click

from compat.cli.output import wrapped
from compat.cli.reports.verdict import Verdict
from detectors.catalogue import CATALOGUE
from detectors.diagnostics import Diagnostic, Severity
from detectors.report import ModuleReport
from detectors.rules import KERNEL_NAMESPACE, NAMESPACES, WASI_NAMESPACE, PluginKind
from detectors.wording import amount, counted, listed, shown

__all__ = ["render"]

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "cyan"}
_ORDER = list(_COLOURS)
_SEVERITY = 11  # columns
_WIDEST = 110  # columns
_UNREADABLE = frozenset(rule.slug for rule in CATALOGUE if rule.check is None)
_GROUPS = {KERNEL_NAMESPACE: "of Extism's kernel", WASI_NAMESPACE: "of WASI"}


def render(verdicts: Sequence[Verdict]) -> str:
    """One report in full; of several, a line each with what is wrong, and a summary."""
    if len(verdicts) == 1:
        return "\n".join(_in_full(verdicts[0]))
    lines = [line for verdict in verdicts for line in _in_short(verdict)]
    return "\n".join([*lines, "", _summary(verdicts)])


def _in_full(verdict: Verdict) -> Iterator[str]:
    report = verdict.report
    yield from _head(verdict)
    facts = [str(report.toolchain)] if report.toolchain is not None else []
    facts += [str(sdk) for sdk in report.toolchain.sdks] if report.toolchain is not None else []
    yield wrapped("built", facts or ["unknown"])
    yield wrapped("size", [f"{report.size:,} bytes"])
    yield f"  {'sha256':<9}{report.sha256 or 'not read to its end'}"
    if report.exports:
        yield wrapped("exports", (shown(item.name) for item in report.exports))
    if report.imports:
        yield wrapped("imports", _import_groups(report))
    for found in _worst_first(verdict.diagnostics):
        yield from _finding(found)


def _in_short(verdict: Verdict) -> Iterator[str]:
    yield from _head(verdict)
    for found in _worst_first(verdict.diagnostics):
        if found.severity is not Severity.INFO:
            yield from _finding(found)


def _head(verdict: Verdict) -> Iterator[str]:
    report = verdict.report
    name = shown(report.path or "module", 1_000)
    if report.kind == PluginKind.UNKNOWN:
        what = "unreadable" if any(found.slug in _UNREADABLE for found in report.diagnostics) else "no plugin"
    else:
        what = f"{report.kind} plugin" + (f", {report.dialect} dialect" if report.dialect else "")
    runs = "can run" if report.runnable else "cannot run"
    colour = "green" if report.runnable and not verdict.failed else "red"
    yield f"{click.style(name, bold=True)}: {what}, {click.style(runs, fg=colour, bold=True)}"


def _finding(found: Diagnostic) -> Iterator[str]:
    label = click.style(f"{found.severity:<{_SEVERITY - 2}}", fg=_COLOURS[found.severity], bold=True)
    about = "" if found.subject == "module" else f" ({found.subject})"
    yield f"  {label}{click.style(found.slug, bold=True)}{about}"
    yield _paragraph(found.message)
    if found.remedy:
        yield _paragraph(f"→ {found.remedy}")


def _paragraph(text: str) -> str:
    indent = " " * _SEVERITY
    if not sys.stdout.isatty():
        return indent + text
    width = max(min(shutil.get_terminal_size().columns, _WIDEST), 40)
    hanging = indent + "  " * text.startswith("→")
    return textwrap.fill(
        text, width, initial_indent=indent, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
    )


def _worst_first(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    return sorted(diagnostics, key=lambda found: _ORDER.index(found.severity))


def _import_groups(report: ModuleReport) -> Iterator[str]:
    """The host functions one by one, the rest counted."""
    imports = list(dict.fromkeys(report.imports))
    yield from (f"{shown(item.name)} from {item.module}" for item in imports if item.module in NAMESPACES)
    others = Counter(item.module for item in imports if item.module not in NAMESPACES)
    yield from (f"{count} {_GROUPS.get(module, f'from {shown(module)}')}" for module, count in others.items())


def _summary(verdicts: Sequence[Verdict]) -> str:
    kinds = Counter(verdict.report.kind.value for verdict in verdicts if verdict.report.kind != PluginKind.UNKNOWN)
    kinds_text = listed([f"{count} {kind}" for kind, count in kinds.items()]) or "no plugin"
    severities = Counter(found.severity for verdict in verdicts for found in verdict.diagnostics)
    runnable = sum(verdict.report.runnable for verdict in verdicts)
    size = amount(sum(verdict.report.size for verdict in verdicts))
    found = ", ".join(counted(severities[each], each.value) for each in (Severity.ERROR, Severity.WARNING))
    return f"{counted(len(verdicts), 'file')} ({kinds_text}; {size}): {runnable} can run; {found}"
