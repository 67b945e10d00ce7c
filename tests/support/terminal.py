"""The command line on a terminal, as people see it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
from collections.abc import Mapping

from tests.support.processes import COMPAT, opened
from tests.support.waiting import HANG

__all__ = ["on_a_terminal"]


def on_a_terminal(
    *arguments: object,
    columns: int = 100,
    lines: int = 40,
    program: tuple[str, ...] = COMPAT,
    interrupt_at: str = "",
    environment: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run ``plugin-compat`` on a pseudo-terminal.

    Args:
        arguments: Those of the command.
        columns: The terminal's width.
        lines: Its height.
        program: What the interpreter runs.
        interrupt_at: The text at which Ctrl-C is pressed, once; empty: never.
        environment: What is set besides ``TERM``.

    Returns:
        The exit code and all that was printed.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    wanted = {"TERM": "xterm-256color", **(environment or {})}
    inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = opened(
        *program, *arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=inherited | wanted, start_new_session=True
    )
    os.close(theirs)
    output = bytearray()
    try:
        with contextlib.suppress(OSError):  # how a terminal tells that nobody writes to it any more
            while True:
                assert select.select([ours], [], [], HANG)[0], f"it says nothing any more, after {output[-200:]!r}"
                output += os.read(ours, 65_536)
                if interrupt_at and interrupt_at.encode() in output:
                    interrupt_at = ""
                    process.send_signal(signal.SIGINT)
        return process.wait(HANG), output.decode()
    finally:
        os.close(ours)
        process.kill()
        process.wait()
