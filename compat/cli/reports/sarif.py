"""Reports in SARIF 2.1.0, the format in which code scanning services take findings.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0, with errata 01.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from compat.cli.output import as_json
from compat.cli.reports.verdict import UNEXPECTED_KIND, Verdict
from compat.version import VERSION
from detectors.catalogue import CATALOGUE
from detectors.diagnostics import Diagnostic, Severity

__all__ = ["render"]

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


def render(verdicts: Sequence[Verdict], unread: Sequence[OSError] = ()) -> str:
    """One document with one run.

    Args:
        verdicts: What was found.
        unread: The files that could not be read, which makes the run an incomplete one.
    """
    rules = _rules()
    places = {rule["id"]: index for index, rule in enumerate(rules)}
    run = {
        "tool": {"driver": {"name": "plugin-compat", "version": VERSION, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(unread)],
        "artifacts": [_artifact(verdict) for verdict in verdicts],
        "results": [
            _result(verdict, found, index, places[found.slug])
            for index, verdict in enumerate(verdicts)
            for found in verdict.diagnostics
        ],
    }
    document = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return as_json(document, indented=True)


def _rules() -> list[dict[str, Any]]:
    rows = [(rule.slug, rule.finds, rule.severity) for rule in CATALOGUE]
    rows.append((UNEXPECTED_KIND, "a plugin of another kind than was expected", Severity.ERROR))
    return [
        {
            "id": slug,
            "shortDescription": {"text": f"Finds {finds}."},
            "fullDescription": {"text": f"Finds {finds}. plugin-compat's docs/diagnostics.md explains {slug}."},
            "help": {"text": f"See {slug} in plugin-compat's docs/diagnostics.md: cause, example and remedy."},
            "defaultConfiguration": {"level": _LEVELS[severity]},
        }
        for slug, finds, severity in rows
    ]


def _invocation(unread: Sequence[OSError]) -> dict[str, Any]:
    notes = [
        {
            "level": "error",
            "message": {"text": _plain(f"{_readable(str(error.filename))}: {error.strerror or error}")},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(str(error.filename))}}}],
        }
        for error in unread
    ]
    return {"executionSuccessful": not unread, **({"toolExecutionNotifications": notes} if notes else {})}


def _artifact(verdict: Verdict) -> dict[str, Any]:
    report = verdict.report
    hashes = {"hashes": {"sha-256": report.sha256}} if report.sha256 else {}
    return {"location": {"uri": _uri(report.path)}, "length": report.size, **hashes}


def _result(verdict: Verdict, found: Diagnostic, artifact: int, rule: int) -> dict[str, Any]:
    path = verdict.report.path
    # A module has no lines, but some services take no finding without one.
    where = {"artifactLocation": {"uri": _uri(path), "index": artifact}, "region": {"startLine": 1}}
    place = {"physicalLocation": where}
    subject = {"logicalLocations": [{"fullyQualifiedName": found.subject}]}
    return {
        "ruleId": found.slug,
        "ruleIndex": rule,
        "level": _LEVELS[found.severity],
        "message": {"text": _plain(found.text)},
        "locations": [place | subject],
        "partialFingerprints": {"finding/v1": _fingerprint(path, found)},
    }


def _fingerprint(path: str | None, found: Diagnostic) -> str:
    """Stays the same when the module is built again and the finding is still there."""
    return hashlib.sha256("\0".join((path or "", found.slug, found.subject)).encode()).hexdigest()[:32]


def _plain(text: str) -> str:
    """A text without placeholders and links (SARIF, 3.11.5 and 3.11.6), which names from a module might look like."""
    return text.replace("\\", "\\\\").translate({ord("{"): "{{", ord("}"): "}}", ord("["): "\\[", ord("]"): "\\]"})


def _readable(path: str) -> str:
    return path.encode(errors="backslashreplace").decode()


def _uri(path: str | None) -> str:
    """A relative path as a relative reference, an absolute one as a URI; what no URI may hold is escaped."""
    if path is None or path == "-":
        return "stdin"
    return Path(path).as_uri() if Path(path).is_absolute() else quote(_readable(path))
