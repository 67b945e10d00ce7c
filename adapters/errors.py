"""The adapters' branch of the error tree.

The first base class answers whose fault it is: ``PluginError``, ``NetworkError`` or ``UsageError``. Errors store their
facts and build their text from them. What happens to one connection is in ``net/errors.py``, and what happens to a
guest in ``runtime/errors.py``.
"""

from __future__ import annotations

import difflib

from detectors.errors import NetworkError, PluginError, UsageError
from detectors.wording import shown

__all__ = [
    "ConfigurationError",
    "KeyFormatError",
    "NoProgressError",
    "OutageError",
    "PluginCallError",
    "PluginProtocolError",
    "RateLimitError",
    "RequestFailedError",
    "RestartsExhaustedError",
    "StreamRejectedError",
    "StreamUsageError",
    "UnknownCommandError",
    "UnknownExportError",
    "UnsupportedPluginError",
]

_SHOWN = 20  # exports that an error names
_COMPARED = 500  # of those among which a misspelt one is looked for


class PluginCallError(PluginError):
    """A plugin's export reported a failure.

    Attributes:
        plugin: The plugin's name.
        export: The export that failed.
        code: Its return code.
        reason: The plugin's own words; empty if it gave none.
    """

    def __init__(self, plugin: str, export: str, code: int, reason: str) -> None:
        said = f": {reason}" if reason else f" with return code {code} and no reason"
        remedy = "" if reason else "The plugin's log records may tell more"
        super().__init__(f"plugin {plugin!r}: {export} failed{said}", remedy=remedy)
        self.plugin = plugin
        self.export = export
        self.code = code
        self.reason = reason


class PluginProtocolError(PluginError):
    """The plugin answered something that the interface does not allow.

    Attributes:
        plugin: The plugin's name.
        export: The export that answered.
        problem: What is wrong with the answer.
    """

    def __init__(self, plugin: str, export: str, problem: str) -> None:
        super().__init__(f"plugin {plugin!r}: the answer of {export} is unusable: {problem}")
        self.plugin = plugin
        self.export = export
        self.problem = problem


class RequestFailedError(PluginError):
    """The plugin, or the exchange behind it, refused a request.

    Attributes:
        plugin: The plugin's name.
        command: The command that was asked for.
        reason: The plugin's own words; empty if it gave none.
    """

    def __init__(self, plugin: str, command: str, reason: str, *, remedy: str = "") -> None:
        super().__init__(f"plugin {plugin!r} refused {command!r}: {reason or 'no reason given'}", remedy=remedy)
        self.plugin = plugin
        self.command = command
        self.reason = reason


class NoProgressError(PluginError):
    """A guest stood still for too long, and was given up.

    Attributes:
        plugin: The plugin's name.
        stream: The text form of the stream's key.
        seen: How it stood still: a row's words in ``watchdog.ROWS``.
        seconds: For how long.
        facts: What was, and what was not, happening.
    """

    def __init__(self, plugin: str, stream: str, seen: str, seconds: float, facts: str, *, setting: str) -> None:
        lasting = f" for {seconds:.0f} s" if seconds else ""
        super().__init__(
            f"plugin {plugin!r}: stream {stream} makes no progress: {seen}{lasting}: {facts}",
            remedy="A defect of the plugin: tell its author. If it is right to take so long, allow more: "
            f"AdapterSettings(progress=Progress({setting}=...))",
        )
        self.plugin = plugin
        self.stream = stream
        self.seen = seen
        self.seconds = seconds
        self.facts = facts


class StreamRejectedError(PluginError):
    """The plugin, or the exchange behind it, refused the stream.

    Attributes:
        plugin: The plugin's name.
        stream: The text form of the stream's key.
        reason: The plugin's own words.
    """

    def __init__(self, plugin: str, stream: str, reason: str, *, hint: str = "") -> None:
        remedy = "Check the key's type, identifier and parameters, and the plugin's configuration"
        super().__init__(
            f"plugin {plugin!r} refused stream {stream}: {reason or 'no reason given'}",
            remedy=f"{remedy}; {hint}" if hint else remedy,
        )
        self.plugin = plugin
        self.stream = stream
        self.reason = reason


class RestartsExhaustedError(PluginError):
    """A stream failed again and again by the plugin's fault, without being healthy in between.

    Attributes:
        plugin: The plugin's name.
        stream: The text form of the stream's key.
        reasons: Why its attempts ended, oldest first; the latest 50 at most.
        failures: How many there were.
    """

    def __init__(self, plugin: str, stream: str, reasons: tuple[str, ...], failures: int | None = None) -> None:
        self.plugin = plugin
        self.stream = stream
        self.reasons = reasons
        self.failures = len(reasons) if failures is None else failures
        super().__init__(_history(self))


