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
def waiting(
    message: str, *, patience: float = _PATIENCE, console: Console | None = None
) -> Iterator[Callable[[], None]]:
    """Show a message with a spinner while something takes long; without a terminal nothing is shown.

    It is shown until the block ends or the yielded function is called.

    Args:
        message: What to show.
        patience: Seconds until it is shown.
        console: Where; ``None``: on stderr.
    """
    with _status(message, patience, console) as (_, stop):
        yield stop


@contextlib.contextmanager
def counting(
    doing: str, total: int, *, patience: float = _PATIENCE, console: Console | None = None
) -> Iterator[Callable[[], None]]:
    """Show how many of ``total`` files are done, likewise; the yielded function is called after each."""
    done = 0

    def message() -> str:
        return f"{doing} {total:,} file{'s'[: total != 1]}: {done:,} done"

    with _status(message(), patience, console) as (update, _):

        def count() -> None:
            nonlocal done
            done += 1
            update(message())

        yield count


@contextlib.contextmanager
def _status(
    message: str, patience: float, console: Console | None
) -> Iterator[tuple[Callable[[str], None], Callable[[], None]]]:
    """A spinner after a while: functions that change its message and end it."""
    console = console or Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda _: None, lambda: None
        return
    status = console.status(message)
    over = threading.Event()
    lock = threading.Lock()

    def show() -> None:
        if not over.wait(patience):
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
