"""ModuleInterface to :class:`Classification`: which kind of plugin a module is, and by what that is seen.

A module is judged by its exports alone, against the rows of a table; its imports are told as evidence. Nothing here
knows the name of an interface or of an export, and nothing here says whether the module is any good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from detectors.module import FunctionType, ModuleInterface
from detectors.rules import EXPORT_TYPE, INTERFACES, NAMESPACES, Interface, PluginKind, host_function, interface_name
from detectors.wording import listed, neither

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

__all__ = ["Classification", "Evidence", "Offer", "classify"]


@attrs.frozen
class Offer:
    """An interface that a module offers, wholly or in part.

    Attributes:
        kind: The kind of plugin.
        dialect: Its dialect; None for a kind without dialects, or where an incomplete module does not tell.
        missing: Empty if the interface is complete; otherwise the sets of exports, any one of which would complete it.
        uncallable: What it needs and the module exports, but not as a function ``() -> i32``.
    """

    kind: PluginKind
    dialect: str | None
    missing: tuple[tuple[str, ...], ...] = ()
    uncallable: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether a plugin can be run by it."""
        return not self.missing and not self.uncallable

    def __str__(self) -> str:
        return interface_name(self.kind, self.dialect)


@attrs.frozen
class Evidence:
    """Something in the module that speaks for its classification.

    Attributes:
        subject: What was seen, ``export start_stream`` say.
        meaning: What it tells.
    """

    subject: str
    meaning: str


@attrs.frozen
class Classification:
    """What a module is.

    Attributes:
        kind: ``PluginKind.UNKNOWN`` if it shows the marks of no interface.
        dialect: The dialect of its kind; None where the kind has none, or the module does not tell.
        offers: Every interface it offers: complete ones first, by precedence. The first one is the module's kind.
        evidence: What was seen, in the order of the tables.
        reason: Why it is this kind, or none; a clause with the module as its subject.
    """

    kind: PluginKind
    dialect: str | None
    offers: tuple[Offer, ...]
    evidence: tuple[Evidence, ...]
    reason: str


def classify(module: ModuleInterface, interfaces: Sequence[Interface] = INTERFACES) -> Classification:
    """Say which kind of plugin a module is.

    A complete interface goes before an incomplete one, one whose exports can be called before one where some cannot,
    and then the one of higher precedence before the other. Only exported functions count.

    Args:
        module: The module.
        interfaces: The table to judge by.
    """
    exported = {export.name for export in module.exports if isinstance(export.type, FunctionType)}
    rows = sorted(interfaces, key=lambda row: -row.precedence)
    marked = [row for row in rows if exported.issuperset(row.marks)]
    callable_ = {export.name for export in module.exports if export.type == EXPORT_TYPE}
    found = _offers(marked, exported, callable_)
    offers = sorted(found, key=lambda offer: (bool(offer.missing), bool(offer.uncallable)))
    evidence = tuple(dict.fromkeys(_evidence(module, marked, offers, exported)))
    if not offers:
        marks = list(dict.fromkeys(mark for row in interfaces for mark in row.marks))
        return Classification(PluginKind.UNKNOWN, None, (), evidence, f"exports {neither(marks)}")
    chosen = offers[0]
    return Classification(chosen.kind, chosen.dialect, tuple(offers), evidence, _reason(chosen, marked))


def _offers(marked: Sequence[Interface], exported: Collection[str], callable_: Collection[str]) -> Iterator[Offer]:
    def uncallable(row: Interface) -> tuple[str, ...]:
        return tuple(name for name in (*row.marks, *row.required) if name in exported and name not in callable_)

    for kind in dict.fromkeys(row.kind for row in marked):
        rows = [row for row in marked if row.kind == kind]
        complete = [row for row in rows if not _missing(row, exported)]
        if complete:
            yield from (Offer(kind, row.dialect, uncallable=uncallable(row)) for row in complete)
        else:
            dialect = rows[0].dialect if len(rows) == 1 else None
            missing = tuple(_missing(row, exported) for row in rows)
            yield Offer(kind, dialect, missing, tuple(dict.fromkeys(n for row in rows for n in uncallable(row))))


def _missing(row: Interface, exported: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in row.required if name not in exported)


def _evidence(
    module: ModuleInterface, marked: Sequence[Interface], offers: Sequence[Offer], exported: Collection[str]
) -> Iterator[Evidence]:
    for row in {row.kind: row for row in marked}.values():
        yield from (Evidence(f"export {mark}", f"the mark of the {row.kind} interface") for mark in row.marks)
    for row in marked:
        yield from (Evidence(f"export {name}", f"required by the {row}") for name in row.required if name in exported)
    for offer in offers[1:]:
        how = "offered in part" if offer.missing else "offered as well"
        yield Evidence(str(offer), f"{how}; the {offers[0]} is used")
    for item in module.imports:
        function = host_function(item.name)
        if function is not None and item.module in NAMESPACES:
            yield Evidence(f"import {item.module} {item.name}", f"the host function that {function.purpose}")


def _reason(chosen: Offer, marked: Sequence[Interface]) -> str:
    row = next(row for row in marked if row.kind == chosen.kind and chosen.dialect in {row.dialect, None})
    if not chosen.missing:
        return f"exports {listed([*row.marks, *row.required])}"
    lacking = [listed(names) for names in chosen.missing]
    return f"exports {listed(row.marks)} but {neither(lacking)}"
