"""Closing that is begun once and comes to its end, whoever waits for it; and those who wait for what was closed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Closing", "was_closed"]


class Closing:
    """An ``aclose`` that survives the cancellation of whoever called it.

    Args:
        close: What closing is; it runs once, in a task of its own.
        name: What to call that task.
    """

    def __init__(self, close: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        self._close = close
        self._name = name
        self._task: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Begin it, unless it has begun before, and wait for its end."""
        if self._task is None:
            self._task = asyncio.create_task(self._close(), name=self._name)
        await asyncio.shield(self._task)


def was_closed(awaited: asyncio.Task[Any]) -> bool:
    """Whether a ``CancelledError`` comes from ``awaited``, which closing has cancelled, and not from the caller."""
    current = asyncio.current_task()
    return awaited.cancelled() and not (current is not None and current.cancelling())
