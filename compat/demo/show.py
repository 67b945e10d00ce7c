"""What a demo knows so far, as plain state: what each plugin delivered, what it told, and how far the plot has come.

The performance in ``plot.py`` updates it, ``verdict.py`` judges it, and views show it. It has no clock of its
own: whoever updates it tells the time, in seconds since the demo began.
"""

from __future__ import annotations

import enum
import statistics
from typing import Protocol

import attrs

from adapters.contract import Candle, EventKind, StreamData, StreamEvent, StreamState
from adapters.times import rfc3339

__all__ = ["INTERVAL", "Arrival", "Check", "Feed", "Happening", "Phase", "Show", "View", "candle_line", "counted"]

INTERVAL = 60 * 10**9
"""Nanoseconds between the openings of two candles."""

_LATELY = 20  # arrivals that the shown latency is taken of


class Phase(enum.StrEnum):
    """How far the plot has come."""

    STARTING = "the plugins are starting"
    STREAMING = "both stream the same market"
    INTERRUPTED = "the exchange is down"
    RECOVERING = "the plugins recover"
    RECOVERED = "both are back"
    LEAVING = "leaving"
    OVER = "done"


@attrs.frozen
class Arrival:
    """A candle in the consumer's hands.

    Attributes:
        candle: The candle.
        sequence: The item's number within its stream.
        at: When the consumer got it.
        latency: Seconds since the exchange handed it to its socket; ``None`` if it never did.
    """

    candle: Candle
    sequence: int
    at: float
    latency: float | None


@attrs.frozen
class Happening:
    """One line of the story.

    Attributes:
        at: When it happened.
        who: ``exchange`` or a plugin's name.
        text: What happened.
        routine: Whether it is no news to whoever sees the plugins and their candles.
    """

    at: float
    who: str
    text: str
    routine: bool = False


@attrs.frozen
class Check:
    """One line of the verdict: whether something holds, what it is, and what speaks against it."""

    passed: bool
    text: str
    details: tuple[str, ...] = ()


@attrs.define(eq=False)
class Feed:
    """One plugin's side of the show.

    Attributes:
        name: Its source at the manager.
        kind: For people: its kind and, if it has one, its dialect.
        reason: The evidence for that.
        state: Its stream's state.
        rate: Candles a second, lately.
        arrivals: Every candle that came, in the order in which it came.
        candles: The same by their open time.
        unreadable: Items that are no candle.
        gaps: The numbers of the items before which a gap was told.
        back: When the first candle after the interruption came.
    """

    name: str
    kind: str
    reason: str
    state: StreamState = StreamState.NEW
    rate: float = 0.0
    arrivals: list[Arrival] = attrs.field(factory=list)
    candles: dict[int, Candle] = attrs.field(factory=dict)
    unreadable: int = 0
    gaps: list[int] = attrs.field(factory=list)
    back: float | None = None

    @property
    def latency(self) -> float | None:
        """The median of the latest latencies, in seconds; ``None`` if none was measured."""
        return _median([arrival.latency for arrival in self.arrivals[-_LATELY:]])

    @property
    def summary(self) -> str:
        """How many candles it delivered, and how quickly."""
        median = _median([arrival.latency for arrival in self.arrivals])
        worst = max((arrival.latency for arrival in self.arrivals if arrival.latency is not None), default=None)
        count = counted(len(self.arrivals), "candle")
        if median is None or worst is None:
            return count
        return f"{count}, from socket to consumer in {median * 1e3:.1f} ms (median), {worst * 1e3:.1f} ms (worst)"


