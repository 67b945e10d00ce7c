"""Checks of what a module exports: whether that makes it a plugin, and one that can be called."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from detectors.checks.imports import foreign_abi
from detectors.classify import Offer
from detectors.diagnostics import Case, Finding, Severity
from detectors.module import FunctionType
from detectors.rules import EXPORT_TYPE, KERNEL_NAMESPACE, NAMESPACES, Interface, PluginKind
from detectors.wording import capitalised, listed, neither, shown

__all__ = [
    "both_interfaces",
    "command_module",
    "go_command_module",
    "incomplete_interface",
    "legacy_deprecated",
    "misspelt_export",
    "no_interface",
    "wrong_export_signature",
]

_LOOKED_AT = 1_000  # exports that may be misspelt
_LONGEST = 64  # characters of a name that may be
_ALIKE = 0.8


def no_interface(case: Case) -> Iterator[Finding]:
    """Find that a module is no plugin, and what it nearly is."""
    if case.classification.kind != PluginKind.UNKNOWN or next(foreign_abi(case), None) is not None:
        return
    found = f"The module is no plugin of a known kind: it {case.classification.reason}"
    alike = _misspelt(case, (name for row in case.interfaces for name in (*row.marks, *row.required)))
    near = _nearest(case)
    if alike:
        seen, renamed = _looks(alike), listed([f"{shown(written)} to {meant}" for written, meant in alike.items()])
        yield Finding("module", f"{found}, but {seen}.", f"Rename {renamed}{_how(case, next(iter(alike.values())))}.")
    elif near is not None:
        row, has, lacking = near
        message = f"{found}. Nearest is the {row}, of which it exports {listed(has)}."
        yield Finding("module", message, f"Export {listed(lacking)} as well{_how(case, lacking[0])}.")
    else:
        wanted = [listed([*row.marks, *row.required]) for row in case.interfaces]
        how = _how(case, case.interfaces[0].marks[0]) or f"; each is a function {EXPORT_TYPE}"
        yield Finding("module", f"{found}.", f"Export {', or '.join(wanted)}{how}.")


def _how(case: Case, name: str) -> str:
    """How a function is exported, where the toolchain is known: words to follow its name."""
    return f": {case.advice.export.format(name)}" if case.module.toolchain is not None else ""


def _looks(alike: dict[str, str]) -> str:
    return listed([f"{shown(written)} looks like {meant}" for written, meant in alike.items()])


def _misspelt(case: Case, names: Iterable[str]) -> dict[str, str]:
    """Exports of the module that look like one of the names, none of which it exports, by what may be meant."""
    exported = [e.name for e in case.module.exports[:_LOOKED_AT] if isinstance(e.type, FunctionType)]
    missing = {_plain(name): name for name in names if name not in exported}
    known = {name for row in case.interfaces for name in row.exports}
    found: dict[str, str] = {}
    for written in exported:
        if written in known or len(written) > _LONGEST:
            continue
        near = difflib.get_close_matches(_plain(written), missing, n=1, cutoff=_ALIKE)
        if near and missing[near[0]] not in found.values():
            found[written] = missing[near[0]]
    return found


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _nearest(case: Case) -> tuple[Interface, list[str], list[str]] | None:
    """The interface of which the module exports most, what of it, and what is lacking; None if nothing tells one."""
    exported = {export.name for export in case.module.exports if isinstance(export.type, FunctionType)}
    common = set.intersection(*(set(row.exports) for row in case.interfaces))
    counts = [(row, [name for name in row.exports if name in exported]) for row in case.interfaces]
    row, has = max(counts, key=lambda count: len(set(count[1]) - common))
    lacking = [name for name in (*row.marks, *row.required) if name not in exported]
    return (row, has, lacking) if set(has) - common else None


def incomplete_interface(case: Case) -> Iterator[Finding]:
    """Find what is missing of the interface that a module was recognised by."""
    offer = next(iter(case.classification.offers), None)
    if offer is None or not offer.missing:
        return
    ways = [listed(names) for names in offer.missing]
    alike = _misspelt(case, (name for names in offer.missing for name in names))
    others = {name: export.type for names in offer.missing for name in names if (export := case.module.export(name))}
    hints = [_looks(alike)] if alike else []
    hints += [f"{name} is a {type_}, not a function" for name, type_ in others.items()]
    hint = f" ({listed(hints)})" if hints else ""
    wanted = next(iter(alike.values()), offer.missing[0][0])
    do = f"Rename {shown(next(iter(alike)))} to {wanted}" if alike else f"Export {listed(ways, 'or')} as well"
    yield Finding(
        "module",
        f"The {offer} is incomplete: the module {case.classification.reason}{hint}.",
        f"{do}{_how(case, wanted) or f'; it is a function {EXPORT_TYPE}'}.",
    )


def misspelt_export(case: Case) -> Iterator[Finding]:
    """Find exports that look like optional ones of the interface that the module is used by."""
    alike = _misspelt(case, (name for row in case.rows for name in row.optional))
    for written, meant in alike.items():
        yield Finding(
            f"export {shown(written)}",
            f"The export {shown(written)} looks like {meant}, which the interface knows; under its name it is never "
            "called.",
            f"Rename it to {meant}, if that is meant{_how(case, meant)}.",
        )


def both_interfaces(case: Case) -> Iterator[Finding]:
    """Find that a module offers several kinds."""
    offers = case.classification.offers
    used = offers[0].kind if offers else PluginKind.UNKNOWN
    for offer in offers:
        if offer.kind != used:
            part = f" in part ({_lacks(offer)})" if not offer.usable else ""
            choice = f'Choose with kind="{offer.kind}" (on the command line: --kind {offer.kind}).'
            yield Finding(
                "module",
                f"The module offers the {offer}{part} as well as the {offers[0]}, which is used.",
                choice if offer.usable else "",
            )


def _lacks(offer: Offer) -> str:
    if offer.missing:
        return f"there is {neither([listed(names) for names in offer.missing])}"
    return f"{listed(offer.uncallable)} cannot be called"


def wrong_export_signature(case: Case) -> Iterator[Finding]:
    """Find exports of the interface that the host cannot call."""
    needed = {name for row in case.rows for name in (*row.marks, *row.required)}
    known = {name for row in case.rows for name in row.exports} or {n for row in case.interfaces for n in row.marks}
    for export in case.module.exports:
        if export.name in known and export.type != EXPORT_TYPE:
            optional = export.name not in needed and bool(case.rows)
            is_function = isinstance(export.type, FunctionType)
            what = f"has the signature {shown(str(export.type))}" if is_function else f"is a {export.type}"
            yield Finding(
                f"export {export.name}",
                f"The export {export.name} {what}; the interface calls a function {EXPORT_TYPE}"
                f"{' and will do without this one' if optional else ''}.",
                "Let it take no parameters and return an i32, the return code; input and output go through the "
                f"Extism PDK{_how(case, export.name)}.",
                Severity.WARNING if optional else None,
            )


def _is_command(case: Case) -> bool:
    return case.module.export("_start") is not None and case.module.export("_initialize") is None


def _is_go(case: Case) -> bool:
    toolchain = case.module.toolchain
    return toolchain is not None and toolchain.name == "Go"


def go_command_module(case: Case) -> Iterator[Finding]:
    """Find Go programs, whose runtime is not there when an export is called."""
    if _is_command(case) and _is_go(case):
        yield Finding(
            "export _start",
            "The module is a Go command, built to run once from its _start: its runtime is never initialised and "
            "every other export traps (runtime.notInitialized) when it is called.",
            f"{capitalised(case.advice.reactor)}.",
        )


def command_module(case: Case) -> Iterator[Finding]:
    """Find programs of other toolchains."""
    meant = case.rows or any(item.module in {*NAMESPACES, KERNEL_NAMESPACE} for item in case.module.imports)
    if _is_command(case) and not _is_go(case) and meant:
        toolchain = case.module.toolchain
        by = "" if toolchain is None else f" ({toolchain.name})"
        yield Finding(
            "export _start",
            f"The module is a WASI command{by}, built to run once from its _start; its other exports may be called "
            "before its runtime is initialised.",
            f"{capitalised(case.advice.reactor)}.",
        )


def legacy_deprecated(case: Case) -> Iterator[Finding]:
    """Find plugins of an interface that another one has replaced."""
    for row in case.rows:
        if row.successor is not None and not any(offer.missing for offer in case.classification.offers[:1]):
            yield Finding(
                "module",
                f"The {row} is deprecated: the plugin runs as it is, and new ones are written against the "
                f"{row.successor} interface.",
                "Nothing needs to be done. To move it: within start_stream, open the WebSocket with ws_connect, loop "
                "on ws_receive and publish with publish_stream_data; plugin-compat's docs/migrating.md has the rest.",
            )