class OutageError(NetworkError):
    """A stream could not be brought back for too long, by the network's or the exchange's fault.

    Attributes:
        plugin: The plugin's name.
        stream: The text form of the stream's key.
        reasons: Why its attempts ended, oldest first; the latest 50 at most.
        failures: How many there were.
    """

    def __init__(self, plugin: str, stream: str, reasons: tuple[str, ...], failures: int | None = None) -> None:
        self.plugin = plugin
        self.stream = stream
        self.reasons = reasons
        self.failures = len(reasons) if failures is None else failures
        super().__init__(_history(self), remedy="Open it again when the exchange is back; Backoff says how long to try")


def _history(error: RestartsExhaustedError | OutageError) -> str:
    last = error.reasons[-1] if error.reasons else "unknown"
    times = f"{error.failures} time{'s'[: error.failures != 1]}"
    return (
        f"plugin {error.plugin!r}: stream {error.stream} failed {times} without being healthy in between, last: {last}"
    )


class KeyFormatError(UsageError, ValueError):
    """A text or object is not a stream key."""

    def __init__(self, message: str) -> None:
        super().__init__(message, remedy="The form is type:source:identifier?name=value, each part percent-encoded")


class ConfigurationError(UsageError):
    """The plugin refused its configuration, or it cannot be given to it.

    Attributes:
        plugin: The plugin's name.
        problem: What is wrong; never a configuration value.
        missing: The names of the required fields that are not given, if that is what is wrong.
    """

    def __init__(self, plugin: str, problem: str, *, remedy: str = "", missing: tuple[str, ...] = ()) -> None:
        super().__init__(f"plugin {plugin!r}: configuration refused: {problem}", remedy=remedy)
        self.plugin = plugin
        self.problem = problem
        self.missing = missing


class UnknownExportError(UsageError):
    """The module has no export of that name.

    Attributes:
        plugin: The plugin's name.
        export: The name asked for.
        exports: The functions that can be called. The error's text names the first of them.
    """

    def __init__(self, plugin: str, export: str, exports: tuple[str, ...]) -> None:
        close = difflib.get_close_matches(shown(export), [shown(name) for name in exports[:_COMPARED]], n=1)
        guess = f"Did you mean {close[0]!r}? " if close else ""
        names = ", ".join(shown(name) for name in exports[:_SHOWN])
        more = f" and {len(exports) - _SHOWN:,} more" if len(exports) > _SHOWN else ""
        super().__init__(
            f"plugin {plugin!r} exports no function {shown(export)!r} that can be called",
            remedy=f"{guess}It exports {names}{more}",
        )
        self.plugin = plugin
        self.export = export
        self.exports = exports


class UnknownCommandError(UsageError):
    """The plugin has no way to take a command; it was not asked.

    Attributes:
        plugin: The plugin's name.
        command: The command asked for.
        commands: Those that it takes.
    """

    def __init__(self, plugin: str, command: str, commands: tuple[str, ...]) -> None:
        close = difflib.get_close_matches(command, commands, n=1)
        guess = f"Did you mean {close[0]!r}? " if close else ""
        offer = f"It takes {', '.join(commands)}" if commands else "It takes none: it streams, and has raw exports"
        super().__init__(f"plugin {plugin!r} has no way to take {command!r}", remedy=f"{guess}{offer}")
        self.plugin = plugin
        self.command = command
        self.commands = commands


class RateLimitError(UsageError):
    """A command may not be given yet: the plugin's rate limits ask for a longer wait than the caller allows.

    Attributes:
        plugin: The plugin's name.
        command: The command.
        wait: Seconds until it could be given, behind all who wait for the same limits.
        timeout: Seconds that the caller would have waited.
    """

    def __init__(self, plugin: str, command: str, wait: float, timeout: float) -> None:
        super().__init__(
            f"plugin {plugin!r}: its rate limits let {command!r} through in {wait:.3g} s, not within {timeout:.3g} s",
            remedy="Ask less often, or with a longer timeout",
        )
        self.plugin = plugin
        self.command = command
        self.wait = wait
        self.timeout = timeout


class UnsupportedPluginError(UsageError):
    """No adapter runs a module of that kind, or not of the kind that was chosen.

    Attributes:
        plugin: The plugin's name.
        kind: The kind's name.
    """

    def __init__(self, plugin: str, kind: str, problem: str, *, remedy: str = "") -> None:
        super().__init__(f"plugin {plugin!r} cannot run as {kind}: {problem}", remedy=remedy)
        self.plugin = plugin
        self.kind = kind


class StreamUsageError(UsageError):
    """A stream or adapter is used in a way that its state does not allow."""
