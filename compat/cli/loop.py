"""How a command runs on an event loop, so that Ctrl-C ends it quietly in whatever moment it comes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["on_event_loop"]

T = TypeVar("T")


def on_event_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on an event loop of its own and return its result.

    Ctrl-C that comes while the loop is being made waits until the coroutine has begun, where asyncio expects it: half a
    loop, or a coroutine that never began, would complain on standard error when it is forgotten.
    """
    if not hasattr(signal, "pthread_sigmask"):  # on Windows
        return asyncio.run(work)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    async def begun() -> T:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return await work

    try:
        return asyncio.run(begun())
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
