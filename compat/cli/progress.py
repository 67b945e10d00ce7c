"""A sign of life on a terminal's stderr while something takes longer than a second."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from rich.console import Console

__all__ = ["waiting"]

_PATIENCE = 1.0  # seconds


@contextlib.contextmanager
def waiting(message: str) -> Iterator[Callable[[], None]]:
    """Show a message with a spinner, from a second on until the block ends or the yielded function is called.

    Without a terminal nothing is shown.
    """
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda: None
        return
    status = console.status(message)
    over = threading.Event()
    lock = threading.Lock()

    def show() -> None:
        if not over.wait(_PATIENCE):
            with lock:
                if not over.is_set():
                    status.start()

    def stop() -> None:
        if not over.is_set():
            with lock:
                over.set()
                status.stop()
            sys.stderr.flush()

    threading.Thread(target=show, name="progress", daemon=True).start()
    try:
        yield stop
    finally:
        stop()
