"""What runs at this moment, as values: for a health page, a metric or a log line. Taking them costs microseconds.

All of them are plain attrs classes; ``msgspec.json.encode(status)`` gives their JSON form, ``attrs.asdict`` a dict.
"""

from __future__ import annotations

import attrs

from adapters.contract import StreamKey, StreamState, StreamStats
from compat.overflow import Overflow

__all__ = ["ManagerStatus", "PluginStatus", "StreamStatus", "SubscriptionStats"]


@attrs.frozen
class SubscriptionStats:
    """Counters of one subscription.

    Attributes:
        delivered: Items handed to the subscriber.
        buffered: Items that wait for it now.
        capacity: Items that may wait.
        lag: Seconds that the item which it gets next has waited for it; 0 if none waits.
        overflow: What follows when one item more comes.
        dropped: Items that it did not get, since it was too slow for them.
        conflated: Those among them of which a newer one of the same key came instead.
    """

    delivered: int
    buffered: int
    capacity: int
    lag: float
    overflow: Overflow = Overflow.ERROR
    dropped: int = 0
    conflated: int = 0


@attrs.frozen
class StreamStatus:
    """One stream.

    Attributes:
        key: What it carries.
        state: Where it is in its life.
        stats: Its counters.
        subscriptions: Those of all who subscribe to it; none for a stream that no manager shares.
    """

    key: StreamKey
    state: StreamState
    stats: StreamStats
    subscriptions: tuple[SubscriptionStats, ...] = ()


@attrs.frozen
class PluginStatus:
    """One open plugin.

    Attributes:
        name: Its name, which for a manager is its source.
        kind: The kind as which it runs, for example ``legacy``.
        dialect: The dialect that it speaks; ``None`` for a kind that has only one.
        streams: Its streams that have not ended.
    """

    name: str
    kind: str
    dialect: str | None
    streams: tuple[StreamStatus, ...]


@attrs.frozen
class ManagerStatus:
    """Everything that a manager runs.

    Attributes:
        plugins: The registered plugins.
        lingering_guests: Guests of this process that could not be stopped and live on until they wake.
    """

    plugins: tuple[PluginStatus, ...]
    lingering_guests: int
