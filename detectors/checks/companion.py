"""Checks of what becomes of a module beside the companion: names that are taken, and what cannot be served there."""

from __future__ import annotations

from collections.abc import Iterator

from detectors.companion import SHIM_FUNCTIONS, reserved, shape_of_module, without_shim
from detectors.diagnostics import Case, Finding
from detectors.rules import WASI_NAMESPACE
from detectors.wording import listed

__all__ = ["reserved_name", "unserved_wasi"]


def reserved_name(case: Case) -> Iterator[Finding]:
    """Find imports and exports under names that the host keeps for itself."""
    for form, subject in dict.fromkeys((form, subject) for form, subject in reserved(shape_of_module(case.module))):
        yield Finding(subject, f"The module {form.what}.", f"{form.remedy}.")


def unserved_wasi(case: Case) -> Iterator[Finding]:
    """Find functions of WASI that the host serves itself, but not beside this module's memory."""
    form = without_shim(shape_of_module(case.module))
    names = {item.name for item in case.imports if item.module == WASI_NAMESPACE}
    used = [name for name in SHIM_FUNCTIONS if name in names]
    if form is not None and used:
        yield Finding(
            f"import {WASI_NAMESPACE} {used[0]}",
            f"The module {form.what}, so the host cannot serve it {listed(used)} of WASI: "
            f"{listed([SHIM_FUNCTIONS[name] for name in used])}.",
            f"{form.remedy}.",
        )
