"""From ``publish_stream_data`` to a feed: checks, times and keys, on the guest's thread."""

from __future__ import annotations

import msgspec

from adapters.channel import Item
from adapters.contract import EventKind, StreamKey
from adapters.feed import Feed
from adapters.runtime.hostcalls import Publication
from adapters.times import moment

__all__ = ["CLOSING", "Publisher"]

#: The answer to a publication that nobody waits for any more.
CLOSING = "the stream is being closed"


class Publisher:
    """Takes what one guest publishes, and writes it to a feed batch by batch.

    Args:
        feed: Where items go.

    Attributes:
        taken: How many publications were accepted.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.taken = 0
        self._channel = feed.channel
        self._source = feed.channel.key.source
        self._batch: list[Item] = []
        self._last_key: tuple[bytes, StreamKey] = (b"", feed.channel.key)
        self._told_bad_time = False
        self._closing = False

    def publish(self, publication: Publication) -> str | None:
        """Take one publication; it is written with the others of its batch. Returns why it is refused, or ``None``."""
        if self._closing or self.feed.is_shut:
            return CLOSING
        try:
            key = self._key(publication.key)
        except (ValueError, RecursionError) as error:  # KeyFormatError, or msgspec's and UTF-8's
            return self._refuse(f"the key is unusable: {error}")
        if key.source != self._source:
            return self._refuse(f"source {key.source!r} is not this stream's ({self._source!r})")
        self._batch.append(Item(key, key.type, publication.data, self._timestamp(publication.timestamp)))
        self.taken += 1
        return None

    def write(self) -> None:
        """Write the batch; waits while the consumer is slow."""
        if self._batch:
            batch, self._batch = self._batch, []
            self._closing = not self.feed.write(batch)

    def tell(self, kind: EventKind, message: str, *, lost: int | None = None) -> None:
        """Tell an event, at its place among the items."""
        self.write()
        self.feed.tell(kind, message, lost=lost)

    def _key(self, raw: bytes) -> StreamKey:
        last, key = self._last_key
        if raw != last:
            key = StreamKey.from_wire(msgspec.json.decode(raw))
            self._last_key = raw, key
        return key

    def _timestamp(self, value: object) -> int:
        if value:
            try:
                return moment(value)
            except ValueError as error:
                if not self._told_bad_time:
                    self._told_bad_time = True
                    self.tell(EventKind.PLUGIN_ERROR, f"{error}; the host's receive time is used instead")
        return self._channel.clock()

    def _refuse(self, why: str) -> str:
        self.tell(EventKind.PLUGIN_ERROR, f"a publication was refused: {why}")
        self.tell(EventKind.GAP, "an item is missing: its publication was refused", lost=1)
        return why
