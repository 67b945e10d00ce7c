"""A sign of life on a terminal's stderr while something takes longer than a second."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

from rich.console import Console

__all__ = ["counting", "waiting"]

_PATIENCE = 1.0  # seconds


@contextlib.contextmanager
def waiting(message: str) -> Iterator[Callable[[], None]]:
    """Show a message with a spinner, from a second on until the block ends or the yielded function is called.

    Without a terminal nothing is shown.
    """
    with _status(message) as (_, stop):
        yield stop


@contextlib.contextmanager
def counting(doing: str, total: int) -> Iterator[Callable[[], None]]:
    """Show how many of ``total`` files are done, likewise; the yielded function is called after each."""
    done = 0

    def message() -> str:
        return f"{doing} {total:,} file{'s'[: total != 1]}: {done:,} done"

    with _status(message()) as (update, _):

        def count() -> None:
            nonlocal done
            done += 1
            update(message())

        yield count


@contextlib.contextmanager
def _status(message: str) -> Iterator[tuple[Callable[[str], None], Callable[[], None]]]:
    """A spinner from a second on: functions that change its message and end it."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda _: None, lambda: None
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
        yield status.update, stop
    finally:
        stop()
