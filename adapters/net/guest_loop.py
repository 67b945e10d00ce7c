"""The way from a guest's thread to the event loop that owns its sockets."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future
from typing import Any, TypeVar

import attrs

from adapters.runtime.errors import GuestStoppedError

__all__ = ["GuestLoop"]

T = TypeVar("T")


@attrs.frozen
class GuestLoop:
    """Runs coroutines for one guest.

    Attributes:
        plugin: The plugin's name, for errors.
        loop: The event loop.
        stopping: The guest's stop flag.
        look_every: Seconds between two looks at it.
    """

    plugin: str
    loop: asyncio.AbstractEventLoop
    stopping: threading.Event
    look_every: float

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the event loop and wait for its result.

        Raises:
            GuestStoppedError: The guest was told to stop meanwhile, or the loop was closed.

        And what the coroutine raises.
        """
        if self.loop.is_closed() or self.stopping.is_set():
            work.close()
            raise GuestStoppedError(self.plugin, "a host function")
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        while True:
            try:
                return future.result(self.look_every)
            except TimeoutError:
                if future.done():  # it raised that itself, or came to its end this moment
                    return future.result()
                if self.stopping.is_set():
                    future.cancel()
                    raise GuestStoppedError(self.plugin, "a host function") from None
            except FutureCancelledError:
                raise GuestStoppedError(self.plugin, "a host function") from None
