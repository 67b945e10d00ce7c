"""The stream that every adapter hands out: the consumer's side of a channel, and the task that drives it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Protocol, Self

from adapters.channel import Channel
from adapters.closing import Closing
from adapters.contract import StreamData, StreamEvent, StreamKey, StreamState, StreamStats
from adapters.errors import StreamUsageError
from adapters.mailbox import BATCH, Batches, check_limit
from detectors.errors import CompatError

__all__ = ["AdapterStream", "Driver"]


class Driver(Protocol):
    """What produces a stream's items, and writes them to feeds of its channel. Runs as a task on the event loop."""

    async def run(self) -> None:
        """Produce until the plugin ends the stream. Raises what broke it. Cancelled when the stream is closed."""
        ...

    async def aclose(self) -> None:
        """Release sockets and guests; called once, after ``run`` has ended however it ended."""
        ...


class AdapterStream:
    """Implements ``contract.Stream``.

    Args:
        channel: What comes of it.
        make_driver: Makes what feeds it.
        ended: Told when the stream has ended.
    """

    def __init__(
        self,
        channel: Channel,
        make_driver: Callable[[Channel], Driver],
        *,
        ended: Callable[[AdapterStream], object] = lambda _: None,
    ) -> None:
        self._channel = channel
        self._make_driver = make_driver
        self._on_ended = ended
        self._task: asyncio.Task[None] | None = None
        self._closing = Closing(self._close, f"close of stream {channel.key}")

    @property
    def key(self) -> StreamKey:
        """The key that the stream was opened with."""
        return self._channel.key

    @property
    def state(self) -> StreamState:
        """Where the stream is in its life."""
        return self._channel.state

    @property
    def stats(self) -> StreamStats:
        """A snapshot of the counters."""
        return self._channel.stats

    def events(self) -> AsyncIterator[StreamEvent]:
        """All events from the first on (the latest 1,000 at most), then live ones; see ``contract.Stream``."""
        return self._channel.events.listen()

    def follow(self, follower: Callable[[StreamEvent], object]) -> Callable[[], None]:
        """Call a function with every event; see ``contract.Stream``."""
        unfollow = self._channel.events.follow(follower)

        def leave() -> None:
            self._channel.tell_all()
            unfollow()

        return leave

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamData:
        self._require_begun("async with")
        return await self._channel.mailbox.next()

    def batches(self, limit: int = BATCH) -> AsyncIterator[list[StreamData]]:
        """The items in lists; see ``contract.Stream``."""
        self._require_begun("async with")
        return Batches(self._channel.mailbox, check_limit(limit, "batches", self.key))

    def receive(self, timeout: float | None = None) -> StreamData | None:
        """The next item, for a consumer on a thread; see ``contract.Stream``."""
        self._require_begun("with")
        return self._channel.mailbox.receive(timeout)

    def receive_batch(self, limit: int = BATCH, timeout: float | None = None) -> list[StreamData]:
        """The next items, for a consumer on a thread; see ``contract.Stream``."""
        self._require_begun("with")
        return self._channel.mailbox.receive_batch(check_limit(limit, "receive_batch", self.key), timeout)

    def _require_begun(self, how: str) -> None:
        if self.state is StreamState.NEW:
            msg = f"stream {self.key} is not open"
            raise StreamUsageError(msg, remedy=f"Enter it first: {how} plugin.stream(key) as stream")

    async def __aenter__(self) -> Self:
        if self.state is not StreamState.NEW:
            msg = f"stream {self.key} has been opened before"
            raise StreamUsageError(msg, remedy="Ask the plugin for another stream of the same key")
        self._channel.begin()
        self._task = asyncio.create_task(self._drive(), name=f"stream {self.key}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop the stream; see ``contract.Stream``."""
        await self._closing()

    async def _close(self) -> None:
        self._channel.desert()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._finish(StreamState.STOPPED, "closed", None)

    async def _drive(self) -> None:
        error: BaseException | None = None
        try:
            driver = self._make_driver(self._channel)
            try:
                await driver.run()
            finally:
                await driver.aclose()
        except asyncio.CancelledError:
            self._finish(StreamState.STOPPED, "closed", None)
            raise
        except Exception as caught:  # noqa: BLE001 - it surfaces at the consumer's iteration
            error = caught
        if error is None:
            self._finish(StreamState.STOPPED, "the plugin ended the stream", None)
        else:
            told = error.at(f"stream {self.key}") if isinstance(error, CompatError) else error
            self._finish(StreamState.FAILED, str(error), told)

    def _finish(self, state: StreamState, message: str, error: BaseException | None) -> None:
        first = True
        try:
            first = self._channel.finish(state, message, error)
        finally:
            if first:
                self._on_ended(self)
