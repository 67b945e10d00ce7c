"""A report on a module as the command line judges it: with what was expected of the module, and how strictly."""

from __future__ import annotations

from typing import Any

import attrs

from detectors.diagnostics import Diagnostic, Severity
from detectors.report import ModuleReport
from detectors.rules import PluginKind

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
        """The report's findings, and one more if it is a plugin of another kind than was expected."""
        kind, expected = self.report.kind.value, self.expected
        if expected is None or kind == expected or self.report.kind == PluginKind.UNKNOWN:
            return self.report.diagnostics
        if expected in {offer.kind.value for offer in self.report.offers if offer.usable}:
            message = f"The module is used as {kind}, though it offers {expected} as well; {expected} was expected."
            remedy = f"Run it with --kind {expected}, or leave the {kind} interface out of it."
        else:
            message = f"The module is of the kind {kind}; {expected} was expected."
            remedy = f"Build it against the {expected} interface, or expect another kind."
        return (*self.report.diagnostics, Diagnostic(UNEXPECTED_KIND, Severity.ERROR, "module", message, remedy))

    @property
    def failed(self) -> bool:
        """Whether the command ends with 1 for it."""
        fatal = {Severity.ERROR, Severity.WARNING} if self.strict else {Severity.ERROR}
        return any(found.severity in fatal for found in self.diagnostics)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, see ``docs/schema``, with all findings."""
        return {**self.report.to_dict(), "diagnostics": [found.to_dict() for found in self.diagnostics]}
