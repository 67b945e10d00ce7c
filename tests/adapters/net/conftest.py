"""What the tests of the network share."""

from __future__ import annotations

import asyncio
import socket as sockets
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.resources import all_returned
from tests.support.rogue.certificates import Authority, Files

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

NAMES = ("ws", "wss", "http", "https", "all", "socks", "no")


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def ca(files: Files, authority: Authority) -> Path:
    return files.write("ca.pem", authority.certificate)


@pytest.fixture
async def nothing_open() -> AsyncIterator[None]:
    """A test that uses this fails if a socket or a task outlives it."""
    async with all_returned():
        yield


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the variables of the environment that name proxies, and no others."""

    def set_(**values: str) -> None:
        for name in NAMES:
            for spelling in (f"{name}_proxy", f"{name}_proxy".upper()):
                monkeypatch.delenv(spelling, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(f"{name}_proxy", value)

    set_()
    return set_


@pytest.fixture
def no_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine that can resolve no name. Returns the names that were looked up."""
    asked: list[str] = []
    real = asyncio.BaseEventLoop.getaddrinfo

    async def getaddrinfo(self: asyncio.BaseEventLoop, host: str, *rest: Any, flags: int = 0, **more: Any) -> Any:
        try:
            return await real(self, host, *rest, flags=flags | sockets.AI_NUMERICHOST, **more)
        except sockets.gaierror:
            if not flags & sockets.AI_NUMERICHOST:
                asked.append(host)
            raise

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked
