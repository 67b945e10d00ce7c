"""Blocking work beside the event loop, on a daemon thread of its own.

The loop's own pool will not do. It is small and resolves host names, which must not wait for work that takes seconds;
and its threads keep the process from ending until that work is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from detectors.machine import machine_faults

__all__ = ["on_thread"]

T = TypeVar("T")


async def on_thread(work: Callable[[], T], name: str) -> T:
    """Run ``work`` on a thread and return its result, or raise what it raises.

    A caller who is cancelled does not wait: the work goes on to its end, and its result is dropped.

    Args:
        work: What to do. It runs outside of the event loop.
        name: What to call the thread.

    Raises:
        MachineError: No thread could be started.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not done.done():
            if error is None:
                done.set_result(result)  # type: ignore[arg-type]  # T may be None
            else:
                done.set_exception(error)

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:  # noqa: BLE001 - it is the caller's
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop has been closed, and nobody waits
            loop.call_soon_threadsafe(settle, result, error)

    with machine_faults():
        threading.Thread(target=run, name=name, daemon=True).start()
    return await done
