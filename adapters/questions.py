"""Asking a plugin what it says of itself, before it is configured and without letting it reach anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters.metadata import METADATA_EXPORTS, Answers
from adapters.runtime.errors import COMPILATION
from adapters.runtime.guest import Guest
from detectors.errors import CompatError, MachineError
from detectors.report import ModuleReport

__all__ = ["ask_for_metadata"]


async def ask_for_metadata(
    report: ModuleReport, make_guest: Callable[[Callable[[str], object]], Guest], timeout: float
) -> Answers:
    """Call every export that tells metadata. What goes wrong is in the answers.

    A module that cannot be initialised is one problem, and no further export is asked.

    Args:
        report: What the detector says of the module.
        make_guest: Makes a guest whose host functions are stubs; they tell what it is given the name of each call.
        timeout: Seconds for each export.

    Raises:
        MachineError, PluginTimeoutError: The module could not be compiled, or not in time, which says nothing of it.
    """
    said: dict[str, Any] = {}
    problems: list[str] = []
    calls: list[str] = []
    called: dict[str, tuple[str, ...]] = {}
    guest: Guest | None = None
    try:
        for export, decode in METADATA_EXPORTS.items():
            if not report.has_export(export):
                continue
            if guest is not None and not guest.usable:
                await guest.aclose()
                guest = None
            guest = guest or make_guest(calls.append)
            try:
                said[export] = decode(await guest.call(export, b"", timeout=timeout))
            except (CompatError, ValueError) as error:
                if isinstance(error, MachineError) or getattr(error, "export", "") == COMPILATION:
                    raise
                problems.append(f"{export}: {error}" if guest.initialised else str(error))
            if calls:
                called[export] = tuple(dict.fromkeys(calls))
                calls.clear()
            if not guest.initialised:
                break
    finally:
        if guest is not None:
            await guest.aclose()
    return Answers(said.pop("plugin_info", {}), said.pop("meta", {}), tuple(problems), called, said)
