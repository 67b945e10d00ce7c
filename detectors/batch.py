"""Many files at once: one report after the other, in their order, on all cores.

wasmtime and the digest work outside of Python's lock, so threads are enough. Only a few files are in memory at a time.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from detectors.report import ModuleReport, inspect

__all__ = ["inspect_many"]


def inspect_many(
    paths: Iterable[str | os.PathLike[str]], *, workers: int | None = None
) -> Iterator[ModuleReport | OSError]:
    """Inspect files.

    Args:
        paths: The files, any number of them.
        workers: How many to inspect at the same time; one more than there are cores by default.

    Yields:
        For each path, in their order, its report, or the error with which it could not be read.
    """
    count = workers or len(os.sched_getaffinity(0)) + 1  # while one holds Python's lock, the others validate
    remaining = iter(paths)
    first = list(itertools.islice(remaining, 2))
    if len(first) < 2:  # which needs no threads, and can be interrupted at once
        yield from map(_inspect, first)
        return
    remaining = itertools.chain(first, remaining)
    with ThreadPoolExecutor(count, thread_name_prefix="inspect") as pool:
        waiting = deque(pool.submit(_inspect, path) for path in itertools.islice(remaining, 2 * count))
        try:
            while waiting:
                done: Future[ModuleReport | OSError] = waiting.popleft()
                report = done.result()
                waiting.extend(pool.submit(_inspect, path) for path in itertools.islice(remaining, 1))
                yield report
        finally:
            pool.shutdown(cancel_futures=True)


def _inspect(path: str | os.PathLike[str]) -> ModuleReport | OSError:
    try:
        return inspect(path)
    except OSError as error:
        return error
