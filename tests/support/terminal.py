"""The command line on a terminal, as people see it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

from tests.support.waiting import HANG

__all__ = ["on_a_terminal"]


def on_a_terminal(*arguments: object, columns: int = 100, lines: int = 40, **environment: str) -> tuple[int, str]:
    """Run ``plugin-compat`` on a pseudo-terminal. Returns its exit code and all that it printed."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    wanted = {"TERM": "xterm-256color", **environment}
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "compat", *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=inherited | wanted,
        start_new_session=True,
    )
    os.close(theirs)
    output = bytearray()
    with contextlib.suppress(OSError):  # how a terminal tells that nobody writes to it any more
        while data := os.read(ours, 65_536):
            output += data
    os.close(ours)
    return process.wait(HANG), output.decode()
