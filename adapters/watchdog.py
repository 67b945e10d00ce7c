"""What counts as standing still, and what follows: one table, and one watchdog that goes by it.

A guest that has stopped working looks much like one whose market is quiet. What tells them apart can be counted from
outside: calls, crossings of the guest's border, messages that wait. A row of the table says what is seen, and names
two times of ``Progress``: until an event tells of it, and until the guest is replaced. That is a failure like every
other, under ``recovery.RULES`` and their budgets: before a stream has delivered anything, it fails instead.

    signs ──▶ the first row that holds ──▶ held long enough ─▶ an event: what is, and what is not, happening
                                      └───▶ held too long ───▶ NoProgressError, or why the connection was lost
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from adapters.companion.border import SLEEP
from adapters.contract import EventKind
from adapters.errors import NoProgressError
from adapters.progress import Progress
from detectors.errors import CompatError

if TYPE_CHECKING:
    from adapters.channel import Channel

__all__ = ["ROWS", "Row", "Signs", "Watchdog"]

_COUNT = "dead_answers"  # no time of ``Progress``: a row with it holds once there are so many
_AGAIN = 10  # times as long as for the first time, until the same is told again
_LONGEST_STEP = 2.0  # seconds that count from one look to the next
_LONG_ENTRY = 1.0  # seconds after which something of the guest's own goes on where it was entered

# Host functions in which a guest waits for something, or for somebody: it does not hang there. Others return at once.
_WAITING_IN = frozenset(
    {SLEEP, "ws_connect", "ws_send", "ws_receive", "ws_close", "http_request", "publish_stream_data"}
)


@attrs.frozen
class Signs:
    """What can be seen of a stream's guest at one moment. Counts are since it was made, times in seconds.

    Attributes:
        running: The export that runs; empty: none does.
        running_for: Since it was called, where a parked guest was entered; else 0.
        inside: The host function that it is in, ``a sleep`` among them; empty: its own code runs.
        moves: Calls that began, and crossings of the guest's border.
        returned: Whether ``start_stream`` has returned.
        entered: How often the guest was entered since then.
        doors: The exports that it is entered through.
        woken: Whether it has used a connection in a call of one of them.
        connecting: Whether it waits for a connection just now, or for its turn.
        opened: Connections that were ever open.
        open: Connections that are open now.
        open_for: Since the latest of them was opened.
        requests: HTTP requests that it has made.
        asked: How often it has asked for a message.
        taken: Messages that it was given.
        waiting: Messages that have come and that it has not taken.
        items: Items that it has published.
        backed_up: Whether it has to wait for the stream's consumer.
        dead: Whether it was told of a connection that is none, since it opened the latest.
        lost: Why it lost it; ``None`` if it never had one, or closed it.
        failures: How often it has used a dead connection since it tried to open another.
    """

    running: str = ""
    running_for: float = 0.0
    inside: str = ""
    moves: int = 0
    returned: bool = False
    entered: int = 0
    doors: tuple[str, ...] = ()
    woken: bool = False
    connecting: bool = False
    opened: int = 0
    open: int = 0
    open_for: float = 0.0
    requests: int = 0
    asked: int = 0
    taken: int = 0
    waiting: int = 0
    items: int = 0
    backed_up: bool = False
    dead: bool = False
    lost: CompatError | None = None
    failures: int = 0

    @property
    def waits(self) -> bool:
        """Whether it is in a host function in which it waits."""
        return self.inside in _WAITING_IN

    @property
    def has_got_on(self) -> bool:
        """Whether it has got to the network, or waits for what may take its time."""
        begun = self.opened or self.items or self.dead
        asked = self.inside == "http_request" or (self.requests > 0 and self.inside == SLEEP)
        return bool(begun or self.connecting or self.backed_up or asked)

    @property
    def is_cut_off(self) -> bool:
        """Whether it has no connection, and was told so."""
        return self.dead and not self.open

    @property
    def lets_wait(self) -> bool:
        """Whether it parked, has asked for messages and leaves some, although it is entered again and again."""
        asks = self.asked > 0 or not self.open
        return self.returned and asks and self.waiting > 0 and not self.stays

    @property
    def stays(self) -> bool:
        """Whether it has not come back for long from where it was entered, so that something of its own goes on."""
        return bool(self.running) and self.running_for >= _LONG_ENTRY

    @property
    def uses(self) -> tuple[int, ...]:
        """What grows with whatever the guest gets from its connections, or gives."""
        return self.opened, self.asked, self.taken, self.items

    def told(self, asleep: float | None = None) -> str:
        """What is, and what is not, happening, in one line.

        Args:
            asleep: For how long the guest has slept, if it does.
        """
        return ", ".join(filter(None, (*self._doing(asleep), *self._connection(), f"{_count(self.items, 'item')}")))

    def _doing(self, asleep: float | None) -> tuple[str, ...]:
        where = f"in {self.inside}" if self.inside else ""
        where = where if asleep is None else f"asleep for {asleep:.0f} s"
        if self.returned:
            doors = f" through {', '.join(self.doors)}" if self.doors else ""
            return f"start_stream has returned and it was entered {_count(self.entered, 'time')} since{doors}", where
        return f"{self.running} runs" if self.running else "", where

    def _connection(self) -> tuple[str, ...]:
        if not self.opened:
            return "no connection was opened", _count(self.requests, "request") + " made" if self.requests else ""
        state = f"connected {self.open_for:.0f} s ago" if self.open else "no connection is open"
        asked = "" if self.asked or self.taken else "the guest has not asked for any"
        return state, f"{_count(self.taken, 'message')} received", f"{self.waiting:,} waiting", asked


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s'[: number != 1]}"


@attrs.frozen
class Row:
    """A way of standing still.

    Attributes:
        seen: What is seen, for people.
        holds: Whether it is seen just now.
        same: What begins the time anew whenever it changes.
        told: The time of ``Progress`` after which it is told; empty: it is not, for something else tells of it.
        ends: The time after which the guest is replaced, or ``dead_answers``; empty: never.
        because: What the guest is replaced for, where that is not the standing still itself.
    """

    seen: str
    holds: Callable[[Signs, Progress], bool]
    same: Callable[[Signs], object] = lambda _: None
    told: str = ""
    ends: str = ""
    because: Callable[[Signs], CompatError | None] = lambda _: None


#: One row at a time is told of: the first that has held long enough. Each of them may end a guest.
ROWS: tuple[Row, ...] = (
    Row(
        "it runs and makes no host call",
        lambda signs, _: bool(signs.running) and not signs.inside,
        lambda signs: signs.moves,
        told="told_after",
        ends="hung_after",
    ),
    Row(
        "start_stream has got to no connection",
        lambda signs, _: (signs.running == "start_stream" or signs.returned) and not signs.has_got_on,
        lambda signs: signs.requests,
        told="told_after",
        ends="start_timeout",
    ),
    Row(
        "it parked with a connection, and nobody receives",
        lambda signs, _: signs.returned and signs.open > 0 and not (signs.asked or signs.woken or signs.stays),
        lambda signs: signs.uses,
        told="told_after",
        ends="unasked_after",
    ),
    Row(
        "it parked, and takes none of the messages that wait",
        lambda signs, _: signs.lets_wait and not signs.woken,
        lambda signs: signs.uses,
        ends="standing_after",
        because=lambda signs: None if signs.open else signs.lost,
    ),
    Row(  # it may sleep from one time to the next
        "it parked, and takes none of the messages that wait any more",
        lambda signs, _: signs.lets_wait and signs.woken,
        lambda signs: signs.uses,
        told="told_after",
        ends="unasked_after",
        because=lambda signs: None if signs.open else signs.lost,
    ),
    Row(
        "it was entered and does not return, and neither gets nor gives anything",
        lambda signs, _: signs.returned and bool(signs.running) and not signs.waits,
        lambda signs: (signs.entered, signs.requests, signs.uses),
        told="told_after",
        ends="hung_after",
    ),
    Row(
        "it asks for a dead connection again and again",
        lambda signs, progress: signs.is_cut_off and signs.failures >= progress.dead_answers,
        lambda signs: signs.items,
        ends=_COUNT,
        because=lambda signs: signs.lost,
    ),
    Row(
        "it asks for a dead connection again",
        lambda signs, _: signs.is_cut_off and signs.failures > 1,
        lambda signs: signs.items,
        ends="asking_after",
        because=lambda signs: signs.lost,
    ),
    Row(
        "its connection is dead and it opens no other",
        lambda signs, _: signs.is_cut_off,
        lambda signs: signs.items,
        ends="lost_after",
        because=lambda signs: signs.lost,
    ),
    Row(
        "it asks for a dead connection again and again, and has others",
        lambda signs, progress: signs.dead and signs.open > 0 and signs.failures >= progress.dead_answers,
        told="told_after",
        ends="lost_after",
        because=lambda signs: signs.lost,
    ),
    Row(
        "it takes none of the messages that wait",
        lambda signs, _: (
            (bool(signs.running) or signs.returned) and signs.waiting > 0 and not (signs.backed_up or signs.connecting)
        ),
        lambda signs: (signs.taken, signs.items),
        told="told_after",
    ),
    Row(
        "no item has come",
        lambda signs, _: (
            (signs.open > 0 or signs.requests > 0) and not (signs.items or signs.connecting or signs.backed_up)
        ),
        lambda signs: signs.opened,
        told="told_after",
    ),
)


class Watchdog:
    """Looks at one guest of a stream, or one connection of it, now and then.

    Args:
        plugin: The plugin's name.
        channel: The stream's, where events go.
        progress: The times.
        clock: Monotonic seconds.
    """

    def __init__(
        self, plugin: str, channel: Channel, progress: Progress, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._plugin = plugin
        self._channel = channel
        self._progress = progress
        self._clock = clock
        self._looked = clock()
        self._now = 0.0  # seconds that have passed here
        self._since: dict[Row, tuple[float, object]] = {}
        self._asleep: tuple[float, int] | None = None
        self._told: Row | None = None  # the row that was told of, as long as it holds
        self._told_at: dict[Row, float] = {}

    def look(self, signs: Signs) -> None:
        """Tell what is to be told.

        Raises:
            NoProgressError: The guest has stood still for too long.
            CompatError: Why its connection was lost, if it does nothing about that.
        """
        now = self._clock()
        # Between two looks that are far apart the whole process may have stood still, and the guest with it.
        self._now += min(now - self._looked, _LONGEST_STEP)
        self._looked = now
        self._note_sleep(signs)
        held = {row: seconds for row in ROWS if (seconds := self._held(row, signs)) is not None}
        if self._told not in held:
            self._told = None
        for row, seconds in held.items():
            if row.ends and seconds >= self._limit(row.ends) and not signs.connecting:
                raise row.because(signs) or self._error(row, signs, seconds)
            if self._is_to_be_told(row, seconds):
                self._told, self._told_at[row] = row, self._now
                self._channel.tell(EventKind.PROGRESS, f"{row.seen} for {seconds:.0f} s: {self._facts(signs)}")

    def _is_to_be_told(self, row: Row, seconds: float) -> bool:
        if not row.told or self._told is not None or seconds < self._limit(row.told):
            return False
        # What comes and goes, like a sleep between any two messages, is news once in a while.
        return self._now - self._told_at.get(row, -math.inf) >= self._limit(row.told) * _AGAIN

    def _held(self, row: Row, signs: Signs) -> float | None:
        """Seconds for which a row has held; ``None`` if it does not."""
        if not row.holds(signs, self._progress):
            self._since.pop(row, None)
            return None
        same = row.same(signs)
        since, before = self._since.get(row, (self._now, same))
        if same != before:
            since = self._now
            if self._told is row:
                self._told = None
        self._since[row] = since, same
        return self._now - since

    def _limit(self, name: str) -> float:
        return 0.0 if name == _COUNT else float(getattr(self._progress, name))

    def _note_sleep(self, signs: Signs) -> None:
        if signs.inside != SLEEP:
            self._asleep = None
        elif self._asleep is None or self._asleep[1] != signs.moves:
            self._asleep = self._now, signs.moves

    def _facts(self, signs: Signs) -> str:
        return signs.told(None if self._asleep is None else self._now - self._asleep[0])

    def _error(self, row: Row, signs: Signs, seconds: float) -> NoProgressError:
        return NoProgressError(
            self._plugin, str(self._channel.key), row.seen, seconds, self._facts(signs), setting=row.ends
        )
