"""How much of Extism's memory the guests of one plugin are left, and when later ones are left more."""

from __future__ import annotations

import attrs

from adapters.companion.limits import KernelLimits
from adapters.runtime.errors import GuestFaultError
from adapters.settings import AdapterSettings
from detectors.errors import CompatError
from detectors.wording import amount

__all__ = ["Allowance"]

_LEAST_MORE = 2**20  # bytes
_FACTOR = 4


class Allowance:
    """What new guests of a plugin are left.

    Args:
        settings: What the user chose.
    """

    def __init__(self, settings: AdapterSettings) -> None:
        self.limits = KernelLimits(
            retained=min(settings.retained_memory, settings.memory_budget),
            budget=settings.memory_budget,
            request=settings.bounds.max_request,
            output=settings.bounds.max_output,
            error=settings.bounds.max_error,
        )

    def grows_after(self, error: CompatError) -> bool:
        """Whether new guests are left more than the one that failed had, as the error shows that it needed more.

        A guest that comes back to its blocks later than most do is served by keeping them longer.
        """
        limits = self.limits
        if not isinstance(error, GuestFaultError) or error.fault != "stale-block":
            return False
        if error.retained < limits.retained:  # another guest's fault has seen to it
            return True
        if limits.retained >= limits.budget:
            return False
        more = max(limits.retained * _FACTOR, _LEAST_MORE)
        self.limits = attrs.evolve(limits, retained=min(more, limits.budget))
        return True

    def told(self, error: CompatError) -> str:
        """What to tell of an error after which more is kept."""
        return f"{error.message}; new guests keep {amount(self.limits.retained)}"
