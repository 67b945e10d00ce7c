"""What the tests of the network share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.resources import all_returned
from tests.support.rogue.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="session")
def authority() -> Authority:
    return Authority()


@pytest.fixture
async def nothing_open() -> AsyncIterator[None]:
    """A test that uses this fails if a socket or a task outlives it."""
    async with all_returned():
        yield
