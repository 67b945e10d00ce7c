"""A guest's variables, which it keeps from one call to the next."""

from __future__ import annotations

from adapters.companion.exchange import BorderError
from detectors.wording import amount

__all__ = ["Variables"]

_MOST = 2**20  # bytes of names and values together, as in Extism


class Variables:
    """The variables of one guest, in the host's memory.

    Args:
        plugin: The plugin's name, for errors.
    """

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self._values: dict[bytes, bytes] = {}
        self._bytes = 0

    def get(self, name: bytes) -> bytes | None:
        """Return a variable's value; ``None`` if there is no such variable."""
        return self._values.get(name)

    def set(self, name: bytes, value: bytes) -> None:
        """Set a variable.

        Raises:
            BorderError: There would be more in all of them than a guest may have.
        """
        self.remove(name)
        if self._bytes + len(name) + len(value) > _MOST:
            raise BorderError(
                f"plugin {self._plugin!r} keeps more than {amount(_MOST)} in variables",
                remedy="A defect of the plugin, which has to remove variables that it does not need: tell its author",
            )
        self._values[name] = value
        self._bytes += len(name) + len(value)

    def remove(self, name: bytes) -> None:
        """Remove a variable, if there is one."""
        before = self._values.pop(name, None)
        if before is not None:
            self._bytes -= len(name) + len(before)
