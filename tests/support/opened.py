"""Opening what is not to be opened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from compat import open_plugin

if TYPE_CHECKING:
    from compat.plugin import Source

__all__ = ["refuse"]


async def refuse(source: Source, **options: Any) -> None:
    """Open what is not to be opened."""
    async with open_plugin(source, **options):
        pytest.fail("it is open")
