"""The command ``plugin-compat``, which is ``python -m compat`` as well: how it begins, and how it is interrupted.

To import what the commands need takes half a second, in which Ctrl-C would end in a traceback. So nothing is imported
here that is not cheap, and ``compat/__init__.py`` imports nothing that is not either. The version is told at once.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from compat.version import TOLD

__all__ = ["main"]

_INTERRUPTED, _TERMINATED = 130, 143  # 128 and the signal's number, as shells have it


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"{TOLD}\n")
        return
    terminating: list[int] = []

    def terminate(number: int, frame: FrameType | None) -> None:
        """End as Ctrl-C does: whatever there is to finish, close or tell is the same."""
        terminating.append(number)
        interrupt = signal.getsignal(signal.SIGINT)
        # It may be ignored, as nohup does; SIGTERM is not.
        (interrupt if callable(interrupt) else signal.default_int_handler)(signal.SIGINT, frame)

    try:
        run = _import()
        signal.signal(signal.SIGTERM, terminate)
        run()
    except KeyboardInterrupt:
        code: object = _INTERRUPTED
    except SystemExit as end:
        code = end.code
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # while the interpreter ends, there is nothing more to finish
    sys.exit(_TERMINATED if terminating and code == _INTERRUPTED else code)  # type: ignore[arg-type]


def _import() -> Callable[[], None]:
    """The command line. Ctrl-C meanwhile ends the process at once: there is nothing yet to be closed or told."""
    heard = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # not if it is ignored, as nohup does
    if heard:
        signal.signal(signal.SIGINT, lambda *_: os._exit(_INTERRUPTED))
    try:
        from compat.cli import main as run  # noqa: PLC0415 - this is what takes its time
    finally:
        if heard:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    return run


if __name__ == "__main__":
    main()
