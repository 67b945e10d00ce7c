"""The form of the tables of hostile plugins: what each does, what must be told of it, and where it is tried."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import pytest

from compat import Bounds, CompatError, EventKind, Progress
from tests.hostile.neighbours import BOUNDS, PROGRESS
from tests.hostile.scene import Pace, Place

__all__ = ["Row", "hasty", "impatient", "played"]


_BOUNDS = attrs.evolve(BOUNDS, leave_timeout=0.05)  # most do not leave by themselves


@attrs.frozen
class Row:
    """One hostile plugin, and what follows.

    Its stream ends in an error (``ends``), or an event tells of it (``told``), or both. A row with neither goes on
    until it is closed.

    Attributes:
        name: Its kind, and what it does.
        wasm: The plugin; see ``guests``.
        begins: The export or host function whose call shows that its mischief has begun; empty: its guest is there.
        calls: How often it has to be called for that.
        ends: The class of the error that its stream raises.
        says: A pattern of what the error says, or of what the event says if there is no error.
        remedy: A pattern of what helps; empty if nothing does.
        told: The kind of an event.
        logs: A pattern of what its logger is told.
        closes: The export that is called when it is closed.
        identifier: Of the stream that is asked for.
        messages: How many its exchange sends over each connection.
        items: How many items are delivered; ``None``: that does not matter.
        bounds: How much it may take. All deadlines are long but for those that the row is about.
        progress: How long it may stand still, likewise.
        config: Its configuration.
    """

    name: str
    wasm: bytes = attrs.field(repr=False)
    begins: str = ""
    calls: int = attrs.field(default=1, kw_only=True)
    ends: type[CompatError] | None = None
    says: str = ""
    remedy: str = ""
    told: EventKind | None = None
    logs: str = ""
    closes: str = ""
    identifier: str = "BTC-USDT"
    messages: int = 3
    items: int | None = None
    bounds: Bounds = _BOUNDS
    progress: Progress = PROGRESS
    config: Mapping[str, Any] = attrs.field(factory=dict)


def hasty(**bounds: Any) -> Bounds:
    """The bounds of a row: these, and long deadlines besides."""
    return attrs.evolve(_BOUNDS, **bounds)


def impatient(**progress: Any) -> Progress:
    """How long a row may stand still: these, and long times besides."""
    return attrs.evolve(PROGRESS, **progress)


def played(rows: Iterable[Row]) -> Callable[[Any], Any]:
    """A test for each row, in each place, and nightly at the pace of the default settings."""
    by_row = pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in rows])
    by_place = pytest.mark.parametrize("place", [pytest.param(place, id=place.value) for place in Place])
    nightly = [pytest.mark.nightly, pytest.mark.timeout(900)]
    paces = {Pace.COUNTED: [], Pace.TIMED: nightly}
    by_pace = pytest.mark.parametrize("pace", [pytest.param(pace, id=pace.value, marks=paces[pace]) for pace in Pace])
    cleaned = pytest.mark.usefixtures("all_given_back")
    return lambda test: cleaned(by_row(by_place(by_pace(test))))
