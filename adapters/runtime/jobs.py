"""What waits for a guest's thread, and how it is told what came of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError

import attrs

__all__ = ["Job", "settle"]


@attrs.define(eq=False)
class Job:
    """Something to do on the guest's thread: usually one call, for a parked guest a loop of calls."""

    work: Callable[[], object]
    name: str
    timeout: float | None
    future: Future[object] = attrs.field(factory=Future)


def settle(future: Future[object], *, result: object = None, error: BaseException | None = None) -> None:
    """Resolve a future that the watch may have resolved already, or its owner cancelled."""
    with contextlib.suppress(InvalidStateError):
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
