"""A manager that is closed after the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from compat import StreamManager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def manager() -> AsyncIterator[StreamManager]:
    async with StreamManager() as manager:
        yield manager
