"""The command line, run in this process (where coverage sees it) or as a process of its own."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Protocol

import attrs
import pytest

from compat.cli import main

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@attrs.frozen
class Outcome:
    """How a command ended."""

    code: int | str | None
    out: bytes
    err: str


class Command(Protocol):
    def __call__(self, *arguments: object) -> Outcome:
        """Run ``plugin-compat`` with these arguments in this process; from a thread too."""


class Start(Protocol):
    async def __call__(self, *arguments: object, stdout: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
        """Start ``plugin-compat`` as a process; it is killed if it outlives the test."""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["plugin-compat", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capfdbinary.readouterr()
        return Outcome(stop.value.code, out, err.decode())

    return run


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    running: list[asyncio.subprocess.Process] = []

    async def run(*arguments: object, stdout: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "compat", *map(str, arguments), stdout=stdout, stderr=asyncio.subprocess.PIPE
        )
        running.append(process)
        return process

    yield run
    for process in running:
        if process.returncode is None:
            process.kill()
        await process.communicate()
