"""What ``run`` tells on stderr besides its items: events, each with its time and place, and how it all ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import click

from adapters.contract import EventKind, StreamEvent, StreamState
from adapters.times import rfc3339
from compat.cli.output import as_json
from detectors.wording import shown

__all__ = ["Telling"]

_LONGEST = 1_000  # letters of a message, for people


class Telling:
    """Tells of one run; it follows the run's stream.

    Args:
        style: ``ndjson`` for JSON objects, one a line; anything else for lines for people.

    Attributes:
        items: How many items have been written so far; whoever writes them counts.
        gaps: How many gaps there were; one event may tell of several.
    """

    def __init__(self, style: str) -> None:
        self.items = 0
        self.gaps = 0
        self._tell: Callable[[StreamEvent], None] = self._object if style == "ndjson" else self._line
        self._as_objects = style == "ndjson"
        self._state = StreamState.NEW
        self._recovering_since = 0  # nanoseconds since 1970 UTC

    def event(self, event: StreamEvent) -> None:
        """Tell an event."""
        self.gaps += event.count * (event.kind is EventKind.GAP)
        self._tell(event)
        if event.state is not None:
            if event.state is StreamState.RECOVERING:
                self._recovering_since = event.timestamp
            self._state = event.state

    def end(self, *, interrupted: StreamState | None = None) -> None:
        """Tell the last thing.

        Args:
            interrupted: The state of the stream when Ctrl-C or SIGTERM came; ``None`` if it was something else.
        """
        message = f"{_number(self.items, 'item')}, {_number(self.gaps, 'gap')}"
        if interrupted is StreamState.RECOVERING:
            message += ", interrupted while recovering"
        now = time.time_ns()
        if self._as_objects:
            place = {"event": "end", "sequence": self.items, "timestamp": now, "message": message}
            _echo(as_json({**place, "items": self.items, "gaps": self.gaps}))
        else:
            _echo(f"{_clock(now)} {message}")

    def _object(self, event: StreamEvent) -> None:
        fields: dict[str, Any] = {
            "event": event.kind,
            "sequence": event.sequence,
            "timestamp": event.timestamp,
            "message": event.message,
        }
        several = {"count": event.count, "until": event.until} if event.count > 1 else {}
        optional = {"lost": event.lost, "state": event.state, **several}
        _echo(as_json(fields | {name: value for name, value in optional.items() if value is not None}))

    def _line(self, event: StreamEvent) -> None:
        what = f"{event.kind}: {shown(event.message, _LONGEST)}"
        if event.kind is EventKind.GAP:
            what = f"{event.kind} before {event.where}: {shown(event.message, _LONGEST)}"
        elif event.kind is EventKind.STATE:  # the end is told by the error or the exit
            if event.state is not StreamState.STREAMING or self._state is not StreamState.RECOVERING:
                return
            what = f"back after {(event.timestamp - self._recovering_since) / 1e9:.1f} s"
        _echo(f"{_clock(event.timestamp)} {what}")


def _clock(timestamp: int) -> str:
    """The time of day in UTC, HH:MM:SS, of nanoseconds since 1970 UTC."""
    return rfc3339(timestamp)[11:19]


def _number(count: int, name: str) -> str:
    return f"{count:,} {name}{'s'[: count != 1]}"


def _echo(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it: no reason to stop streaming
        click.echo(line, err=True)