@attrs.define(eq=False)
class Show:
    """Everything that is known.

    Attributes:
        wanted: Candles that both are to deliver before the interruption.
        encore: Candles that both are to deliver after it.
        rate: Candles a second at the exchange.
        market: What is streamed, for people.
        address: Where the exchange is.
        feeds: The plugins, by name.
        phase: How far the plot has come.
        now: When it was last updated.
        common: Open times of the candles that all have delivered.
        interrupted: When the connections were cut; ``None`` before.
        happenings: The story, in order.
        checks: The verdict; empty before.
    """

    wanted: int
    encore: int
    rate: float
    market: str
    address: str = ""
    feeds: dict[str, Feed] = attrs.field(factory=dict)
    phase: Phase = Phase.STARTING
    now: float = 0.0
    common: list[int] = attrs.field(factory=list)
    interrupted: float | None = None
    happenings: list[Happening] = attrs.field(factory=list)
    checks: tuple[Check, ...] = ()
    _common_when_back: int = 0

    @property
    def different(self) -> list[int]:
        """Open times of the candles that all have delivered, but not all the same."""
        candles = [feed.candles for feed in self.feeds.values()]
        return [at for at in self.common if any(each[at] != candles[0][at] for each in candles)]

    @property
    def all_back(self) -> bool:
        """Whether every plugin delivers again after the interruption."""
        return all(feed.back is not None for feed in self.feeds.values())

    @property
    def common_since(self) -> int:
        """How many candles all have delivered since all are back."""
        return len(self.common) - self._common_when_back if self.all_back else 0

    @property
    def passed(self) -> bool:
        """Whether there is a verdict, and nothing in it failed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def tell(self, at: float, who: str, text: str, *, routine: bool = False) -> None:
        """Something happened."""
        self.now = at
        self.happenings.append(Happening(at, who, text, routine))

    def introduce(self, at: float, feed: Feed) -> None:
        """A plugin enters."""
        self.feeds[feed.name] = feed
        self.tell(at, feed.name, f"{feed.kind}: it {feed.reason}", routine=True)

    def interrupt(self, at: float, text: str) -> None:
        """The exchange cuts all connections."""
        self.interrupted, self.phase = at, Phase.INTERRUPTED
        self.tell(at, "exchange", text)

    def take(self, at: float, source: str, item: StreamData, latency: float | None) -> None:
        """An item arrived."""
        feed, candle = self.feeds[source], item.candle()
        if candle is None:
            feed.unreadable += 1
            self.tell(at, source, f"item {item.sequence} is no candle: {item.data[:60]!r}")
            return
        if feed.gaps and feed.back is None and item.sequence >= feed.gaps[-1]:
            self._welcome_back(at, feed, candle)
        feed.arrivals.append(Arrival(candle, item.sequence, at, latency))
        if candle.opened not in feed.candles:
            feed.candles[candle.opened] = candle
            if all(candle.opened in each.candles for each in self.feeds.values()):
                self.common.append(candle.opened)
        self.tell(at, source, candle_line(candle), routine=True)

    def hear(self, at: float, source: str, event: StreamEvent) -> None:
        """A stream told something."""
        feed = self.feeds[source]
        if event.state in _WORTH_TELLING:
            self.tell(at, source, f"{event.state}: {event.message}")
        elif event.kind is EventKind.GAP and not set(event.places) <= set(feed.gaps):  # one for each attempt to connect
            feed.gaps += [place for place in event.places if place not in feed.gaps]
            self.tell(at, source, f"gap before {event.where}: {event.message}")
        elif event.kind not in _PART_OF_RECOVERING:
            self.tell(at, source, f"{event.kind}: {event.message}")

    def _welcome_back(self, at: float, feed: Feed, candle: Candle) -> None:
        feed.back = at
        took = f" after {at - self.interrupted:.1f} s" if self.interrupted is not None else ""
        missing = (candle.opened - feed.arrivals[-1].candle.opened) // INTERVAL - 1 if feed.arrivals else 0
        self.tell(at, feed.name, f"back{took}; {counted(missing, 'candle')} missing")
        if self.all_back:
            self.phase, self._common_when_back = Phase.RECOVERED, len(self.common)


_WORTH_TELLING = (StreamState.RECOVERING, StreamState.FAILED)
_PART_OF_RECOVERING = (EventKind.STATE, EventKind.GAP, EventKind.RECONNECT, EventKind.RESTART)


class View(Protocol):
    """Shows a show to people."""

    def show(self, show: Show) -> None:
        """Show what is the case; called several times a second, and once when all is over."""
        ...


def counted(count: int, what: str) -> str:
    """A number of things."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def candle_line(candle: Candle) -> str:
    """A candle as one line."""
    return (
        f"{rfc3339(candle.opened)[:16]}  open {candle.open}  high {candle.high}  low {candle.low}  "
        f"close {candle.close}  volume {candle.volume}"
    )


def _median(latencies: list[float | None]) -> float | None:
    measured = [latency for latency in latencies if latency is not None]
    return statistics.median(measured) if measured else None
