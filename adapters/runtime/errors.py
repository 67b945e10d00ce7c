"""What happens to one guest: it traps, exits, is stopped, or cannot be run at all.

Errors store their facts and build their text from them. The other errors of the adapters are in ``adapters/errors.py``.
"""

from __future__ import annotations

from adapters.panics import excerpt
from detectors.errors import PluginError, UsageError
from detectors.wording import amount

__all__ = [
    "COMPILATION",
    "TESTED_EXTISM",
    "CompanionError",
    "GuestFaultError",
    "GuestStoppedError",
    "MalformedRequestsError",
    "PluginExitError",
    "PluginTimeoutError",
    "PluginTrapError",
    "UnsupportedRuntimeError",
]

#: The version of ``extism-sys`` that the suite passes on; ``constraints.txt`` pins the same.
TESTED_EXTISM = "1.41.0"

_MORE = "If that is right, allow more: AdapterSettings(bounds=Bounds({})); else it is a defect"
_NO_INSTANCE = "Run plugin-compat inspect on the module; if it finds nothing, check the machine (disk, memory)"
_DEFECT = "A defect of the plugin: give its author the backtrace (--debug, or .trace of this error)"


class PluginTrapError(PluginError):
    """The guest trapped or exited, and its instance has been discarded; or the module could not be instantiated.

    Attributes:
        plugin: The plugin's name.
        export: The export that was running; empty if the module could not be instantiated.
        trace: What the runtime reported, several lines.
        said: The end of what the guest wrote to its standard error in the call that failed, at most 4 KiB, in one line:
            a panic's text, for example. The error's text has an excerpt of it.
        memory: The bytes of memory that it had, and that it might have had, where it may have failed for want of more.
        table: Likewise the entries of its largest table.
    """

    def __init__(
        self,
        plugin: str,
        export: str,
        trace: str,
        *,
        said: str = "",
        memory: tuple[int, int] | None = None,
        table: tuple[int, int] | None = None,
    ) -> None:
        words = f"; it said: {excerpt(said)}" if said else ""
        more = []
        if memory is not None:
            words += f"; it had {amount(memory[0])} of memory, of {amount(memory[1])} that a guest may have"
            more.append("guest_memory=...")
        if table is not None:
            words += f"; it had {table[0]:,} entries in a table, of {table[1]:,} that a guest may have"
            more.append("guest_table=...")
        what, remedy = f"{export} trapped", _MORE.format(", ".join(more)) if more else _DEFECT
        if not export:
            what, remedy = "could not be instantiated", _NO_INSTANCE
        super().__init__(f"plugin {plugin!r}: {what}: {_cause_of(trace)}{words}", remedy=remedy)
        self.plugin = plugin
        self.export = export
        self.trace = trace
        self.said = said
        self.memory = memory
        self.table = table


class PluginExitError(PluginTrapError):
    """The guest ended itself, by WASI's ``proc_exit``; its instance has been discarded.

    Attributes:
        code: The exit code, which may be 0.
    """

    def __init__(self, plugin: str, export: str, code: int, *, said: str = "") -> None:
        super().__init__(plugin, export, f"proc_exit({code})", said=said)
        words = f"; it said: {excerpt(said)}" if said else ""
        self.message = f"plugin {plugin!r}: {export} ended the plugin, by proc_exit with code {code}{words}"
        self.remedy = "A defect of the plugin, which has to return instead: give its author what it said"
        self.code = code


class GuestFaultError(PluginError):
    """The guest used Extism's memory in a way that nobody can make good; its instance has been discarded.

    Attributes:
        plugin: The plugin's name.
        export: The export that was running.
        fault: What it did: ``stale-block``, ``out-of-bounds``, ``unknown-block``, ``out-of-memory``, ``kernel-http``,
            ``too-large-request``, ``too-large-output``, or ``exchange``: it was answered what it does not understand.
        retained: How many bytes of what it had used were kept for it.
    """

    def __init__(self, plugin: str, export: str, fault: str, problem: str, *, remedy: str, retained: int = 0) -> None:
        super().__init__(f"plugin {plugin!r}: {export} {problem}", remedy=remedy)
        self.retained = retained
        self.plugin = plugin
        self.export = export
        self.fault = fault


def _cause_of(trace: str) -> str:
    """The line of a backtrace that says most: the cause, or else the innermost frame (Extism drops some causes).

    A frame has no address where the call stack was exhausted: ``0: <unknown>!deep``.
    """
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    causes = [line.partition("wasm trap: ")[2] for line in lines if "wasm trap: " in line]
    if causes:
        return causes[-1]
    frames = [line.partition(": ")[2].rpartition(" - ")[2].strip() for line in lines if line.startswith("0: ")]
    if frames:
        return f"in {frames[0]}"
    return lines[0] if lines else "no further word"


#: What the first job of a guest is called where an export's name is expected.
COMPILATION = "compilation"
_CANCELLED = "Its guest was cancelled; give it a longer timeout if it needs one"
_STILL_COMPILING = (
    "Give it longer: AdapterSettings(bounds=Bounds(compile_timeout=...)). It cannot be interrupted and goes on in the "
    "background, so that a later attempt may find it done"
)


class PluginTimeoutError(PluginError):
    """A call did not end before its deadline; the guest has been discarded, if it was running.

    Attributes:
        plugin: The plugin's name.
        export: The export that was running, or what else was: ``initialisation``, ``compilation``.
        timeout: The deadline in seconds.
    """

    def __init__(self, plugin: str, export: str, timeout: float, *, remedy: str = _CANCELLED) -> None:
        problem = f"{export} did not return"
        if export == COMPILATION:
            problem, remedy = "the module was not compiled", _STILL_COMPILING
        super().__init__(f"plugin {plugin!r}: {problem} within {timeout:g} s", remedy=remedy)
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


class MalformedRequestsError(PluginError):
    """A guest made one malformed or refused request after the other, and its call was ended.

    Attributes:
        plugin: The plugin's name.
        function: The host function that it called.
        count: How many such requests there were in a row.
        most: How many there may be.
        problem: What is wrong with the last one.
        kind: ``malformed``: nobody can read it. ``refused``: it publishes what is not the stream's.
    """

    def __init__(self, plugin: str, function: str, count: int, most: int, problem: str, *, kind: str) -> None:
        made = f"plugin {plugin!r}: it made {count:,} {kind} requests to {function} in a row, of {most:,} that it may"
        more = "AdapterSettings(progress=Progress(malformed_most=...)) allows more"
        super().__init__(f"{made}, last: {problem}", remedy=f"A defect of the plugin: tell its author. {more}")
        self.plugin = plugin
        self.function = function
        self.count = count
        self.most = most
        self.problem = problem
        self.kind = kind


class UnsupportedRuntimeError(UsageError):
    """The Extism that is installed does not run plugins as it has to.

    Attributes:
        installed: The version of ``extism-sys``.
        problem: What does not work; where Extism gave a reason, its text.
    """

    def __init__(self, installed: str, problem: str) -> None:
        remedy = f"Install extism-sys {TESTED_EXTISM}, which plugin-compat is tested with"
        if installed == TESTED_EXTISM:
            remedy = f"plugin-compat is tested with extism-sys {TESTED_EXTISM}, so check the machine (disk, memory)"
        super().__init__(f"Extism {installed} does not link plugins as it has to: {problem}", remedy=remedy)
        self.installed = installed
        self.problem = problem
