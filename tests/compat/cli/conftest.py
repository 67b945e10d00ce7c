"""The command line, run in this process (where coverage sees it) or as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Protocol

import attrs
import pytest

from compat.cli import main
from tests.support.processes import COMPAT, begin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from compat.cli.command import Session


@attrs.frozen
class Outcome:
    """How a command ended."""

    code: int | str | None
    out: bytes
    err: str


class Command(Protocol):
    def __call__(self, *arguments: object, session: Session | None = None) -> Outcome:
        """Run ``plugin-compat`` with these arguments in this process; from a thread too."""


class Start(Protocol):
    async def __call__(self, *arguments: object, stdout: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
        """Start ``plugin-compat`` as a process; it is killed if it outlives the test."""


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Command]:
    def run(*arguments: object, session: Session | None = None) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["plugin-compat", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main(session)
        out, err = capfdbinary.readouterr()
        return Outcome(stop.value.code, out, err.decode())

    before = signal.getsignal(signal.SIGINT)
    yield run
    signal.signal(signal.SIGINT, before)  # an interrupted command leaves it to the system


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    started: list[asyncio.subprocess.Process] = []

    async def run(*arguments: object, stdout: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
        started.append(await begin(sys.executable, *COMPAT, *arguments, stdout=stdout))
        return started[-1]

    yield run
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.communicate()
