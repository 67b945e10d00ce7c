"""Reports as workflow commands of GitHub Actions, which shows them beside the file that they are about.

``::error file=<path>,title=<title>::<message>``, one a line; the escapes are those of GitHub's own toolkit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compat.cli.reports.verdict import Verdict
from detectors.diagnostics import Severity
from detectors.wording import shown

__all__ = ["render"]

_LONGEST = 4_096  # characters of a path
_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def render(verdicts: Sequence[Verdict]) -> str:
    """One line for each finding."""
    return "\n".join(_lines(verdicts))


def _lines(verdicts: Sequence[Verdict]) -> Iterator[str]:
    for verdict in verdicts:
        path = shown(verdict.report.path or "-", _LONGEST)
        for found in verdict.diagnostics:
            about = "" if found.subject == "module" else f" ({found.subject})"
            title = _property(f"{found.slug}{about}")
            yield f"::{_COMMANDS[found.severity]} file={_property(path)},title={title}::{_data(found.text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
