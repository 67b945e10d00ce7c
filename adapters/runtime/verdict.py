"""Why a call that trapped did so, and whose fault it was."""

from __future__ import annotations

from collections.abc import Callable

from adapters.companion.border import Border
from adapters.companion.faults import fault_error
from adapters.companion.rewriting import Ceilings
from adapters.runtime.engine import CallOutcome
from adapters.runtime.errors import GuestStoppedError, PluginExitError, PluginTrapError
from detectors.errors import CompatError

__all__ = ["why_trapped"]


def why_trapped(
    export: str, outcome: CallOutcome, border: Border, ceilings: Ceilings | None, redact: Callable[[str], str]
) -> CompatError:
    """The error that tells of a call that trapped.

    Args:
        export: What was called.
        outcome: How it ended.
        border: The host's end of the guest's border, where the call has left its traces.
        ceilings: How large the guest's memory and tables may become.
        redact: Takes secrets out of the backtrace.
    """
    plugin = border.plugin
    if border.stopping.is_set():
        return GuestStoppedError(plugin, export)
    if border.fault is not None:
        return fault_error(plugin, export, border.fault, border.limits)
    said = border.voice.last_words()
    if border.exit_code is not None:
        return PluginExitError(plugin, export, border.exit_code, said=said)
    memory = _near(border.memory, ceilings.memory) if ceilings else None
    table = _near(border.table, ceilings.table) if ceilings else None
    return PluginTrapError(plugin, export, redact(outcome.error or ""), said=said, memory=memory, table=table)


def _near(size: int, limit: int) -> tuple[int, int] | None:
    """How much there is, and may be, if the call may have failed for want of more."""
    # Guests ask for more in large steps, and fail before they have all.
    return (size, limit) if size * 4 >= limit * 3 else None
