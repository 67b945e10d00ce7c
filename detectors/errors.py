"""The root of the one error tree.

It lives on the ground floor so that every floor can build on it. It holds the root and the four answers to "whose
fault is it?"; the particular errors are declared by the floor that raises them. Every error carries its facts as
attributes and a ``remedy``, and never a secret.
"""

from __future__ import annotations

import copy
from typing import Any, Self

from detectors.wording import printable

__all__ = ["CompatError", "MachineError", "NetworkError", "PluginError", "UsageError"]


class CompatError(Exception):
    """Anything that this project raises on purpose.

    Attributes:
        message: What happened and to whom, one line.
        remedy: What the reader can do about it, one line; empty when nothing is known to help.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        message = printable(message)  # a plugin's words may be in it
        super().__init__(message)
        self.message = message
        self.remedy = printable(remedy)

    def at(self, place: str) -> Self:
        """The same error with a message that names where it happened; itself, if it does."""
        if place in self.message:
            return self
        twin = copy.copy(self)
        twin.message = f"{place}: {self.message}"
        twin.args = (twin.message, *self.args[1:])
        twin.__cause__ = self.__cause__
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        # Most errors build their text from facts, so they cannot be made again from the text alone.
        return _restore, (type(self), self.args, self.__dict__.copy())

    def __str__(self) -> str:
        return f"{self.message}. {self.remedy}" if self.remedy else self.message


def _restore(kind: type[CompatError], args: tuple[Any, ...], facts: dict[str, Any]) -> CompatError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class PluginError(CompatError):
    """The plugin is at fault: it failed, trapped, hung, or is not what it should be."""


class NetworkError(CompatError):
    """The network or the exchange at its other end is at fault."""


class UsageError(CompatError):
    """The caller is at fault: a wrong argument, key or configuration, or a missing permission."""


class MachineError(CompatError):
    """The machine is at fault: it has no files, memory, threads or disk left.

    Attributes:
        what: What it lacks.
        plugin: The plugin that it befell; empty if none is known.
        doing: What was not possible; empty if that says nothing more.
    """

    def __init__(self, what: str, remedy: str, plugin: str = "", doing: str = "") -> None:
        of = f"plugin {plugin!r}" if plugin else ""
        super().__init__(": ".join(filter(None, (of, doing, what))), remedy=remedy)
        self.what = what
        self.plugin = plugin
        self.doing = doing
