"""What all of this room ask for: nothing blocks the event loop, and nothing is left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.runtime import guest as runtime_guest
from adapters.runtime.engine import Instance
from tests.support.resources import all_returned
from tests.support.unblocked import unblocked
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    """A test fails if a call blocks its event loop."""
    with unblocked():
        yield


@pytest.fixture
async def all_given_back(nothing_left: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A test that uses this fails if a thread, task, socket or instance (and with it Extism's memory) outlives it."""
    alive: set[Instance] = set()

    class Counted(Instance):
        def __init__(self, *args: object, **options: object) -> None:
            super().__init__(*args, **options)  # type: ignore[arg-type]
            alive.add(self)

        def free(self) -> None:
            super().free()
            alive.discard(self)

    monkeypatch.setattr(runtime_guest, "Instance", Counted)
    async with all_returned():
        yield
        await until(lambda: not alive, "every instance is given back")
