"""One guest's life in a generic stream: from ``start_stream`` through all its re-entries to its end.

The parked guest is the hard part. Its call has returned and its goroutine stands still, perhaps before it could read
the reply that it was given: the companion keeps that from one call to the next. The host enters it again through a
cheap export, a *door*, again and again; the goroutine continues inside those calls, for as long as each happens to
last. Not every export lets it run: where messages wait and entering does nothing, the next door is tried, and the one
that worked is remembered for the module. Where nothing is to be had, it is entered ever less often, for it may have
timers of its own.

``stop_stream`` can only be called while no call runs: before the first re-entry, or between two. Whoever closes the
stream therefore sets a flag, lets host functions answer that the stream stops, and gives the guest a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time

import msgspec

from adapters.channel import Channel
from adapters.closing import Closing
from adapters.contract import EventKind
from adapters.doors import Doors, Scheduling, scheduling_of
from adapters.errors import PluginProtocolError, StreamRejectedError
from adapters.feed import Feed, Gate
from adapters.host import PluginHost
from adapters.live_guest import GuestHooks, LiveGuest
from adapters.net.guest_network import GuestNetwork
from adapters.publisher import Publisher
from adapters.runtime.replies import decode_object
from adapters.watchdog import Signs
from detectors.errors import CompatError

__all__ = ["GuestStream"]

# Seconds between two entries that got the guest nothing: this part of the time for which that goes on, within bounds.
# A message that comes ends the pause.
_PART = 0.2
_SHORTEST, _LONGEST, _LONGEST_WHILE_MESSAGES_WAIT = 0.001, 0.25, 0.02
_MISSING = "an item may be missing: {}"
_REMEMBERED = 1_024  # items, for a guest that takes over: a fast one has delivered as many in a moment


class GuestStream:
    """One guest that serves one stream.

    Args:
        host: The plugin.
        channel: Where its items and events go.
        gate: Whether its items are passed on at once, or held until it takes over.
    """

    live: LiveGuest
    ending: asyncio.Future[None]
    _doors: Doors

    def __init__(self, host: PluginHost, channel: Channel, gate: Gate) -> None:
        self.worn = False
        self.replace_after = 0.0  # on the monotonic clock: when it may be replaced, if it is worn
        self.feed = Feed(channel, gate, remembered=_REMEMBERED)
        self.publisher = Publisher(self.feed)
        self._host = host
        self._channel = channel
        self._leaving = threading.Event()
        self._begun = False
        self._returned = False  # from start_stream
        self._parked = False  # and has used a connection since, or had one open
        self._woken = False  # whether it has used a connection where it was entered
        self._entered = 0  # since it returned
        self._active_at = 0.0  # on the monotonic clock: when it last got, gave or requested anything
        self._entered_at = math.inf  # on the monotonic clock: the last time
        self._scheduling = scheduling_of(host.report)
        self._closing = Closing(self._close, f"close of a guest of {host.name}")

    async def begin(self) -> None:
        """Make the guest and let it start. ``ending`` is done when it has ended and raises what broke it."""
        hooks = GuestHooks(
            publish=self.publisher.publish,
            lost=lambda what: self.publisher.tell(EventKind.GAP, _MISSING.format(what)),
            undeliverable=lambda what: self.feed.tell(EventKind.GAP, _MISSING.format(what)),
            crossed=self.publisher.write,
            misused=lambda problem: self.publisher.tell(EventKind.PLUGIN_ERROR, problem),
            reconnected=self._note_reconnected,
            worn=self._note_worn,
        )
        self.live = await self._host.make_guest(hooks)
        host = self._host
        self._doors = Doors(host.name, host.report, host.settings.shared.doors, host.busy_exports)
        self.feed.stopping = self.live.guest.stopping
        life = self.live.guest.submit(self._live, "start_stream")
        life.add_done_callback(lambda _: self.feed.end())
        self.ending = asyncio.wrap_future(life)
        self._begun = True

    @property
    def network(self) -> GuestNetwork:
        """The guest's connections."""
        return self.live.network

    def _note_reconnected(self, why: str) -> None:
        self.publisher.tell(EventKind.RECONNECT, f"the plugin connected anew by itself: {why}")
        if self._channel.received:
            self.publisher.tell(EventKind.GAP, "items may be missing: the connection was interrupted")

    def _note_worn(self) -> None:
        self.worn = True

    # The guest's thread

    def _live(self) -> None:
        """The whole life. Returns when the plugin has ended the stream, or after it was told to stop."""
        guest, key = self.live.guest, msgspec.json.encode(self._channel.key.to_wire())
        self._require_success(guest.enter_checked("start_stream", key))
        self._returned = True
        self._parked = self.network.alive > 0
        self._active_at = gained_at = time.monotonic()
        while not self._leaving.is_set():
            if self._has_ended(time.monotonic() - self._active_at):
                return
            if self._enter():
                gained_at = time.monotonic()
            else:
                self._pause(time.monotonic() - gained_at)
        with contextlib.suppress(CompatError):  # the guest is discarded in any case
            guest.enter_checked("stop_stream", key)

    def _require_success(self, output: bytes) -> None:
        try:
            answer = decode_object(output)
        except ValueError as error:
            raise PluginProtocolError(self._host.name, "start_stream", str(error)) from error
        if answer.get("success") is False:
            reason = self._host.redact(str(answer.get("error") or ""))
            raise StreamRejectedError(self._host.name, str(self._channel.key), reason)

    def _has_ended(self, idle: float) -> bool:
        """Whether a guest that did nothing for ``idle`` seconds has returned for good; raises if that is no end."""
        network, progress = self.network, self._host.settings.progress
        if network.alive or (network.waiting and self._scheduling is not Scheduling.NONE):
            return False
        lost = network.lost is not None
        begun = network.opened > 0 or self.publisher.taken > 0
        polls = network.requests > 0 and not network.opened
        patience = self._scheduling.patience(progress, lost=lost, parked=self._parked, begun=begun, polls=polls)
        if idle < patience and not self._doors.closed:
            return False
        if network.lost is not None:
            raise network.lost
        return True

    def _enter(self) -> bool:
        """Enter the parked guest once. Returns whether that got it anything: a message, a connection, an item."""
        guest, doors, network = self.live.guest, self._doors, self.network
        door, before, used, waiting = doors.now(), self._gains(), network.calls, network.waiting
        requests = network.requests
        self._entered += 1
        self._entered_at = time.monotonic()
        outcome = guest.enter(door, b"")
        if outcome.trapped or outcome.raised is not None:
            guest.judge(door, outcome)
        if network.calls > used:  # the export that is the door may well log something itself
            doors.worked()
            self._parked = self._woken = True
        elif waiting:
            doors.failed()
        gained = self._gains() != before
        if gained or network.requests > requests:
            self._active_at = time.monotonic()
        return gained

    def _gains(self) -> tuple[int, ...]:
        return self.network.taken, self.network.opened, self.publisher.taken

    def _pause(self, idle: float) -> None:
        seconds = max(idle * _PART, _SHORTEST)
        if self.network.waiting:
            self._leaving.wait(min(seconds, _LONGEST_WHILE_MESSAGES_WAIT))
        else:
            self.network.wait_for_news(min(seconds, _LONGEST))

    # The event loop

    def signs(self) -> Signs:
        """What can be seen of the guest now."""
        border, network = self.live.guest.border, self.network
        return Signs(
            running=border.running,
            running_for=max(time.monotonic() - self._entered_at, 0.0),
            inside=border.inside,
            moves=border.moves,
            returned=self._returned,
            entered=self._entered,
            doors=self._doors.names,
            woken=self._woken,
            connecting=network.connecting,
            opened=network.opened,
            open=network.alive,
            open_for=time.monotonic() - network.opened_at,
            requests=network.requests,
            asked=network.asked,
            taken=network.taken,
            waiting=network.waiting,
            items=self.publisher.taken,
            backed_up=self._channel.backed_up,
            dead=network.dead_since is not None,
            lost=network.lost,
            failures=network.failures,
        )

    async def aclose(self) -> None:
        """Stop the guest, gracefully where possible, and close its connections; within two seconds."""
        await self._closing()

    async def _close(self) -> None:
        self.feed.shut()
        if not self._begun:
            return
        self._leaving.set()
        self.live.network.drain()
        await asyncio.wait([self.ending], timeout=self._host.settings.bounds.leave_timeout)
        await self.live.aclose()
        await asyncio.wait([self.ending])
        if not self.ending.cancelled():
            self.ending.exception()  # whoever wanted to know has looked
        if self.live.guest.lingering:
            lingers = "a guest cannot be stopped (asleep, or being compiled); it lives on until it wakes"
            self._channel.tell(EventKind.LINGERING, lingers)
