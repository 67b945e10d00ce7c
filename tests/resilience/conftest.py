"""What all of this room ask for: plugins of both kinds, waits that are noted, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from compat import AdapterSettings, Backoff, Pacing, lingering_guests
from tests.support.plugins import FIXTURES, PluginFixture
from tests.support.resources import all_returned
from tests.support.simex import unhurried
from tests.support.unblocked import unblocked
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PLUGINS = {fixture.id: fixture for fixture in FIXTURES}
BOTH = ("legacy-callback", "generic-blocking")  # neither declares rate limits of its own
EVERY = (*BOTH, "legacy-command", "generic-goroutine")

SOON = Backoff(first=0.02, highest=0.1, healthy_after=0.2)
AT_ONCE = Pacing(rate=1_000, burst=1_000)


def settings(**chosen: Any) -> AdapterSettings:
    """What tries again at once, more or less, but for what is chosen."""
    return unhurried(**{"backoff": SOON, "pacing": AT_ONCE, **chosen})


@attrs.frozen
class NotedBackoff(Backoff):
    """One that notes what it is asked, and what it answers: the ceiling, without jitter.

    Attributes:
        failures: How many in a row there had been, each time that it was asked.
        waits: The seconds to wait that it gave.
    """

    failures: list[int] = attrs.field(factory=list)
    waits: list[float] = attrs.field(factory=list)

    def wait_after(self, failures: int) -> float:
        """See ``Backoff``."""
        wait: float = min(self.first * 2 ** (failures - 1), self.highest)
        self.failures.append(failures)
        self.waits.append(wait)
        return wait


@pytest.fixture(params=BOTH)
def both(request: pytest.FixtureRequest) -> PluginFixture:
    """A plugin of each kind in turn."""
    return PLUGINS[request.param]


@pytest.fixture(params=EVERY)
def every(request: pytest.FixtureRequest) -> PluginFixture:
    """A plugin of each dialect and each way of running in turn."""
    return PLUGINS[request.param]


@pytest.fixture
def legacy() -> PluginFixture:
    """A legacy plugin."""
    return PLUGINS["legacy-callback"]


@pytest.fixture
def deserted_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else can come to listen on meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture(autouse=True)
def nothing_blocks_a_loop() -> Iterator[None]:
    """A test fails if a call blocks its event loop."""
    with unblocked():
        yield


@pytest.fixture(autouse=True)
async def everything_returns() -> AsyncIterator[None]:
    """Threads, sockets, tasks and guests are where they were."""
    await asyncio.to_thread(int)  # the pool of threads of the loop exists
    gc.collect()
    threads, lingering = _threads(), lingering_guests()
    async with all_returned():
        yield
        gc.collect()
    await until(lambda: threads >= _threads(), "the threads end")
    assert lingering_guests() <= lingering


def _threads() -> set[threading.Thread]:
    """The threads of this process, without the loop's pool and the one that watches all guests, which stay."""
    return {
        thread
        for thread in threading.enumerate()
        if not thread.name.startswith("asyncio_") and thread.name != "plugin-compat watch"
    }
