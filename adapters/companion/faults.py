"""What a guest may do that nobody can make good: the companion's reasons, in words."""

from __future__ import annotations

import attrs

from adapters.companion.limits import Fault, KernelLimits
from adapters.runtime.errors import GuestFaultError
from detectors.wording import amount

__all__ = ["fault_error"]

_DEFECT = "A defect of the plugin: tell its author"


@attrs.frozen
class _Words:
    fault: str
    problem: str  # of {handle}, {retained} and {budget}
    remedy: str


#: By the companion's number.
_REASONS: dict[int, _Words] = {
    1: _Words(
        "stale-block",
        "used a block of Extism's memory again, after so much else that it is gone: {retained} are kept",
        "Keep more: AdapterSettings(retained_memory=...)",
    ),
    2: _Words("out-of-bounds", "read or wrote beyond the end of a block of Extism's memory", _DEFECT),
    3: _Words("unknown-block", "used an offset in Extism's memory that it was never given: {handle}", _DEFECT),
    4: _Words(
        "out-of-memory",
        "asked for {bytes} of Extism's memory, where its blocks may take {budget}",
        "Allow more: AdapterSettings(memory_budget=...); if it keeps growing, it is a defect of the plugin",
    ),
    9: _Words(
        "out-of-memory",
        "used a block of Extism's memory again that is gone for want of room: its blocks may take {budget}",
        "Allow more: AdapterSettings(memory_budget=...); if it keeps growing, it is a defect of the plugin",
    ),
    10: _Words(
        "out-of-memory",
        "asked for {bytes} of Extism's memory in one block, where one may have 64 MiB",
        "A plugin has to pass so much in pieces: tell its author",
    ),
    7: _Words(
        "too-large-request",
        "passed {bytes} to a host function, where {request} are allowed",
        "Allow more, if that is right: AdapterSettings(bounds=Bounds(max_request=...))",
    ),
    8: _Words(
        "too-large-output",
        "put out {bytes}, where {output} are allowed",
        "Allow more, if that is right: AdapterSettings(bounds=Bounds(max_output=...))",
    ),
    5: _Words(
        "kernel-http",
        "made a request with Extism's own HTTP client, which no network policy reaches",
        "The plugin has to use the host function http_request, from env",
    ),
}
_OTHER = _Words("exchange", "was given an answer that the companion does not understand", "Report it to plugin-compat")


def fault_error(plugin: str, export: str, fault: Fault, limits: KernelLimits) -> GuestFaultError:
    """The error for a fault.

    Args:
        plugin: The plugin's name.
        export: The export that was running.
        fault: What the companion told.
        limits: What was kept for the guest.
    """
    words = _REASONS.get(fault.reason, _OTHER)
    problem = words.problem.format(
        handle=f"0x{fault.handle & 0xFFFF_FFFF_FFFF_FFFF:x}",
        bytes=amount(fault.handle & 0xFFFF_FFFF_FFFF_FFFF),
        retained=amount(limits.retained),
        budget=amount(limits.budget),
        request=amount(limits.request),
        output=amount(limits.output),
    )
    return GuestFaultError(plugin, export, words.fault, problem, remedy=words.remedy, retained=limits.retained)
