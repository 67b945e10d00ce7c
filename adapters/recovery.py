"""What follows when a stream breaks: one table of failures, and one budget and back-off that all kinds share.

A failure is tried again, or is the stream's end. What is tried again waits longer each time, and neither the wait nor
the budget begins anew before the stream has been healthy for a while: one that breaks right after each new start is no
better than one that never starts.

    failure ──▶ rule ──▶ not tolerated yet ─▶ the stream fails with it
                   └───▶ budget spent ──────▶ the stream fails with the history
                   └───▶ a wait, and another attempt
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING

import attrs

from adapters.contract import EventKind, StreamState
from adapters.errors import NoProgressError, OutageError, RestartsExhaustedError, StreamRejectedError
from adapters.net.errors import BUSY, ConnectFailedError, StreamIdleError
from adapters.net.pacing import LONGEST_WISH
from adapters.runtime.errors import GuestStoppedError, PluginTimeoutError, PluginTrapError
from detectors.errors import CompatError, MachineError, NetworkError, PluginError

if TYPE_CHECKING:
    from adapters.channel import Channel
    from adapters.settings import Backoff

__all__ = ["RULES", "Budget", "Recovery", "Rule", "Since", "rule_for"]

_REASONS_KEPT = 50
# A connection on which nothing came counts as healthy after so many times ``Backoff.healthy_after``: that is longer
# than a half-open one goes unnoticed, and many a stream (of orders, of liquidations) is quiet by nature.
_QUIET = 2


class Since(enum.Enum):
    """From when on a failure is tried again. Before that it is the caller's to decide, at once."""

    EVER = "ever"
    CONNECTED = "connected"  # the stream has had a connection
    DELIVERED = "delivered"  # the stream has had an item


class Budget(enum.Enum):
    """What bounds the attempts."""

    ATTEMPTS = "attempts"  # a defect does not go away by waiting
    PATIENCE = "patience"  # an outage does, though it may take hours


@attrs.frozen
class Rule:
    """What follows a failure.

    Attributes:
        failure: What happened, for people.
        errors: The errors that tell of it.
        since: From when on it is tried again.
        budget: What bounds that, once the stream has delivered; before, it is always ``Budget.ATTEMPTS``.
        statuses: HTTP statuses of the handshake that make the difference; empty: whatever it was.
    """

    failure: str
    errors: tuple[type[CompatError], ...]
    since: Since
    budget: Budget
    statuses: frozenset[int] = frozenset()


#: The first rule that fits decides. What none fits (the caller's faults: a denied address, a refused configuration) is
#: never tried again.
RULES: tuple[Rule, ...] = (
    Rule("the server is busy", (ConnectFailedError,), Since.EVER, Budget.PATIENCE, BUSY),
    Rule("no connection could be opened", (ConnectFailedError,), Since.CONNECTED, Budget.PATIENCE),
    Rule("the connection was lost, or brought nothing", (NetworkError,), Since.CONNECTED, Budget.PATIENCE),
    Rule("the machine has no files, memory or threads left", (MachineError,), Since.CONNECTED, Budget.PATIENCE),
    Rule("another stream brought down the shared guest", (GuestStoppedError,), Since.EVER, Budget.PATIENCE),
    Rule("the stream was refused", (StreamRejectedError,), Since.DELIVERED, Budget.ATTEMPTS),
    Rule(
        "the guest trapped, hung or stood still",
        (PluginTrapError, PluginTimeoutError, NoProgressError),
        Since.DELIVERED,
        Budget.ATTEMPTS,
    ),
    Rule("the plugin failed otherwise", (PluginError,), Since.DELIVERED, Budget.ATTEMPTS),
)


def rule_for(error: CompatError) -> Rule | None:
    """The rule that an error falls under; ``None`` if it is never tried again."""
    for rule in RULES:
        if isinstance(error, rule.errors) and (not rule.statuses or getattr(error, "status", None) in rule.statuses):
            return rule
    return None


class Recovery:
    """One stream's failures since it was last healthy.

    Args:
        plugin: The plugin's name.
        channel: The stream's. Its state is changed and its events are told here, and its clock is used.
        backoff: How long to wait, and how often.
    """

    def __init__(self, plugin: str, channel: Channel, backoff: Backoff) -> None:
        self._plugin = plugin
        self._channel = channel
        self._backoff = backoff
        self._failures = 0  # of any sort
        self._defects = 0  # those that count against the attempts
        self._ailing_since: float | None = None
        self._reasons: deque[str] = deque(maxlen=_REASONS_KEPT)
        self._received = 0  # items until the failure before
        self._gap_told_before: int | None = None  # the item

    def tolerates(self, error: CompatError, *, connected: bool) -> bool:
        """Whether a failure is one to try again after.

        Args:
            error: What happened.
            connected: Whether the stream has had a connection.
        """
        rule, delivered = rule_for(error), self._channel.received > 0
        met = {Since.EVER: True, Since.CONNECTED: connected or delivered, Since.DELIVERED: delivered}
        return rule is not None and met[rule.since]

    def after(self, error: CompatError, *, stood: float = 0.0) -> float:
        """Take note of a failure that is tolerated, and tell that the stream recovers.

        Args:
            error: What happened.
            stood: Seconds for which the connection that is gone had been open.

        Returns:
            Seconds to wait before the next attempt.

        Raises:
            RestartsExhaustedError: The plugin's failures have used up the attempts.
            OutageError: The network's failures have used up the patience, or would if the server had its way.
        """
        now = self._channel.monotonic()
        if self._was_healthy(0.0 if isinstance(error, StreamIdleError) else stood):
            self._failures = self._defects = 0
            self._ailing_since = None
            self._reasons.clear()
        if self._ailing_since is None:
            self._ailing_since = now
        self._failures += 1
        self._reasons.append(str(error))
        asked = _wish(error)
        self._raise_if_spent(error, now - self._ailing_since + (asked or 0.0))
        self._channel.enter_state(StreamState.RECOVERING, str(error))
        wait = self._backoff.wait_after(self._failures)
        # Not before it was asked for, and not all callers at that moment.
        return wait if asked is None else asked + wait

    def tell_gap(self, why: str) -> None:
        """Tell that items may be missing: once, however many attempts it takes to go on, and not before the first."""
        place = self._channel.received
        if place and place != self._gap_told_before:
            self._gap_told_before = place
            self._channel.tell(EventKind.GAP, f"items may be missing: {why}")

    def _was_healthy(self, stood: float) -> bool:
        before, self._received = self._received, self._channel.received
        healthy_after = self._backoff.healthy_after
        flowed = self._channel.flowing >= healthy_after and self._received > before
        return flowed or stood >= healthy_after * _QUIET

    def _raise_if_spent(self, error: CompatError, seconds: float) -> None:
        rule, backoff = rule_for(error), self._backoff
        patient = rule is not None and rule.budget is Budget.PATIENCE
        spent = patient and seconds >= backoff.patience
        if not patient or not self._channel.received:
            self._defects += 1
            spent = spent or self._defects > backoff.attempts
        if spent:
            kind = OutageError if patient else RestartsExhaustedError
            raise kind(self._plugin, str(self._channel.key), tuple(self._reasons), self._failures) from error


def _wish(error: CompatError) -> float | None:
    """Seconds for which a busy server wants to be left alone; ``None`` if it does not say."""
    if not isinstance(error, ConnectFailedError) or error.status not in BUSY or error.retry_after is None:
        return None
    return min(error.retry_after, LONGEST_WISH)
