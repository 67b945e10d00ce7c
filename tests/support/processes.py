"""Processes that tests start. Each of them hears Ctrl-C, however the suite itself was started.

A shell that starts the suite in the background (``pytest &`` in a script) lets it ignore SIGINT. A process inherits
what its parent ignores, but not what its parent handles: so SIGINT is handled here while a process is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs

from tests.support.waiting import HANG

__all__ = [
    "COMPAT",
    "INSTALLED",
    "Finished",
    "begin",
    "end_of",
    "hearing_ctrl_c",
    "lines_until",
    "opened",
    "python",
    "running",
]

#: The command line as a module, for ``python`` and ``begin``; and as it is installed beside the interpreter.
COMPAT = ("-m", "compat")
INSTALLED = str(Path(sys.executable).with_name("plugin-compat"))


@attrs.frozen
class Finished:
    """How a process ended: its exit code, or the number of the signal as a negative one, and what it wrote."""

    code: int | None
    out: bytes
    err: str


@contextlib.contextmanager
def hearing_ctrl_c() -> Iterator[None]:
    """Let this process, and every process that is started meanwhile, hear SIGINT. On the main thread only."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if before is signal.SIG_IGN:
            signal.signal(signal.SIGINT, before)


def opened(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start the interpreter with these arguments, without an event loop. Whoever starts it ends it."""
    with hearing_ctrl_c():
        return subprocess.Popen([sys.executable, *map(str, arguments)], **options)


def python(*arguments: object, **options: Any) -> Finished:
    """Run the interpreter with these arguments, to its end, without an event loop."""
    with opened(*arguments, **{"stdout": PIPE, "stderr": PIPE, **options}) as process:
        try:
            out, err = process.communicate(timeout=HANG)
        except BaseException:
            process.kill()
            raise
    return Finished(process.returncode, out or b"", (err or b"").decode())


async def begin(*command: object, **options: Any) -> Process:
    """Start a program. Whoever starts it ends it; ``running`` does that."""
    with hearing_ctrl_c():
        return await asyncio.create_subprocess_exec(*map(str, command), **{"stdout": PIPE, "stderr": PIPE, **options})


@contextlib.asynccontextmanager
async def running(*arguments: object, program: str = sys.executable, **options: Any) -> AsyncIterator[Process]:
    """The interpreter, or another program, with these arguments, for as long as the block lasts."""
    process = await begin(program, *arguments, **options)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def end_of(process: Process) -> Finished:
    """Wait for its end. A process that does not come to one is left to whoever started it."""
    async with asyncio.timeout(HANG):
        out, err = await process.communicate()
    return Finished(process.returncode, out or b"", (err or b"").decode())


async def lines_until(stream: asyncio.StreamReader | None, pattern: str) -> list[str]:
    """The lines that a process writes, up to the first in which this regular expression is found."""
    assert stream is not None
    lines: list[str] = []
    async with asyncio.timeout(HANG):
        while not lines or not re.search(pattern, lines[-1]):
            line = await stream.readline()
            assert line, f"it ended without {pattern!r}, after {lines}"
            lines.append(line.decode().rstrip())
    return lines
