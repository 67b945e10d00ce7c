"""How long a guest may stand still, in the ways in which guests do, before that is told, and before it is replaced.

The defaults serve real plugins. An operator with others gives others: ``AdapterSettings(progress=Progress(...))``.
"""

from __future__ import annotations

import attrs

from adapters.arguments import at_least, more_than_0, whole

__all__ = ["Progress"]

_SECONDS = more_than_0("seconds")


@attrs.frozen
class Progress:
    """Times in seconds, and counts.

    Attributes:
        told_after: Standing still, in whatever way, until an event tells of it.
        hung_after: For a call of a generic guest that makes no host call, until the guest is replaced.
        start_timeout: For ``start_stream`` to open a connection, make a request or publish something, and for what it
            left running, if its toolchain has a scheduler and it has no connection; the time in which it waits for its
            turn to connect does not count. Longer than between two requests of a plugin that makes one a minute.
        standing_after: For a parked guest that lets messages wait, whichever export it is entered through, until it is
            replaced.
        unasked_after: For a parked guest that has a connection and never asks for a message, or asks for no more though
            it did where it was entered and messages wait, until it is replaced.
        returned_after: Without a connection and without doing anything, until a parked guest counts as returned: where
            it had lost its connection before it parked, or where its toolchain is not known.
        lost_after: For a generic guest to replace a connection that was lost, before the guest is replaced.
        asking_after: The same, for a guest that has asked for the dead connection again.
        dead_answers: Answers about dead connections, without an attempt to open another, before a guest is replaced.
        malformed_free: Malformed requests to one host function in a row that are answered at once.
        malformed_pace: Before each further one is answered.
        malformed_most: How many of them there may be, before the guest's call is ended.

    Raises:
        UsageError: One of them is no such number.
    """

    told_after: float = attrs.field(default=10.0, validator=_SECONDS)
    hung_after: float = attrs.field(default=30.0, validator=_SECONDS)
    start_timeout: float = attrs.field(default=90.0, validator=_SECONDS)
    standing_after: float = attrs.field(default=10.0, validator=_SECONDS)
    unasked_after: float = attrs.field(default=30.0, validator=_SECONDS)
    returned_after: float = attrs.field(default=2.0, validator=_SECONDS)
    lost_after: float = attrs.field(default=30.0, validator=_SECONDS)
    asking_after: float = attrs.field(default=3.0, validator=_SECONDS)
    dead_answers: int = attrs.field(default=20, validator=whole(1))
    malformed_free: int = attrs.field(default=10, validator=whole(0))
    malformed_pace: float = attrs.field(default=0.05, validator=at_least(0, "seconds"))
    malformed_most: int = attrs.field(default=1_000, validator=whole(1))
