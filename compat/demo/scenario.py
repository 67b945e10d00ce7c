"""What goes wrong at the exchange, and when: a script as data, played once per exchange.

    Scenario((
        Step(After(candles=100), Drop()),
        Step(After(candles=50), Silence(seconds=0.5)),
        Step(After(seconds=1.0), Reject(count=2)),
    ))

Waits are relative to the end of the step before, and candles are counted over all connections. After a number of
candles means exactly so many: the feeds stand still from that candle until the action is done.
"""

from __future__ import annotations

import asyncio
import http
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from adapters.arguments import Rule, whole
from detectors.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = [
    "COUNT",
    "STATUS",
    "Action",
    "After",
    "Close",
    "Drop",
    "Flood",
    "Garbage",
    "Gate",
    "Reject",
    "Scenario",
    "Silence",
    "Stage",
    "Step",
    "play",
]


#: What the numbers of attempts that are refused, and the status that says so, have to be.
COUNT = whole(0)
STATUS = Rule(
    "an HTTP status from 200 on that is registered",
    lambda status: isinstance(status, int) and status >= 200 and status in set(http.HTTPStatus),
    shows=True,
)


@attrs.frozen(kw_only=True)
class After:
    """When a step begins: after so many candles sent, or after so many seconds; exactly one of them."""

    candles: int | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(1)))
    seconds: float | None = attrs.field(default=None, validator=attrs.validators.optional(attrs.validators.ge(0)))

    def __attrs_post_init__(self) -> None:
        if (self.candles is None) == (self.seconds is None):
            raise UsageError("a step waits for candles or for seconds", remedy="Give exactly one of them.")


@attrs.frozen
class Drop:
    """Cut every connection without a close frame."""


@attrs.frozen
class Close:
    """Close every connection with a close frame."""

    code: int = 1001
    reason: str = "going away"


@attrs.frozen
class Garbage:
    """Send a text that is not of the protocol to every connection."""

    text: str = "<html>502 Bad Gateway</html>"


@attrs.frozen
class Silence:
    """Say nothing for so long, with every connection open."""

    seconds: float


@attrs.frozen
class Flood:
    """Send so many candles of every market at once, ahead of their time."""

    candles: int


@attrs.frozen
class Reject:
    """Refuse the next attempts to connect; ``retry_after`` is in seconds, or a date as HTTP writes it."""

    count: int = attrs.field(validator=COUNT)
    status: int = attrs.field(default=503, validator=STATUS)
    retry_after: int | str | None = None


Action = Drop | Close | Garbage | Silence | Flood | Reject


@attrs.frozen
class Step:
    """One thing that happens, and when."""

    after: After
    action: Action


@attrs.frozen
class Scenario:
    """Steps, played in order."""

    steps: tuple[Step, ...]


class Stage(Protocol):
    """What a script needs of the exchange."""

    async def drop_all(self) -> None:
        """Cut every connection."""

    async def close_all(self, code: int = 1001, reason: str = "going away") -> None:
        """Close every connection."""

    async def broadcast(self, text: str) -> None:
        """Send a text to every connection."""

    def silence(self) -> None:
        """Send nothing from now on."""

    def resume(self) -> None:
        """Send again."""

    def flood(self, candles: int) -> None:
        """Send candles ahead of their time."""

    def reject(self, count: int, status: int = 503, retry_after: int | str | None = None) -> None:
        """Refuse the next attempts to connect."""


class Gate:
    """Lets an exact number of candles through, then holds every feed until it is opened again."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._shut = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    @property
    def is_open(self) -> bool:
        """Whether a candle may pass; look before each one."""
        return self._open.is_set()

    def count(self) -> None:
        """A candle has passed."""
        if self._left is not None:
            self._left -= 1
            if self._left == 0:
                self._left = None
                self._open.clear()
                self._shut.set()

    async def wait_open(self) -> None:
        """Return once candles may pass."""
        await self._open.wait()

    async def shut_after(self, candles: int) -> None:
        """Return as soon as so many candles have passed, with the gate shut behind the last."""
        self._shut.clear()
        self._left = candles
        await self._shut.wait()

    def open(self) -> None:
        """Let candles pass again."""
        self._open.set()


async def play(scenario: Scenario, stage: Stage, gate: Gate) -> None:
    """Play every step once, then return."""
    for step in scenario.steps:
        if step.after.candles is not None:
            await gate.shut_after(step.after.candles)
        else:
            await asyncio.sleep(step.after.seconds or 0)
        await _ACTIONS[type(step.action)](step.action, stage, gate)
        gate.open()


async def _drop(_: Drop, stage: Stage, __: Gate) -> None:
    await stage.drop_all()


async def _close(action: Close, stage: Stage, _: Gate) -> None:
    await stage.close_all(action.code, action.reason)


async def _garbage(action: Garbage, stage: Stage, _: Gate) -> None:
    await stage.broadcast(action.text)


async def _silence(action: Silence, stage: Stage, gate: Gate) -> None:
    stage.silence()
    gate.open()  # The feeds have to meet the silence, not the gate: only then does a live market move on without them.
    await asyncio.sleep(action.seconds)
    stage.resume()


async def _flood(action: Flood, stage: Stage, _: Gate) -> None:
    stage.flood(action.candles)


async def _reject(action: Reject, stage: Stage, _: Gate) -> None:
    stage.reject(action.count, action.status, action.retry_after)


_ACTIONS: dict[type[Action], Callable[[Any, Stage, Gate], Awaitable[None]]] = {
    Drop: _drop,
    Close: _close,
    Garbage: _garbage,
    Silence: _silence,
    Flood: _flood,
    Reject: _reject,
}
