"""What all of this room ask for: plugins of both kinds, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING

import pytest

from compat import lingering_guests
from tests.support.plugins import FIXTURES, PluginFixture
from tests.support.resources import all_returned
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PLUGINS = {fixture.id: fixture for fixture in FIXTURES}
BOTH = ("legacy-callback", "generic-blocking")  # neither declares rate limits of its own
EVERY = (*BOTH, "legacy-command", "generic-goroutine")


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


@pytest.fixture(autouse=True)
async def everything_returns() -> AsyncIterator[None]:
    """Threads, sockets, tasks and guests are where they were."""
    await asyncio.to_thread(int)  # the pool of threads of the loop exists
    gc.collect()
    threads, lingering = threading.active_count(), lingering_guests()
    async with all_returned():
        yield
        gc.collect()
    await until(lambda: threading.active_count() <= threads + _POOL, "the threads end")
    assert lingering_guests() <= lingering


_POOL = 8  # threads of the loop's pool, which stay
