"""Streams and subscriptions for scripts without asyncio: what of ``compat.blocking`` is iterated over.

Users take them from ``compat.blocking``, which makes them.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Self

from adapters.contract import Stream as AsyncStream
from adapters.contract import StreamData, StreamEvent, StreamKey, StreamState, StreamStats
from adapters.errors import StreamUsageError
from adapters.mailbox import BATCH, check_limit
from compat import subscription as _subscription
from compat.background import BackgroundLoop
from compat.status import SubscriptionStats

__all__ = ["Stream", "Subscription"]


class _Batches:
    """Lists of items until there are none; goes on after it was interrupted, as no generator does."""

    def __init__(self, get: Callable[[], list[StreamData]]) -> None:
        self._get = get

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> list[StreamData]:
        items = self._get()
        if not items:
            raise StopIteration
        return items


class _Iterated:
    """What a stream and a subscription have in common: their items, one by one and in lists."""

    def get(self, timeout: float | None = None) -> StreamData | None:
        """The next item, waiting so many seconds at most; ``None`` at the end.

        Raises:
            TimeoutError: There was none in time; nothing is lost, and more may come.
            CompatError: The stream broke.
        """
        raise NotImplementedError

    def get_batch(self, limit: int = BATCH, timeout: float | None = None) -> list[StreamData]:
        """The items that are there, ``limit`` at most, waiting so many seconds for the first; none at the end.

        Raises:
            TimeoutError: There was none in time; nothing is lost, and more may come.
            CompatError: The stream broke.
            StreamUsageError: It is not open, or ``limit`` is no whole number from 1 on.
        """
        raise NotImplementedError

    def batches(self, limit: int = BATCH) -> Iterator[list[StreamData]]:
        """The items in lists of 1 to ``limit``: ``for items in stream.batches(): ...``.

        A list has what is there, at once. It may be mixed with iteration and ``get``; see ``compat.Stream.batches``.

        Raises:
            StreamUsageError: ``limit`` is no whole number from 1 on.
        """
        return _Batches(functools.partial(self.get_batch, check_limit(limit, "batches", self.key)))

    @property
    def key(self) -> StreamKey:
        """The key of the stream."""
        raise NotImplementedError

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamData:
        item = self.get()
        if item is None:
            raise StopIteration
        return item


class Stream(_Iterated):
    """A stream, as a context manager and iterator; see ``compat.Stream``. Made by ``Plugin.stream``."""

    def __init__(self, loop: BackgroundLoop, stream: AsyncStream) -> None:
        self._loop = loop
        self._stream = stream

    @property
    def key(self) -> StreamKey:
        """The key that the stream was opened with."""
        return self._stream.key

    @property
    def state(self) -> StreamState:
        """Where the stream is in its life."""
        return self._stream.state

    @property
    def stats(self) -> StreamStats:
        """A snapshot of the counters."""
        return self._stream.stats

    def events(self) -> Iterator[StreamEvent]:
        """All events from the first on (the latest 1,000 at most), then live ones until the stream has ended."""
        return _events(self._loop, self._stream.events)

    def get(self, timeout: float | None = None) -> StreamData | None:
        """The next item, waiting so many seconds at most; ``None`` if the stream has ended.

        Raises:
            TimeoutError: There was none in time; nothing is lost, and the stream goes on.
            CompatError: It broke.
        """
        return self._stream.receive(timeout)

    def get_batch(self, limit: int = BATCH, timeout: float | None = None) -> list[StreamData]:
        """The items that are there, waiting so many seconds for the first; see ``batches``. None at the end.

        Raises:
            TimeoutError: There was none in time; nothing is lost, and the stream goes on.
            CompatError: It broke.
            StreamUsageError: It is not open, or ``limit`` is no whole number from 1 on.
        """
        return self._stream.receive_batch(check_limit(limit, "get_batch", self.key), timeout)

    def close(self) -> None:
        """Stop the stream. Safe to call twice."""
        self._loop.finish(self._stream.aclose)

    def __enter__(self) -> Self:
        self._loop.run(self._stream.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _events(loop: BackgroundLoop, events: Callable[[], AsyncIterator[StreamEvent]]) -> Iterator[StreamEvent]:
    try:
        return loop.listen(events())
    except StreamUsageError:
        if not loop.closed:
            raise
    # The plugin has been closed, and the stream with it: its events can all be had without waiting.
    past = BackgroundLoop("the past of a stream")
    past.start()
    try:
        return iter(past.run(functools.partial(_collect, events())))
    finally:
        past.stop(_nothing)


async def _collect(events: AsyncIterator[StreamEvent]) -> list[StreamEvent]:
    return [event async for event in events]


async def _nothing() -> None: ...


class Subscription(_Iterated):
    """A subscription, as a context manager and iterator; see ``compat.Subscription``."""

    def __init__(self, loop: BackgroundLoop, subscription: _subscription.Subscription) -> None:
        self._loop = loop
        self._subscription = subscription

    @property
    def key(self) -> StreamKey:
        """What is subscribed to."""
        return self._subscription.key

    @property
    def stream(self) -> Stream:
        """The stream that serves this subscription: its state, counters and events; it is not to be iterated over.

        Raises:
            StreamUsageError: The subscription has not been entered.
        """
        return Stream(self._loop, self._subscription.stream)

    @property
    def stats(self) -> SubscriptionStats:
        """A snapshot of the counters."""
        return self._subscription.stats

    def events(self) -> Iterator[StreamEvent]:
        """The stream's events and this subscription's own gaps, in order; see ``compat.Subscription.events``."""
        return _events(self._loop, self._subscription.events)

    def get(self, timeout: float | None = None) -> StreamData | None:
        """The next item, waiting so many seconds at most; see ``Stream.get``."""
        return self._subscription.receive(timeout)

    def get_batch(self, limit: int = BATCH, timeout: float | None = None) -> list[StreamData]:
        """The items that are there, waiting so many seconds for the first; see ``Stream.get_batch``."""
        return self._subscription.receive_batch(check_limit(limit, "get_batch", self.key), timeout)

    def unsubscribe(self) -> None:
        """End the subscription; the stream too, if nobody else is subscribed. Safe to call twice."""
        self._loop.finish(self._subscription.unsubscribe)

    def __enter__(self) -> Self:
        self._loop.run(self._subscription.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unsubscribe()
