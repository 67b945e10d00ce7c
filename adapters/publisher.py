"""From ``publish_stream_data`` to the stream: checks, times and keys, on the guest's thread.

Every publisher has a gate, see ``Gate``.
"""

from __future__ import annotations

import enum
import threading
from collections import deque
from collections.abc import Iterable

import attrs
import msgspec

from adapters.contract import EventKind, StreamKey
from adapters.runtime.hostcalls import Publication
from adapters.stream import AdapterStream
from adapters.times import moment

__all__ = ["CLOSING", "Gate", "Item", "Publisher"]

#: The answer to a publication that nobody waits for any more.
CLOSING = "the stream is being closed"

_REMEMBERED = 1_024  # items a publisher remembers, to be compared with its successor's


class Gate(enum.Enum):
    """What happens to what a guest publishes."""

    HELD = "held"  # it is kept, until the guest takes over from another
    OPEN = "open"  # it is passed on
    SHUT = "shut"  # it is refused


@attrs.frozen
class Item:
    """A checked publication. Two are the same item if they agree in key and payload: receive times may differ."""

    key: StreamKey
    data: bytes
    timestamp: int = attrs.field(eq=False)


class Publisher:
    """Takes what one guest publishes.

    Args:
        stream: Where items go.
        gate: How it begins.
    """

    def __init__(self, stream: AdapterStream, gate: Gate) -> None:
        self.stopping = threading.Event()
        self.held: deque[Item] = deque()
        self.recent: deque[Item] = deque(maxlen=_REMEMBERED)
        self.taken = 0  # items that were not refused
        self.delivered = 0  # items passed on
        self._stream = stream
        self._lock = threading.RLock()  # keeps the gate still while an item passes
        self._gate = gate
        self._repeats: deque[Item] = deque()  # what another guest has delivered, and this one is about to publish
        self._last_key: tuple[bytes, StreamKey] = (b"", stream.key)
        self._told_bad_time = False

    def publish(self, publication: Publication) -> str | None:
        """Take one publication. Returns why it is refused, or ``None``."""
        if self._gate is Gate.SHUT:
            return CLOSING
        try:
            key = self._key(publication.key)
        except (ValueError, RecursionError) as error:  # KeyFormatError, or msgspec's and UTF-8's
            return self._refuse(f"the key is unusable: {error}")
        if key.source != self._stream.key.source:
            return self._refuse(f"source {key.source!r} is not this stream's ({self._stream.key.source!r})")
        refused = self.deliver(Item(key, publication.data, self._timestamp(publication.timestamp)))
        if refused is None:
            self.taken += 1
        return refused

    def deliver(self, item: Item) -> str | None:
        """Let an item through the gate. Returns why it is refused, or ``None``."""
        with self._lock:
            if self._gate is Gate.HELD:
                self.held.append(item)
                return None
            if self._repeats and self._repeats.popleft() == item:
                return None
            self._repeats.clear()
            if self._gate is Gate.SHUT or not self._stream.offer(
                item.key, item.timestamp, item.key.type, item.data, self.stopping
            ):
                return CLOSING
            self.recent.append(item)
            self.delivered += 1
            return None

    def open(self, skip: int = 0, repeats: Iterable[Item] = ()) -> None:
        """Open the gate: pass on what was held, but for the first ``skip`` items, and drop ``repeats`` if they come."""
        with self._lock:
            if self._gate is Gate.SHUT:
                return
            self._gate = Gate.OPEN
            self._repeats.extend(repeats)
            held, self.held = self.held, deque()
            for item in list(held)[skip:]:
                self.deliver(item)

    def shut(self) -> None:
        """Shut the gate for good. Does not wait for an item that is passing."""
        self._gate = Gate.SHUT

    def settle(self) -> None:
        """Wait until no item is passing; it may wait for the stream's consumer."""
        with self._lock:
            pass

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
                    self._stream.tell(EventKind.PLUGIN_ERROR, f"{error}; the host's receive time is used instead")
        return self._stream.clock()

    def _refuse(self, why: str) -> str:
        self._stream.tell(EventKind.PLUGIN_ERROR, f"a publication was refused: {why}")
        self._stream.tell(EventKind.GAP, "an item is missing: its publication was refused", lost=1)
        return why
