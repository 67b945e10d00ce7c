"""The exports through which a parked guest is entered, and which of them lets it run; and whether that can help."""

from __future__ import annotations

import enum
import math

from adapters.errors import PluginProtocolError
from adapters.progress import Progress
from adapters.recent import Recent
from detectors.report import ModuleReport

__all__ = ["Doors", "Scheduling", "scheduling_of"]

# They take no input, change nothing and ask nobody (get_timeframes may). The first do more than the last, which in many
# a plugin only returns a text: then Go's scheduler has no occasion to go on with anything else.
_DOORS = ("plugin_info", "meta", "get_credential_fields", "get_configuration_fields", "get_name")


class Scheduling(enum.Enum):
    """Whether what a plugin has begun can go on when another export of it is called."""

    OWN = "own"  # its toolchain has a scheduler of its own
    NONE = "none"
    UNKNOWN = "unknown"  # the toolchain is not known, or its scheduler is not

    def patience(self, progress: Progress, *, lost: bool, parked: bool, begun: bool, polls: bool) -> float:
        """Seconds to enter a guest whose ``start_stream`` has returned and that has no connection, before it has ended.

        Args:
            progress: The times.
            lost: Whether it had one, which was lost.
            parked: Whether it has used a connection since then, or had one open.
            begun: Whether it ever had a connection or published something. If not, the watchdog ends it.
            polls: Whether it has made requests and never had a connection.
        """
        if self is Scheduling.OWN:
            if lost:
                return progress.lost_after if parked else progress.returned_after
            if not begun:
                return math.inf
            # What it left running may sleep: between two requests, or before it connects anew.
            return progress.start_timeout if parked or polls else progress.returned_after
        # Of an unknown toolchain a fresh guest is the surer way to another connection.
        return 0.0 if lost or self is Scheduling.NONE else progress.returned_after


_SCHEDULING = {
    **dict.fromkeys(("Go", "TinyGo"), Scheduling.OWN),
    **dict.fromkeys(("Rust", "Zig", "AssemblyScript", "C/C++", "JavaScript"), Scheduling.NONE),
}


def scheduling_of(report: ModuleReport) -> Scheduling:
    """What the toolchain of a module says of that."""
    return _SCHEDULING.get(report.toolchain.name if report.toolchain else "", Scheduling.UNKNOWN)


class Doors:
    """The doors of one guest.

    Args:
        plugin: The plugin's name, for errors.
        report: What the detector says of its module.
        remembered: The door that worked, by a module's digest.
        busy: The exports that use the network by themselves, which come last.
    """

    def __init__(
        self, plugin: str, report: ModuleReport, remembered: Recent[str], busy: frozenset[str] = frozenset()
    ) -> None:
        self._plugin = plugin
        self._digest = report.sha256
        self._doors = sorted((name for name in _DOORS if report.has_export(name)), key=busy.__contains__)
        self._remembered = remembered
        best = remembered.get(report.sha256)
        self._at = self._doors.index(best) if best in self._doors else 0
        self._confirmed = False

    @property
    def closed(self) -> bool:
        """Whether there is none."""
        return not self._doors

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self._doors)

    def now(self) -> str:
        """The door to enter through.

        Raises:
            PluginProtocolError: There is none.
        """
        if not self._doors:
            problem = f"it parked, and exports nothing that it could be entered through ({', '.join(_DOORS)})"
            raise PluginProtocolError(self._plugin, "start_stream", problem)
        return self._doors[self._at]

    def worked(self) -> None:
        """The guest has done something inside."""
        if not self._confirmed:
            self._confirmed = True
            self._remembered.put(self._digest, self.now())

    def failed(self) -> None:
        """The guest has done nothing, though messages wait for it: try the next."""
        self._at = (self._at + 1) % len(self._doors)
        self._confirmed = False
