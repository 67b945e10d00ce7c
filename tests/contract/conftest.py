"""What all of this room ask for: every plugin behind every face of the library, and event loops that nothing blocks."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from compat import AdapterSettings, Opening, Plugin
from compat.demo.exchange import Exchange
from tests.support.flavours import ASYNCIO, FLAVOURS, Flavour
from tests.support.plugins import FIXTURES, PluginFixture
from tests.support.simex import open_against
from tests.support.unblocked import unblocked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Open = Callable[..., Opening]
Trading = Callable[..., contextlib.AbstractAsyncContextManager[Plugin]]

FIRST_OF_THEIR_KIND = tuple({fixture.kind: fixture for fixture in reversed(FIXTURES)}.values())


def _marks(fixture: PluginFixture, flavour: Flavour) -> list[pytest.MarkDecorator]:
    """The blocking face is the same for all plugins, but that one of each kind is to be seen through it every time."""
    if flavour is ASYNCIO:
        return []
    return [pytest.mark.ours, *([] if fixture in FIRST_OF_THEIR_KIND else [pytest.mark.nightly])]


def _cases(fixtures: tuple[PluginFixture, ...]) -> list[Any]:
    return [
        pytest.param((fixture, flavour), id=f"{fixture.id}-{flavour.name}", marks=_marks(fixture, flavour))
        for fixture in fixtures
        for flavour in FLAVOURS
    ]


#: For a test that is about more than a kind's ways.
EACH_KIND = pytest.mark.parametrize("case", _cases(FIRST_OF_THEIR_KIND), indirect=True)


@pytest.fixture(params=_cases(FIXTURES))
def case(request: pytest.FixtureRequest) -> tuple[PluginFixture, Flavour]:
    """Every plugin in turn, through each face of the library."""
    found: tuple[PluginFixture, Flavour] = request.param
    return found


@pytest.fixture
def fixture(case: tuple[PluginFixture, Flavour]) -> PluginFixture:
    """The plugin in turn."""
    return case[0]


@pytest.fixture
def flavour(case: tuple[PluginFixture, Flavour]) -> Flavour:
    """The face in turn."""
    return case[1]


@pytest.fixture
def open_(fixture: PluginFixture, flavour: Flavour) -> Open:
    """Opens the plugin in turn against an exchange."""
    return functools.partial(open_against, fixture, flavour=flavour)


@pytest.fixture
def trading(open_: Open) -> Trading:
    """The same, and opens the exchange."""

    @contextlib.asynccontextmanager
    async def trade(exchange: Exchange, *, settings: AdapterSettings | None = None) -> AsyncIterator[Plugin]:
        async with exchange, open_(exchange, settings=settings) as plugin:
            yield plugin

    return trade


@pytest.fixture(autouse=True)
def nothing_blocks_a_loop() -> Iterator[None]:
    """A test fails if a call blocks an event loop: that of the test, or that of the blocking face."""
    with unblocked():
        yield
