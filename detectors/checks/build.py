"""Checks of how a module was built: what could be left out of it."""

from __future__ import annotations

from collections.abc import Iterator

from detectors.diagnostics import Case, Finding
from detectors.wording import amount, capitalised

__all__ = ["debug_build", "oversized"]

_LARGE = 16 << 20  # bytes
_WORTHWHILE = 20  # one part in so many, of the module
_NOTICED = 4 << 10  # bytes


def debug_build(case: Case) -> Iterator[Finding]:
    """Find debug information and names, which nothing here reads."""
    module = case.module
    saved = module.dwarf_size + module.names_size
    if saved >= max(_NOTICED, module.size // _WORTHWHILE):
        what = " and ".join(text for text, size in (("DWARF", module.dwarf_size), ("names", module.names_size)) if size)
        yield Finding(
            f"section {'.debug_info' if module.dwarf_size else 'name'}",
            f"The module carries debug information ({what}): {amount(saved)} of its {amount(module.size)}, "
            f"{saved * 100 // module.size} %, could be saved.",
            f"{capitalised(case.advice.strip)}.",
        )


def oversized(case: Case) -> Iterator[Finding]:
    """Find modules that take long to compile."""
    module = case.module
    if module.size > _LARGE:
        saved = module.dwarf_size + module.names_size
        rest = f"; {amount(saved)} of it is debug information" if saved else ""
        yield Finding(
            "module",
            f"The module has {amount(module.size)}{rest}. Plugins have 3 to 5 MiB; the first load compiles all of it, "
            "which takes about a second for each 3 MiB.",
            f"{capitalised(case.advice.strip)}, and drop what is not needed."
            if saved
            else "Drop data and libraries that are not needed.",
        )
