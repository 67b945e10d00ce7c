"""One guest's life in a generic stream: from ``start_stream`` through all its re-entries to its end.

The parked guest is the hard part. Its call has returned and its goroutine stands still, perhaps before it could read
the reply that it was given: the companion keeps that from one call to the next. The host enters it again through a
cheap export, a *door*, again and again; the goroutine continues inside those calls, for as long as each happens to
last. Not every export lets it run: where messages wait and entering does nothing, the next door is tried, and the one
that worked is remembered for the module.

``stop_stream`` can only be called while no call runs: before the first re-entry, or between two. Whoever closes the
stream therefore sets a flag, lets host functions answer that the stream stops, and gives the guest a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import msgspec

from adapters.closing import Closing
from adapters.contract import EventKind
from adapters.doors import Doors
from adapters.errors import PluginProtocolError, StreamRejectedError
from adapters.host import PluginHost
from adapters.live_guest import GuestHooks, LiveGuest
from adapters.net.guest_network import GuestNetwork
from adapters.publisher import Gate, Publisher
from adapters.runtime.replies import decode_object
from adapters.stream import AdapterStream
from detectors.errors import CompatError

__all__ = ["GuestStream"]

_IDLE_FIRST, _IDLE_LONGEST = 0.001, 0.02  # seconds between re-entries in which the guest did nothing


class GuestStream:
    """One guest that serves one stream.

    Args:
        host: The plugin.
        stream: Where its items and events go.
        gate: Whether its items are passed on at once, or held until it takes over.
    """

    live: LiveGuest
    ending: asyncio.Future[None]

    def __init__(self, host: PluginHost, stream: AdapterStream, gate: Gate) -> None:
        self.worn = False
        self.replace_after = 0.0  # on the monotonic clock: when it may be replaced, if it is worn
        self.publisher = Publisher(stream, gate)
        self._host = host
        self._stream = stream
        self._leaving = threading.Event()
        self._begun = False
        self._doors = Doors(host.name, host.report, host.settings.shared.doors)
        self._closing = Closing(self._close, f"close of a guest of {host.name}")

    async def begin(self) -> None:
        """Make the guest and let it start. ``ending`` is done when it has ended and raises what broke it."""
        hooks = GuestHooks(
            publish=self.publisher.publish,
            lost=self._lost,
            reconnected=self._note_reconnected,
            worn=self._note_worn,
        )
        self.live = await self._host.make_guest(hooks)
        self.publisher.stopping = self.live.guest.stopping
        self.ending = asyncio.wrap_future(self.live.guest.submit(self._live, "start_stream"))
        self._begun = True

    @property
    def network(self) -> GuestNetwork:
        """The guest's connections."""
        return self.live.network

    def _lost(self, what: str) -> None:
        self._stream.tell(EventKind.GAP, f"an item may be missing: {what}")

    def _note_reconnected(self, why: str) -> None:
        self._stream.tell(EventKind.RECONNECT, f"the plugin connected anew by itself: {why}")
        if self._stream.stats.received:
            self._stream.tell(EventKind.GAP, "items may be missing: the connection was interrupted")

    def _note_worn(self) -> None:
        self.worn = True

    # The guest's thread

    def _live(self) -> None:
        """The whole life. Returns when the plugin has ended the stream, or after it was told to stop."""
        guest, key = self.live.guest, msgspec.json.encode(self._stream.key.to_wire())
        self._require_success(guest.enter_checked("start_stream", key))
        idle_since: float | None = None
        pause, told = _IDLE_FIRST, False
        while not self._leaving.is_set():
            if idle_since is not None and self._has_ended(time.monotonic() - idle_since):
                return
            if self._re_enter():
                idle_since, pause, told = None, _IDLE_FIRST, False
            else:
                idle_since = idle_since or time.monotonic()
                told = told or self._tell_standing(time.monotonic() - idle_since)
                self._leaving.wait(pause)
                pause = min(pause * 2, _IDLE_LONGEST)
        with contextlib.suppress(CompatError):  # the guest is discarded in any case
            guest.enter_checked("stop_stream", key)

    def _require_success(self, output: bytes) -> None:
        try:
            answer = decode_object(output)
        except ValueError as error:
            raise PluginProtocolError(self._host.name, "start_stream", str(error)) from error
        if answer.get("success") is False:
            reason = self._host.redact(str(answer.get("error") or ""))
            raise StreamRejectedError(self._host.name, str(self._stream.key), reason)

    def _has_ended(self, idle: float) -> bool:
        """Whether a guest that did nothing for ``idle`` seconds has returned for good."""
        network, bounds = self.live.network, self._host.settings.bounds
        if network.alive:
            return False
        if network.lost is None:
            return idle > bounds.returned_after
        if idle > bounds.lost_after:
            raise network.lost
        return False

    def _re_enter(self) -> bool:
        """Enter the parked guest once. Returns whether it used its connections."""
        guest, doors = self.live.guest, self._doors
        if doors.closed and not self.network.alive:  # it has nothing to go on with
            return False
        door = doors.now()
        before, waiting = self.network.calls, self.network.waiting
        outcome = guest.enter(door, b"")
        if outcome.trapped or outcome.raised is not None:
            guest.judge(door, outcome)
        worked = self.network.calls > before  # the export that is the door may well log something itself
        if worked:
            doors.worked()
        elif waiting:
            doors.failed()
        return worked

    def _tell_standing(self, idle: float) -> bool:
        """Tell that the guest does nothing while messages wait for it, if that has lasted. Returns whether it was told.

        It may sleep in between, so that nothing else follows; an idle limit replaces it.
        """
        if not self.network.waiting or idle <= self._host.settings.bounds.standing_after:
            return False
        doors = ", ".join(self._doors.names)
        problem = f"it parked, and takes none of the messages that wait: {doors} did not let it go on for {idle:.0f} s"
        self._stream.tell(EventKind.PLUGIN_ERROR, f"plugin {self._host.name!r}: {problem}")
        return True

    # The event loop

    async def aclose(self) -> None:
        """Stop the guest, gracefully where possible, and close its connections; within two seconds."""
        await self._closing()

    async def _close(self) -> None:
        self.publisher.shut()
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
            self._stream.tell(EventKind.LINGERING, lingers)
