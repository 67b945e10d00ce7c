"""How long a plugin, a guest or a peer may take, and how much it may send, before the host stops waiting for it.

The defaults serve real plugins. A test, or an operator with slower plugins, gives others:
``AdapterSettings(bounds=Bounds(message_timeout=30))``.
"""

from __future__ import annotations

import attrs

from adapters.arguments import at_least, more_than_0, whole

__all__ = ["Bounds"]

_SECONDS = more_than_0("seconds")
_MOST_BYTES = 2**40


@attrs.frozen
class Bounds:
    """Deadlines in seconds, sizes in bytes, and counts.

    Attributes:
        guest_memory: Of a plugin's own memory, in bytes. More it is not given; one that begins with more is refused.
        guest_table: Entries of a plugin's tables, likewise.
        max_request: Of a request to a host function: of what is published, for example.
        max_output: Of the output of a call.
        max_error: Of the text that a plugin puts into error memory. A longer one is cut, and fails nothing.
        compile_timeout: For a module to be compiled and instantiated, from the moment its guest is made.
        initialise_timeout: For a module to initialise itself, from then on and before anything else of it is called.
        metadata_timeout: For each export that tells metadata (``plugin_info``, ``meta``, ...).
        configure_timeout: For the export that takes the configuration.
        prepare_timeout: For the export that prepares a legacy stream. The plugin may have to make requests in it, and
            each of them is given up after 15 s.
        message_timeout: For a legacy plugin to answer one message or connection event.
        farewell_timeout: For what a legacy plugin is told when a stream or the plugin is closed.
        leave_timeout: For a generic guest to end by itself when its stream is closed, before it is cancelled.
        rate_limits_timeout: For the plugin's own rate limits to let a legacy stream make its first connection.
        failures_in_a_row: Messages that a legacy plugin may fail on, one after the other, until its stream fails.
        shortest_pong_timeout: For a pong to a ping that the plugin asked for. The time is that between two pings, but
            not less than this.
        longest_pong_timeout: Likewise, but not more than this.
        overdue_after: For a request whose timeout has passed while it waits for other calls, until it is given up.
        handover_timeout: For an item that both guests of a handover have seen.
        response_timeout: For the answer to an ``http_request`` to begin.
        max_response: Of the body of such an answer.
        max_buffered: Of the payloads that may wait for a stream's consumer, however few the items.

    Raises:
        UsageError: One of them is no such number.
    """

    guest_memory: int = attrs.field(default=256 * 2**20, validator=whole(65_536, "bytes", most=_MOST_BYTES))
    guest_table: int = attrs.field(default=1_000_000, validator=whole(1, "entries", most=2**32 - 1))
    max_request: int = attrs.field(default=16 * 2**20, validator=whole(1, "bytes", most=_MOST_BYTES))
    max_output: int = attrs.field(default=16 * 2**20, validator=whole(1, "bytes", most=_MOST_BYTES))
    max_error: int = attrs.field(default=65_536, validator=whole(8_192, "bytes", most=16 * 2**20))
    compile_timeout: float = attrs.field(default=120.0, validator=_SECONDS)
    initialise_timeout: float = attrs.field(default=10.0, validator=_SECONDS)
    metadata_timeout: float = attrs.field(default=5.0, validator=_SECONDS)
    configure_timeout: float = attrs.field(default=10.0, validator=_SECONDS)
    prepare_timeout: float = attrs.field(default=40.0, validator=_SECONDS)
    message_timeout: float = attrs.field(default=10.0, validator=_SECONDS)
    farewell_timeout: float = attrs.field(default=0.5, validator=_SECONDS)
    leave_timeout: float = attrs.field(default=0.4, validator=at_least(0, "seconds"))
    rate_limits_timeout: float = attrs.field(default=120.0, validator=at_least(0, "seconds"))
    failures_in_a_row: int = attrs.field(default=100, validator=whole(1))
    shortest_pong_timeout: float = attrs.field(default=5.0, validator=_SECONDS)
    longest_pong_timeout: float = attrs.field(default=20.0, validator=_SECONDS)
    # By default longer than ``runtime.watch.LINGER_AFTER``: a call that runs is ended by its own deadline.
    overdue_after: float = attrs.field(default=1.0, validator=at_least(0, "seconds"))
    handover_timeout: float = attrs.field(default=10.0, validator=at_least(0, "seconds"))
    response_timeout: float = attrs.field(default=60.0, validator=_SECONDS)
    max_response: int = attrs.field(default=16 * 2**20, validator=whole(0, "bytes"))
    max_buffered: int = attrs.field(default=32 * 2**20, validator=whole(1, "bytes"))
