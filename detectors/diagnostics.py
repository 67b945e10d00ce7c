"""How findings come about: rules are applied to what is known of a module, and each finding becomes a diagnostic.

A check sees the module's interface and its classification, never the bytes, and yields findings. A module that cannot
be read at all has one diagnostic, made from the error that said so. A diagnostic names what it is about, what was
found and what to do about it; names from the module are escaped and cut. The rules themselves stand in
:mod:`detectors.catalogue`.
"""

from __future__ import annotations

import difflib
import enum
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from detectors.advice import Advice, advice_for
from detectors.foreign import ForeignAbi, claimed_by
from detectors.module import Import
from detectors.rules import (
    INTERFACES,
    KERNEL_NAMESPACE,
    NAMESPACES,
    WASI_NAMESPACE,
    WASI_UNSTABLE,
    Interface,
    host_function,
)

if TYPE_CHECKING:
    from detectors.classify import Classification
    from detectors.formats import ModuleError
    from detectors.module import ModuleInterface

__all__ = ["MAX_FINDINGS", "Case", "Check", "Diagnostic", "Finding", "Rule", "Severity", "diagnose", "unreadable"]

#: The most findings of one rule that are told; one more diagnostic then says how many there were besides.
MAX_FINDINGS = 20
_MOST_COUNTED = 1_000
_LONGEST = 64  # characters of a name that may be misspelt
_OFFERED = (KERNEL_NAMESPACE, WASI_NAMESPACE, WASI_UNSTABLE)


class Severity(enum.StrEnum):
    """How bad it is: an error keeps the plugin from running, a warning may, information does not."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@attrs.frozen
class Diagnostic:
    """One finding, as it is reported.

    Attributes:
        slug: The name of the rule, stable across versions; ``docs/diagnostics.md`` explains each.
        severity: How bad it is.
        subject: What it is about: ``module``, ``export <name>``, ``import <namespace> <name>`` or ``section <name>``.
        message: What was found, one sentence or two.
        remedy: What to do about it; empty if nothing needs to be done.
    """

    slug: str
    severity: Severity
    subject: str
    message: str
    remedy: str

    @property
    def text(self) -> str:
        """The message and the remedy."""
        return f"{self.message} {self.remedy}".rstrip()

    def to_dict(self) -> dict[str, str]:
        """Return the finding as plain values."""
        return {
            "slug": self.slug,
            "severity": self.severity.value,
            "subject": self.subject,
            "message": self.message,
            "remedy": self.remedy,
        }


@attrs.frozen
class Case:
    """What a check looks at.

    Attributes:
        module: What was read.
        classification: What it was classified as.
        interfaces: The table by which.
        imports: The module's imports, each once.
        claims: Those that modules of another plugin system make, with that system.
    """

    module: ModuleInterface
    classification: Classification
    interfaces: Sequence[Interface]
    imports: tuple[Import, ...] = attrs.field(init=False)
    claims: Mapping[Import, ForeignAbi] = attrs.field(init=False, repr=False)
    _patience: Iterator[int] = attrs.field(factory=lambda: iter(range(100)), init=False, eq=False, repr=False)

    @imports.default
    def _each_once(self) -> tuple[Import, ...]:
        return tuple(dict.fromkeys(self.module.imports))

    @claims.default
    def _claimed(self) -> dict[Import, ForeignAbi]:
        # A plugin may call a function of its own host as it likes; only a whole namespace is another system's.
        shared = NAMESPACES if self.classification.offers else ()
        items = (item for item in self.imports if item.module not in (*_OFFERED, *shared))
        unknown = (item for item in items if item.module not in NAMESPACES or host_function(item.name) is None)
        return {item: abi for item in unknown if (abi := claimed_by(item)) is not None}

    @property
    def rows(self) -> tuple[Interface, ...]:
        """The rows of the interface that the module is used by; none for an unknown module."""
        kind, dialect = self.classification.kind, self.classification.dialect
        return tuple(row for row in self.interfaces if row.kind == kind and dialect in {row.dialect, None})

    def near(self, name: str, names: Iterable[str]) -> str | None:
        """Return which of the names may be meant by one that is none of them; None if nobody knows.

        Looking for it takes a while, so only the first hundred times are taken seriously.
        """
        if len(name) > _LONGEST or next(self._patience, None) is None:
            return None
        return next(iter(difflib.get_close_matches(name, list(names), n=1)), None)

    @property
    def advice(self) -> Advice:
        """How things are done with the module's toolchain."""
        return advice_for(self.module.toolchain)


@attrs.frozen
class Finding:
    """What a check found; the rule adds its slug and, unless the finding has its own, its severity."""

    subject: str
    message: str
    remedy: str = ""
    severity: Severity | None = None


Check = Callable[[Case], Iterator[Finding]]


@attrs.frozen
class Rule:
    """One row of the catalogue.

    Attributes:
        slug: The name of the rule.
        severity: That of its findings.
        finds: What it finds, a clause.
        check: Yields the findings; None if reading the module finds it, which is then no module that can be read.
    """

    slug: str
    severity: Severity
    finds: str
    check: Check | None = None


def diagnose(
    module: ModuleInterface,
    classification: Classification,
    rules: Sequence[Rule],
    interfaces: Sequence[Interface] = INTERFACES,
) -> tuple[Diagnostic, ...]:
    """Apply the rules to a module.

    Args:
        module: The module.
        classification: What it was classified as, by the same ``interfaces``.
        rules: The table of rules.
        interfaces: The table of interfaces.

    Returns:
        The findings in the order of the rules, at most :data:`MAX_FINDINGS` and one of each.
    """
    case = Case(module, classification, interfaces)
    return tuple(itertools.chain.from_iterable(_apply(rule, case) for rule in rules))


def unreadable(error: ModuleError) -> Diagnostic:
    """Return the diagnostic of bytes that are no readable core module."""
    return Diagnostic(error.slug, Severity.ERROR, "module", f"{error.message}.", f"{error.remedy}.")


def _apply(rule: Rule, case: Case) -> Iterator[Diagnostic]:
    findings = rule.check(case) if rule.check is not None else iter(())
    for found in itertools.islice(findings, MAX_FINDINGS):
        yield Diagnostic(rule.slug, found.severity or rule.severity, found.subject, found.message, found.remedy)
    more = sum(1 for _ in itertools.islice(findings, _MOST_COUNTED))
    if more:
        number = f"more than {more:,}" if more == _MOST_COUNTED else f"{more:,} more"
        yield Diagnostic(rule.slug, rule.severity, "module", f"There are {number} findings of this sort.", "")
