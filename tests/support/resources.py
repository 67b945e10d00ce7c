"""What a process holds: a test that leaves a socket or a task behind has found a leak."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from tests.support.waiting import until

__all__ = ["all_returned"]


def _sockets() -> set[str]:
    """The sockets of this process, by number and inode; Linux only."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists them is gone again
            target = str(entry.readlink())
            if target.startswith("socket:"):
                found.add(f"{entry.name} {target}")
    return found


@contextlib.asynccontextmanager
async def all_returned() -> AsyncIterator[None]:
    """What is opened and started within is closed and ended soon after."""
    sockets = _sockets()
    tasks: set[asyncio.Task[Any] | None] = {*asyncio.all_tasks()}
    yield
    tasks |= {asyncio.current_task()}  # of a fixture, it is not the one that it began in
    try:
        await until(lambda: sockets >= _sockets() and tasks >= asyncio.all_tasks(), "every socket and task is gone")
    except AssertionError as error:
        left = [*(_sockets() - sockets), *map(repr, asyncio.all_tasks() - tasks)]
        raise AssertionError("\n".join([str(error), *left])) from None
