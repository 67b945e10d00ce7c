"""What happens to one guest: it traps, exits, is stopped, or cannot be run at all.

Errors store their facts and build their text from them. The other errors of the adapters are in ``adapters/errors.py``.
"""

from __future__ import annotations

import re

from detectors.errors import PluginError, UsageError

__all__ = [
    "CompanionError",
    "GuestFaultError",
    "GuestStoppedError",
    "PluginExitError",
    "PluginTimeoutError",
    "PluginTrapError",
    "UnsupportedRuntimeError",
]

_LAST_WORDS = 300  # characters of what a guest said that stand in an error's text
_DEFECT = "A defect of the plugin: give its author the backtrace (--debug, or .trace of this error)"


class PluginTrapError(PluginError):
    """The guest trapped or exited; its instance has been discarded.

    Attributes:
        plugin: The plugin's name.
        export: The export that was running; empty while the module was instantiated.
        trace: What the runtime reported, several lines.
        said: The end of what the guest has written to its standard error, in one line: a panic's text, for example.
    """

    def __init__(self, plugin: str, export: str, trace: str, *, said: str = "") -> None:
        where = export or "instantiation"
        words = f"; it said: {said[:_LAST_WORDS]}" if said else ""
        super().__init__(f"plugin {plugin!r}: {where} trapped: {_cause_of(trace)}{words}", remedy=_DEFECT)
        self.plugin = plugin
        self.export = export
        self.trace = trace
        self.said = said


class PluginExitError(PluginTrapError):
    """The guest ended itself, by WASI's ``proc_exit``; its instance has been discarded.

    Attributes:
        code: The exit code, which may be 0.
    """

    def __init__(self, plugin: str, export: str, code: int, *, said: str = "") -> None:
        super().__init__(plugin, export, f"proc_exit({code})", said=said)
        words = f"; it said: {said[:_LAST_WORDS]}" if said else ""
        self.message = f"plugin {plugin!r}: {export} ended the plugin, by proc_exit with code {code}{words}"
        self.remedy = "A defect of the plugin, which has to return instead: give its author what it said"
        self.code = code


class GuestFaultError(PluginError):
    """The guest used Extism's memory in a way that nobody can make good; its instance has been discarded.

    Attributes:
        plugin: The plugin's name.
        export: The export that was running.
        fault: What it did: ``stale-block``, ``out-of-bounds``, ``unknown-block``, ``out-of-memory`` or
            ``kernel-http``.
    """

    def __init__(self, plugin: str, export: str, fault: str, problem: str, *, remedy: str) -> None:
        super().__init__(f"plugin {plugin!r}: {export} {problem}", remedy=remedy)
        self.plugin = plugin
        self.export = export
        self.fault = fault


def _cause_of(trace: str) -> str:
    """The line of a backtrace that says most: the cause, or else the innermost frame (Extism drops some causes)."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    causes = [line.partition("wasm trap: ")[2] for line in lines if "wasm trap: " in line]
    if causes:
        return causes[-1]
    frames = [line.partition(" - ")[2] for line in lines if re.match(r"0: +0x", line)]
    if frames:
        return f"in {frames[0]}"
    return lines[0] if lines else "no further word"


_CANCELLED = "Its guest was cancelled; give it a longer timeout if it needs one"


class PluginTimeoutError(PluginError):
    """A call did not end before its deadline; the guest has been discarded, if it was running.

    Attributes:
        plugin: The plugin's name.
        export: The export that was running.
        timeout: The deadline in seconds.
    """

    def __init__(self, plugin: str, export: str, timeout: float, *, remedy: str = _CANCELLED) -> None:
        super().__init__(f"plugin {plugin!r}: {export} did not return within {timeout:g} s", remedy=remedy)
        self.plugin = plugin
        self.export = export
        self.timeout = timeout


class CompanionError(PluginError):
    """A module cannot be linked beside the companion; ``inspect`` reports why as an error, too.

    Attributes:
        form: What the module is instead, in kebab-case: a name of the table ``REFUSED``, or ``unreadable``.
    """

    def __init__(self, form: str, message: str, remedy: str) -> None:
        super().__init__(message, remedy=remedy)
        self.form = form

    def __reduce__(self) -> tuple[type[CompanionError], tuple[str, str, str]]:
        return type(self), (self.form, self.message, self.remedy)


class GuestStoppedError(PluginError):
    """A call could not run, or was cut short, because its guest was stopped or discarded.

    Attributes:
        plugin: The plugin's name.
        export: The export that was asked for.
    """

    def __init__(self, plugin: str, export: str) -> None:
        super().__init__(f"plugin {plugin!r}: {export} was not completed because its guest was stopped")
        self.plugin = plugin
        self.export = export


class UnsupportedRuntimeError(UsageError):
    """The Extism that is installed does not run plugins as it has to."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem, remedy="Install the version of extism-sys that plugin-compat is tested with")
