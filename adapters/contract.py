"""The contract between an adapter and whoever streams through it.

Only values and protocols live here: nothing opens a socket, starts a thread or touches a plugin. Every value is an
immutable attrs class of plain JSON types, so ``msgspec.json`` (and ``pickle``) can carry a whole conversation to
another process and back.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import attrs

from adapters.candles import Candle, read_candle
from adapters.keys import StreamKey
from adapters.lenient import decode_json
from adapters.plugin_info import PluginInfo

if TYPE_CHECKING:
    from types import TracebackType

    from detectors.report import ModuleReport

__all__ = [
    "Candle",
    "EventKind",
    "Reply",
    "Stream",
    "StreamAdapter",
    "StreamData",
    "StreamEvent",
    "StreamKey",
    "StreamState",
    "StreamStats",
]


@attrs.frozen
class StreamData:
    """One item of a stream.

    Attributes:
        key: The key that the plugin published under; it may differ from the stream's, but not in its source.
        timestamp: Integer nanoseconds since 1970 UTC: the plugin's own, or the host's receive time for legacy plugins
            and where the plugin gave none.
        data_type: The payload's type, for example ``ohlcv``.
        data: The payload, raw JSON as the plugin wrote it.
        sequence: The item's number within its stream, from 0, without holes.
    """

    key: StreamKey
    timestamp: int
    data_type: str
    data: bytes
    sequence: int

    def json(self) -> Any:
        """Decode the payload. Raises ``msgspec.DecodeError`` if the plugin wrote no JSON.

        Half a surrogate pair, which JavaScript writes where it cuts a text within an emoji, is decoded as U+FFFD.
        """
        return decode_json(self.data)

    def candle(self) -> Candle | None:
        """The payload as a candle, to the last digit; ``None`` if it is none. See ``candles.read_candle``."""
        return read_candle(self.data)


@attrs.frozen
class Reply:
    """What a plugin answered to a request.

    Attributes:
        data: The payload, raw JSON as the plugin wrote it; ``null`` if it succeeded and gave none.
        response_type: What the plugin calls the payload; empty if it does not say.
        cached: Whether it was given before, and the plugin said that it still holds.
    """

    data: bytes
    response_type: str = ""
    cached: bool = False

    def json(self) -> Any:
        """Decode the payload, as ``StreamData.json`` does."""
        return decode_json(self.data)


class StreamState(enum.StrEnum):
    """Where a stream is in its life. ``stream.TRANSITIONS`` says what may follow what."""

    NEW = "new"
    STARTING = "starting"
    STREAMING = "streaming"
    RECOVERING = "recovering"
    STOPPED = "stopped"
    FAILED = "failed"


class EventKind(enum.StrEnum):
    """What an event tells."""

    STATE = "state"  # the stream's state changed
    GAP = "gap"  # items are, or may be, missing before item `sequence`
    RECONNECT = "reconnect"  # a connection was lost and is opened anew
    RESTART = "restart"  # the guest was replaced by a fresh one
    PLUGIN_ERROR = "plugin-error"  # the plugin failed on one message and the stream goes on
    PROGRESS = "progress"  # the stream stands still: what is, and what is not, happening
    MEMORY = "memory"  # the guest's memory is managed differently from now on
    HEARTBEAT = "heartbeat"  # pings are sent in another way than the plugin asked for, or not at all
    LINGERING = "lingering"  # a guest could not be stopped and lives on until it wakes


@attrs.frozen
class StreamEvent:
    """Something that happened to a stream and is not data; or several such things of a kind that came very fast.

    Attributes:
        kind: What it tells.
        timestamp: Integer nanoseconds since 1970 UTC, the host's clock; of several, that of the first.
        sequence: The number that the next item will carry: the event's place among the items; of several, the first.
        message: One line for people; of several, that of the last, and how many more there were.
        state: The new state, for ``STATE``.
        lost: How many items are missing, for ``GAP``, of several in all; ``None`` if that cannot be known.
        count: For how many it stands.
        until: The place of the last of them; ``None`` if all stand at ``sequence``.
    """

    kind: EventKind
    timestamp: int
    sequence: int
    message: str
    state: StreamState | None = None
    lost: int | None = None
    count: int = 1
    until: int | None = None

    @property
    def places(self) -> range:
        """The places that it may tell of, from the first to the last."""
        return range(self.sequence, (self.sequence if self.until is None else self.until) + 1)

    @property
    def where(self) -> str:
        """Its places in words: ``item 3``, or ``items 3 to 9``."""
        return f"item {self.sequence}" if self.until is None else f"items {self.sequence} to {self.until}"


@attrs.frozen
class StreamStats:
    """Counters of a stream since it was opened.

    Attributes:
        received: Items taken from the plugin.
        delivered: Items handed to the consumer.
        buffered: Items that wait for the consumer now: the depth of the queue.
        payload_bytes: Bytes of all payloads received.
        rate: Items received a second, over the last 10 seconds.
        lag: Seconds that the item which the consumer gets next has waited for it; 0 if none waits.
        idle: Seconds since the last item was received; ``None`` before the first.
        gaps: Places and times at which items are, or may be, missing; one event may tell of several.
        reconnects: Connections lost and opened anew.
        restarts: Guests replaced.
        plugin_errors: Messages on which the plugin failed.
        lingering: Guests that could not be stopped when they were to be.
    """

    received: int = 0
    delivered: int = 0
    buffered: int = 0
    payload_bytes: int = 0
    rate: float = 0.0
    lag: float = 0.0
    idle: float | None = None
    gaps: int = 0
    reconnects: int = 0
    restarts: int = 0
    plugin_errors: int = 0
    lingering: int = 0


@runtime_checkable
class Stream(Protocol):
    """One running stream: an asynchronous context manager and iterator.

    Leaving the context (or ``aclose``) is *closed by you*: the plugin is told where it can be, its socket is closed
    and its guest ended within two seconds, and the iteration ends. *Ended by the plugin* (it returned success and
    holds no connection): the iteration stops after the last item. *Broken* (everything else): the iteration delivers
    what is there and then raises a ``CompatError`` that says why.

    Only one consumer may iterate, or ``receive`` on a thread of its own, in batches or not. A slow one makes the plugin
    and its socket wait; nothing is dropped.
    """

    @property
    def key(self) -> StreamKey:
        """The key that the stream was opened with."""
        ...

    @property
    def state(self) -> StreamState:
        """Where the stream is in its life."""
        ...

    @property
    def stats(self) -> StreamStats:
        """A snapshot of the counters."""
        ...

    def events(self) -> AsyncIterator[StreamEvent]:
        """All events from the first on (the latest 1,000 at most), then live ones until the stream has ended.

        Of each kind 20 are told at once, then 5 a second: those between become one, with their ``count``. States and
        new guests are always told by themselves. In the order of ``sequence``.
        """
        ...

    def follow(self, follower: Callable[[StreamEvent], object]) -> Callable[[], None]:
        """Call a function with the events that ``events`` begins with, and with every other the moment it is told.

        For the stream's event loop only. Returns what ends that, after the function was called with what has happened
        until then.
        """
        ...

    def batches(self, limit: int = 1_000) -> AsyncIterator[list[StreamData]]:
        """The items in lists of 1 to ``limit``: what is there, at once. It waits only where there is nothing.

        It may be left, and mixed with iteration, ``receive`` and other ``batches``, at any time: each item is handed
        out once, in order, and whoever is cancelled while waiting has lost none and may go on. It stops, or raises,
        where the iteration would, after what came before. An event whose ``sequence`` is that of an item within a list
        stands before that item. A ``limit`` that is no whole number from 1 on is refused with ``StreamUsageError``.
        """
        ...

    def receive(self, timeout: float | None = None) -> StreamData | None:
        """The next item, for a consumer on a thread: what ``anext`` is for one on the event loop. Blocks the thread.

        Args:
            timeout: Seconds to wait; ``None`` for as long as it takes.

        Returns:
            The item; ``None`` where the iteration would stop.

        Raises:
            TimeoutError: There was none in time.
            CompatError: The stream broke.
        """
        ...

    def receive_batch(self, limit: int = 1_000, timeout: float | None = None) -> list[StreamData]:
        """What ``batches`` gives next, for a consumer on a thread; an empty list where that stops.

        It waits, and raises, as ``receive`` does, and refuses a ``limit`` as ``batches`` does.
        """
        ...

    async def aclose(self) -> None:
        """Stop the stream. Safe to call twice; whoever is cancelled while waiting leaves it closing."""
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> StreamData: ...


@runtime_checkable
class StreamAdapter(Protocol):
    """One plugin of one kind behind the interface that all kinds share."""

    @property
    def report(self) -> ModuleReport:
        """What the detector says of the module."""
        ...

    async def info(self) -> PluginInfo:
        """What the plugin says of itself; read once, without giving it any network.

        Its ``message_encoding`` is what is known when this is asked.
        """
        ...

    async def call(self, export: str, data: bytes = b"", *, timeout: float = 30.0) -> bytes:
        """Call an export on the control guest: the raw way in.

        Args:
            export: The export's name.
            data: The input, usually JSON.
            timeout: Seconds until the call is cancelled and its guest discarded.

        Returns:
            The output bytes.

        Raises:
            UnknownExportError: The module has no such export.
            PluginCallError: The plugin returned a non-zero code; its reason is in the error.
            PluginTrapError: The guest trapped.
            PluginTimeoutError: The deadline passed.
        """
        ...

    async def request(
        self, name: str, params: Mapping[str, Any] | None = None, *, timeout: float = 30.0, fresh: bool = False
    ) -> Reply:
        """Ask the plugin for something that is no stream: markets, timeframes, historic candles, balances, ...

        It runs on the control guest, one request after the other, and waits for the plugin's rate limits. An answer
        that the plugin lets be kept is given again without asking it, and costs nothing. Whoever is cancelled while
        waiting has used up nothing.

        Args:
            name: The command, in the words of the command dialect, whatever the plugin's kind: ``getMarkets``,
                ``getTimeframes``, ``getOHLCV``; any other for plugins that take commands.
            params: What the plugin takes with it, as JSON; it gets them as they are.
            timeout: Seconds for all of it, the waiting included.
            fresh: Whether to ask the plugin though an answer is kept; the new one is kept in its place.

        Returns:
            The answer, its payload undecoded.

        Raises:
            UnknownCommandError: The plugin has no way to take this command; it was not asked.
            RequestFailedError: The plugin, or the exchange behind it, refused; its reason is in the error.
            RateLimitError: The plugin's rate limits ask for a longer wait than ``timeout``.
            StreamUsageError: The command opens a stream, its params cannot be written as JSON, or an argument is not
                what it has to be.
            ConfigurationError: The plugin requires a configuration that it is not given, or refused it.
            PluginProtocolError: The answer is not what the interface asks for.
            PluginTrapError: The guest trapped.
            PluginTimeoutError: The deadline passed.
        """
        ...

    def stream(self, key: StreamKey, *, idle_limit: float | None = None) -> Stream:
        """A stream of this plugin, not yet started: enter it to start it.

        Args:
            key: What to stream.
            idle_limit: Seconds without an item after which it starts anew; ``None``: as the settings say.
        """
        ...

    async def aclose(self) -> None:
        """Stop every stream and guest. Safe to call twice."""
        ...
