"""The two faces of the library, ``compat`` and ``compat.blocking``, so that one suite can run over both.

A suite is written against the asynchronous one. The blocking one is dressed up like it: each of its methods runs on a
thread, where it may block while the suite's own event loop, with the exchange on it, goes on.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

import attrs

from compat import (
    ModuleReport,
    Opening,
    PluginInfo,
    PluginKind,
    PluginStatus,
    Reply,
    Stream,
    StreamData,
    StreamEvent,
    StreamKey,
    StreamState,
    StreamStats,
    blocking,
)
from compat import open_plugin as open_asynchronously

__all__ = ["ASYNCIO", "BLOCKING", "FLAVOURS", "Flavour"]

T = TypeVar("T")

_threads = ThreadPoolExecutor(64, thread_name_prefix="script")


async def _on_a_thread(work: Callable[..., T], *args: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, work, *args)


async def _iterate(source: Iterator[T]) -> AsyncIterator[T]:
    while True:
        found: list[T] = await _on_a_thread(lambda: list(itertools.islice(source, 1)))
        if not found:
            return
        yield found[0]


class _StreamOnThreads:
    """A blocking stream that looks like ``compat.Stream``."""

    def __init__(self, stream: blocking.Stream) -> None:
        self._stream = stream

    @property
    def key(self) -> StreamKey:
        return self._stream.key

    @property
    def state(self) -> StreamState:
        return self._stream.state

    @property
    def stats(self) -> StreamStats:
        return self._stream.stats

    async def events(self) -> AsyncIterator[StreamEvent]:
        async for event in _iterate(self._stream.events()):
            yield event

    def follow(self, follower: Callable[[StreamEvent], object]) -> Callable[[], None]:
        raise NotImplementedError("for the manager, which has streams of the event loop only")

    async def batches(self, limit: int = 1_000) -> AsyncIterator[list[StreamData]]:
        async for batch in _iterate(self._stream.batches(limit)):
            yield batch

    def receive(self, timeout: float | None = None) -> StreamData | None:
        return self._stream.get(timeout)

    def receive_batch(self, limit: int = 1_000, timeout: float | None = None) -> list[StreamData]:
        return self._stream.get_batch(limit, timeout)

    async def aclose(self) -> None:
        await _on_a_thread(self._stream.close)

    async def __aenter__(self) -> Self:
        await _on_a_thread(self._stream.__enter__)
        return self

    async def __aexit__(self, *error: object) -> None:
        await _on_a_thread(self._stream.__exit__, *error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamData:
        async for item in _iterate(self._stream):
            return item
        raise StopAsyncIteration


class _PluginOnThreads:
    """A blocking plugin that looks like ``compat.Plugin``."""

    def __init__(self, plugin: blocking.Plugin) -> None:
        self._plugin = plugin

    @property
    def name(self) -> str:
        return self._plugin.name

    @property
    def kind(self) -> PluginKind:
        return self._plugin.kind

    @property
    def report(self) -> ModuleReport:
        return self._plugin.report

    def status(self) -> PluginStatus:
        return self._plugin.status()

    async def info(self) -> PluginInfo:
        return await _on_a_thread(self._plugin.info)

    def stream(self, key: StreamKey | str) -> Stream:
        return _StreamOnThreads(self._plugin.stream(key))

    async def call(self, export: str, data: bytes | str = b"", *, timeout: float = 30.0) -> bytes:
        return await _on_a_thread(lambda: self._plugin.call(export, data, timeout=timeout))

    async def request(self, name: str, params: Mapping[str, Any] | None = None, **options: Any) -> Reply:
        return await _on_a_thread(lambda: self._plugin.request(name, params, **options))

    async def aclose(self) -> None:
        await _on_a_thread(self._plugin.close)

    async def __aenter__(self) -> Self:
        await _on_a_thread(self._plugin.__enter__)
        return self

    async def __aexit__(self, *error: object) -> None:
        await _on_a_thread(self._plugin.__exit__, *error)


def _open_on_threads(source: Any, **options: Any) -> Any:
    return _PluginOnThreads(blocking.open_plugin(source, **options))


@attrs.frozen
class Flavour:
    """One face of the library.

    Attributes:
        name: Its name.
        open_plugin: Opens a plugin.
    """

    name: str
    open_plugin: Callable[..., Opening]


ASYNCIO = Flavour("asyncio", open_asynchronously)
BLOCKING = Flavour("blocking", _open_on_threads)
FLAVOURS = (ASYNCIO, BLOCKING)
