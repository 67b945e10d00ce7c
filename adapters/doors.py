"""The exports through which a parked guest is entered, and which of them lets it run."""

from __future__ import annotations

from adapters.errors import PluginProtocolError
from adapters.recent import Recent
from detectors.report import ModuleReport

__all__ = ["Doors"]

# They take no input, change nothing and ask nobody (get_timeframes may). The first do more than the last, which in many
# a plugin only returns a text: then Go's scheduler has no occasion to go on with anything else.
_DOORS = ("plugin_info", "meta", "get_credential_fields", "get_configuration_fields", "get_name")


class Doors:
    """The doors of one guest.

    Args:
        plugin: The plugin's name, for errors.
        report: What the detector says of its module.
        remembered: The door that worked, by a module's digest.
    """

    def __init__(self, plugin: str, report: ModuleReport, remembered: Recent[str]) -> None:
        self._plugin = plugin
        self._digest = report.sha256
        self._doors = [name for name in _DOORS if report.has_export(name)]
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
