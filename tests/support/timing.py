"""How long something takes, by itself: without what else the machine does, and without being watched for coverage."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

__all__ = ["measured"]


@contextlib.contextmanager
def measured() -> Iterator[Callable[[], float]]:
    """Measure the block: the yielded function tells the seconds of processor time that this thread has used in it."""
    tracing = sys.gettrace()
    sys.settrace(None)
    begun = time.thread_time()
    try:
        yield lambda: time.thread_time() - begun
    finally:
        sys.settrace(tracing)
