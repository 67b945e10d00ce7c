"""Fixtures of all rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from adapters.shared import PROCESS
from compat import lingering_guests
from tests.support.waiting import guest_threads, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# The first draw of a text in a fresh clone builds tables for seconds; that says nothing of the code under test.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", UNTIMED, derandomize=True)  # the same examples each time: no run is a matter of luck
settings.register_profile("nightly", UNTIMED, max_examples=2_000, print_blob=True)  # others each night
settings.load_profile("suite")  # unless --hypothesis-profile chooses another


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    """What plugins have said of themselves, or hosts have been asked for, in another test is not known in this one."""
    PROCESS.forget()


@pytest.fixture(scope="session", autouse=True)
def nobody_lingers() -> Iterator[None]:
    """The suite fails if a guest that could not be stopped is still there at its end."""
    yield
    assert lingering_guests() == 0


@pytest.fixture
async def nothing_left() -> AsyncIterator[None]:
    """A test that uses this fails if a guest outlives it."""
    before, lingering = set(guest_threads()), lingering_guests()
    yield
    await until(lambda: before.issuperset(guest_threads()), "the guests' threads end")
    assert lingering_guests() <= lingering
