"""The observer at the guest's border: the one place where calls, host calls and messages can be watched.

Recording, metrics and debugging hang on this. An observer is called on the guest's thread, inside the call it watches:
it must be quick and must not raise. What it raises ends the call and surfaces there.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import attrs

__all__ = ["Crossing", "Direction", "Observer"]


class Direction(enum.StrEnum):
    """Who crosses the border."""

    CALL = "call"  # the host calls an export
    RETURN = "return"  # the export returns
    HOST_CALL = "host-call"  # the guest calls a host function
    HOST_RETURN = "host-return"  # the host function returns


@attrs.frozen
class Crossing:
    """One crossing of a guest's border.

    Attributes:
        guest: The guest's name, unique within the process.
        direction: Who crosses.
        name: The export's or host function's name.
        data: The bytes that cross: input, output, request or reply. They may hold secrets.
        timestamp: Nanoseconds of the monotonic clock.
    """

    guest: str
    direction: Direction
    name: str
    data: bytes
    timestamp: int


Observer = Callable[[Crossing], None]
