"""What is wrong with a module, or worth knowing: a table of rules, each a slug, a severity and a check.

A check sees the module's interface and its classification, never the bytes, and yields findings. A module that cannot
be read at all has one diagnostic, made from the error that said so. A diagnostic names what it is about, what was
found and what to do about it; names from the module are escaped and cut.
"""

from __future__ import annotations

import difflib
import enum
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import attrs

from detectors.module import FunctionType, Import, ModuleInterface
from detectors.rules import (
    EXPORT_TYPE,
    HOST_FUNCTIONS,
    INTERFACES,
    KERNEL_NAMESPACE,
    NAMESPACES,
    WASI_NAMESPACE,
    Interface,
    PluginKind,
    host_function,
)
from detectors.wording import listed, neither, shown

if TYPE_CHECKING:
    from detectors.classify import Classification
    from detectors.formats import ModuleError

__all__ = ["MAX_FINDINGS", "RULES", "Case", "Diagnostic", "Finding", "Rule", "Severity", "diagnose", "unreadable"]

#: The most findings of one rule that are told; one more diagnostic then says how many there were besides.
MAX_FINDINGS = 20


class Severity(enum.StrEnum):
    """How bad it is: an error keeps the plugin from running, a warning may, information does not."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@attrs.frozen
class Diagnostic:
    """One finding, as it is reported.

    Attributes:
        slug: The name of the rule, stable across versions.
        severity: How bad it is.
        subject: What it is about: ``module``, ``export <name>`` or ``import <namespace> <name>``.
        message: What was found, one sentence.
        remedy: What to do about it, one sentence; empty if nothing needs to be done.
    """

    slug: str
    severity: Severity
    subject: str
    message: str
    remedy: str


@attrs.frozen
class Case:
    """What a check looks at."""

    module: ModuleInterface
    classification: Classification
    interfaces: Sequence[Interface]

    @property
    def rows(self) -> tuple[Interface, ...]:
        """The rows of the interface that the module is used by; none for an unknown module."""
        kind, dialect = self.classification.kind, self.classification.dialect
        return tuple(row for row in self.interfaces if row.kind == kind and dialect in {row.dialect, None})


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
    """One row of the table.

    Attributes:
        slug: The name of the rule.
        severity: That of its findings.
        check: Yields them.
    """

    slug: str
    severity: Severity
    check: Check


def diagnose(
    module: ModuleInterface,
    classification: Classification,
    *,
    interfaces: Sequence[Interface] = INTERFACES,
    rules: Sequence[Rule] | None = None,
) -> tuple[Diagnostic, ...]:
    """Apply the rules to a module.

    Args:
        module: The module.
        classification: What it was classified as, by the same ``interfaces``.
        interfaces: The table of interfaces.
        rules: The table of rules; :data:`RULES` by default.

    Returns:
        The findings in the order of the rules, at most :data:`MAX_FINDINGS` and one of each.
    """
    case = Case(module, classification, interfaces)
    return tuple(itertools.chain.from_iterable(_apply(rule, case) for rule in (RULES if rules is None else rules)))


def unreadable(error: ModuleError) -> Diagnostic:
    """Return the diagnostic of bytes that are no readable core module."""
    return Diagnostic(error.slug, Severity.ERROR, "module", f"{error.message}.", f"{error.remedy}.")


def _apply(rule: Rule, case: Case) -> Iterator[Diagnostic]:
    findings = rule.check(case)
    for found in itertools.islice(findings, MAX_FINDINGS):
        yield Diagnostic(rule.slug, found.severity or rule.severity, found.subject, found.message, found.remedy)
    more = sum(1 for _ in findings)
    if more:
        yield Diagnostic(rule.slug, rule.severity, "module", f"There are {more:,} more findings of this sort.", "")


def _no_interface(case: Case) -> Iterator[Finding]:
    if case.classification.kind == PluginKind.UNKNOWN:
        marks = list(dict.fromkeys(listed(row.marks) for row in case.interfaces))
        yield Finding(
            "module",
            f"The module is no plugin of a known kind: it {case.classification.reason}.",
            f"Export the functions of one interface; {listed(marks, 'or')} is what it is recognised by.",
        )


def _incomplete_interface(case: Case) -> Iterator[Finding]:
    offer = next(iter(case.classification.offers), None)
    if offer is not None and offer.missing:
        ways = [listed(names) for names in offer.missing]
        yield Finding(
            "module",
            f"The {offer} is incomplete: the module {case.classification.reason}.",
            f"Export {listed(ways, 'or')} as well and build the plugin again.",
        )


def _both_interfaces(case: Case) -> Iterator[Finding]:
    offers = case.classification.offers
    used = offers[0].kind if offers else PluginKind.UNKNOWN
    for offer in offers:
        if offer.kind != used:
            part = f" in part (there is {neither([listed(names) for names in offer.missing])})" if offer.missing else ""
            yield Finding("module", f"The module offers the {offer}{part} as well as the {offers[0]}, which is used.")


def _wrong_export_signature(case: Case) -> Iterator[Finding]:
    needed = {name for row in case.rows for name in (*row.marks, *row.required)}
    known = {name for row in case.rows for name in row.exports} or {n for row in case.interfaces for n in row.marks}
    for export in case.module.exports:
        if export.name in known and export.type != EXPORT_TYPE:
            optional = export.name not in needed and bool(case.rows)
            is_function = isinstance(export.type, FunctionType)
            what = f"has the signature {shown(str(export.type))}" if is_function else f"is a {export.type}"
            yield Finding(
                f"export {export.name}",
                f"The export {export.name} {what}; the interface calls a function {EXPORT_TYPE}.",
                f"Declare it without parameters and with one i32 as its result ({EXPORT_TYPE}).",
                Severity.WARNING if optional else None,
            )


def _is_command(case: Case) -> bool:
    module = case.module
    return bool(case.rows) and module.export("_start") is not None and module.export("_initialize") is None


def _is_go(case: Case) -> bool:
    toolchain = case.module.toolchain
    return toolchain is not None and toolchain.name == "Go"


def _go_command_module(case: Case) -> Iterator[Finding]:
    if _is_command(case) and _is_go(case):
        yield Finding(
            "export _start",
            "The module is a Go command, built to run once from its _start: its runtime is never initialised and "
            "every other export traps when it is called.",
            "Rebuild with -buildmode=c-shared (GOOS=wasip1 GOARCH=wasm).",
        )


def _command_module(case: Case) -> Iterator[Finding]:
    if _is_command(case) and not _is_go(case):
        yield Finding(
            "export _start",
            "The module is a WASI command, built to run once from its _start; its other exports may be called "
            "before its runtime is initialised.",
            "Rebuild it as a reactor, which exports _initialize.",
        )


def _name(item: Import) -> str:
    return f"{shown(item.module)} {shown(item.name)}"


def _host_imports(case: Case) -> Iterator[Import]:
    """Yield each import from the served namespaces once."""
    return (item for item in dict.fromkeys(case.module.imports) if item.module in NAMESPACES)


def _unknown_host_function(case: Case) -> Iterator[Finding]:
    names = [function.name for function in HOST_FUNCTIONS]
    for item in _host_imports(case):
        if host_function(item.name) is None:
            close = difflib.get_close_matches(item.name, names, n=1) if len(item.name) <= 64 else []
            yield Finding(
                f"import {_name(item)}",
                f"The module imports {_name(item)} ({shown(str(item.type))}), which the host does not offer.",
                f"Import {close[0]} if that is meant." if close else f"The host offers {listed(names)}.",
            )


def _foreign_namespace(case: Case) -> Iterator[Finding]:
    served = {*NAMESPACES, KERNEL_NAMESPACE, WASI_NAMESPACE}
    for item in dict.fromkeys(case.module.imports):
        if item.module not in served:
            yield Finding(
                f"import {_name(item)}",
                f"The module imports {shown(item.name)} from {shown(item.module) or 'a namespace without a name'}, "
                "which the host does not serve.",
                f"Import host functions from {listed(NAMESPACES, 'or')}; nothing else is offered to plugins but "
                "WASI preview 1 and the functions of the plugin runtime.",
            )


def _wrong_import_signature(case: Case) -> Iterator[Finding]:
    for item in _host_imports(case):
        function = host_function(item.name)
        if function is not None and item.type not in function.accepted:
            yield Finding(
                f"import {_name(item)}",
                f"The module imports {_name(item)} as {shown(str(item.type))}; the host function is {function.type}.",
                "Build the plugin with an SDK that passes one memory offset and gets one back "
                f"({function.type}); other signatures belong to another plugin interface.",
            )


#: The rules, in the order in which their findings are told.
RULES: tuple[Rule, ...] = (
    Rule("no-interface", Severity.ERROR, _no_interface),
    Rule("incomplete-interface", Severity.ERROR, _incomplete_interface),
    Rule("go-command-module", Severity.ERROR, _go_command_module),
    Rule("command-module", Severity.WARNING, _command_module),
    Rule("wrong-export-signature", Severity.ERROR, _wrong_export_signature),
    Rule("wrong-import-signature", Severity.ERROR, _wrong_import_signature),
    Rule("unknown-host-function", Severity.ERROR, _unknown_host_function),
    Rule("foreign-namespace", Severity.ERROR, _foreign_namespace),
    Rule("both-interfaces", Severity.INFO, _both_interfaces),
)
