"""A report on a module as the command line judges it: with what was expected of the module, and how strictly."""

from __future__ import annotations

from typing import Any

import attrs

from detectors.diagnostics import Diagnostic, Severity
from detectors.report import ModuleReport

__all__ = ["UNEXPECTED_KIND", "Verdict"]

UNEXPECTED_KIND = "unexpected-kind"


@attrs.frozen
class Verdict:
    """A report and what the command line asks of it.

    Attributes:
        report: What the detector says.
        expected: The name of the kind that the module should be of; None for any.
        strict: Whether a warning fails it too.
    """

    report: ModuleReport
    expected: str | None = None
    strict: bool = False

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The report's findings, and one more if the module is of another kind than was expected."""
        kind = self.report.kind.value
        if self.expected is None or kind == self.expected:
            return self.report.diagnostics
        offered = [offer.kind.value for offer in self.report.offers]
        also = ", though it offers that as well" if self.expected in offered else ""
        found = Diagnostic(
            UNEXPECTED_KIND,
            Severity.ERROR,
            "module",
            f"The module is of the kind {kind}{also}; {self.expected} was expected.",
            f"Build it against the {self.expected} interface, or expect another kind.",
        )
        return (*self.report.diagnostics, found)

    @property
    def failed(self) -> bool:
        """Whether the command ends with 1 for it."""
        fatal = {Severity.ERROR, Severity.WARNING} if self.strict else {Severity.ERROR}
        return any(found.severity in fatal for found in self.diagnostics)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, see ``docs/schema``, with all findings."""
        findings = [attrs.asdict(found, value_serializer=_plain) for found in self.diagnostics]
        return {**self.report.to_dict(), "diagnostics": findings}


def _plain(_: object, __: object, value: object) -> object:
    return value.value if isinstance(value, Severity) else value
