"""The adapter for generic plugins: the plugin drives its own connection, the host supervises.

One guest per stream. ``start_stream`` behaves in one of three ways: it blocks until told to stop, it *parks* (returns
"started" with a connection open, and then nothing runs until the host enters the guest again), or it has returned for
good. What happens on the guest's thread is in ``guest_stream.py``; here is the event loop's side: what the plugin
publishes, which failure leads to a new attempt, and how a guest is stopped.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NoReturn

from adapters.adapter import PluginAdapter
from adapters.channel import Channel
from adapters.contract import EventKind, StreamState
from adapters.errors import PluginCallError, StreamRejectedError
from adapters.feed import Gate
from adapters.fields import as_text
from adapters.guest_stream import GuestStream
from adapters.handover import Handover, Outcome
from adapters.host import PluginHost
from adapters.idle import IdleWatch
from adapters.recovery import Recovery
from adapters.watchdog import Watchdog
from detectors.errors import CompatError, MachineError, NetworkError, PluginError

if TYPE_CHECKING:
    from adapters.runtime.guest import Guest
    from adapters.settings import AdapterSettings
    from detectors.report import ModuleReport

__all__ = ["ADAPTER", "GenericDriver", "generic_adapter"]

_LOOK_EVERY = 0.1  # seconds between two looks at a running guest


def generic_adapter(name: str, wasm: bytes, report: ModuleReport, settings: AdapterSettings) -> PluginAdapter:
    """The adapter for one generic plugin.

    Args:
        name: What to call the plugin.
        wasm: The module's bytes.
        report: What the detector says of them.
        settings: What the user chose.
    """

    async def configure(guest: Guest) -> None:
        if host.config:
            texts = {name: as_text(value) for name, value in host.config.items()}
            await host.configure(guest, "plugin_configure", texts)

    host = PluginHost(name, wasm, report, settings, configure)
    return PluginAdapter(host, lambda channel: GenericDriver(host, channel))


ADAPTER = generic_adapter


class GenericDriver:
    """Feeds one stream from one guest at a time (two while one takes over from the other)."""

    def __init__(self, host: PluginHost, channel: Channel) -> None:
        self._host = host
        self._channel = channel
        self._lives: list[GuestStream] = []
        self._recovery = Recovery(host.name, channel, host.settings.backoff)
        self._connected_once = False
        self._stood = 0.0  # seconds for which the latest connection of this attempt was open

    async def run(self) -> None:
        """Produce until the plugin ends the stream; see ``stream.Driver``."""
        while True:
            self._stood = 0.0
            try:
                await self._attempt()
            except (PluginError, NetworkError, MachineError) as error:
                if self._host.allowance.grows_after(error):
                    self._channel.tell(EventKind.MEMORY, self._host.allowance.told(error))
                    self._tell_replaced(error)
                    continue
                if not self._recovery.tolerates(error, connected=self._connected_once):
                    self._raise_first_failure(error)
                wait = self._recovery.after(error, stood=self._stood)
                self._tell_replaced(error, wait)
                await asyncio.sleep(wait)
            else:
                return

    def _tell_replaced(self, error: CompatError, wait: float = 0.0) -> None:
        self._channel.tell(EventKind.RESTART, f"the guest is replaced in {wait:.1f} s: {error}")
        self._recovery.tell_gap("the guest was replaced")

    def _raise_first_failure(self, error: CompatError) -> NoReturn:
        """A stream never began, and there is no retry: a refusal in the plugin's words is a rejection."""
        if isinstance(error, PluginCallError):
            raise StreamRejectedError(self._host.name, str(self._channel.key), error.reason) from error
        raise error

    async def _attempt(self) -> None:
        """One guest's life, or several in a row where each takes over from the one before without a break."""
        life = await self._begin(Gate.OPEN)
        while True:
            successor = await self._watch(life)
            if successor is None:
                return
            life = successor

    async def _begin(self, gate: Gate) -> GuestStream:
        life = GuestStream(self._host, self._channel, gate)
        self._lives.append(life)
        try:
            await life.begin()
        except BaseException:
            self._lives.remove(life)
            raise
        return life

    async def _end(self, life: GuestStream) -> None:
        await life.aclose()
        self._connected_once = self._connected_once or life.network.opened > 0
        self._stood = life.network.stood
        self._lives.remove(life)

    async def _watch(self, life: GuestStream) -> GuestStream | None:
        """Wait until the guest has ended (``None``; raises what broke it) or has been replaced (the successor)."""
        ending, idle = life.ending, IdleWatch(self._channel)
        items: int | None = None  # that had come when its connection was lost
        watchdog = Watchdog(self._host.name, self._channel, self._host.settings.progress)
        try:
            while True:
                await asyncio.wait([ending], timeout=_LOOK_EVERY)
                if ending.done():
                    await self._judge(life)
                    return None
                signs = life.signs()
                watchdog.look(signs)
                items = (signs.items if items is None else items) if signs.is_cut_off else None
                if signs.items == items and not signs.connecting:  # it may go on without a connection, by requests
                    self._channel.enter_state(StreamState.RECOVERING, str(signs.lost or "it has no connection"))
                idle.look(busy=life.network.connecting)
                if life.worn and time.monotonic() >= life.replace_after:
                    successor = await self._replace(life)
                    if successor is not None:
                        return successor
        finally:
            await self._end(life)

    async def _judge(self, life: GuestStream) -> None:
        """Raise what broke a guest that has ended; where the plugin only passes on what the network did, that."""
        try:
            await life.ending
        except (PluginCallError, StreamRejectedError) as error:
            if life.network.lost is not None:
                raise life.network.lost from error
            raise

    async def _replace(self, life: GuestStream) -> GuestStream | None:
        """Put a fresh guest in the place of one that has used up nearly all that it can be given."""
        life.replace_after = time.monotonic() + self._host.settings.backoff.highest
        reason = "it has been given nearly as many blocks of memory as there are numbers for"
        try:
            successor = await self._begin(Gate.HELD)
        except CompatError as error:
            self._channel.tell(EventKind.MEMORY, f"{reason}, but its successor failed: {error}")
            return None
        patience = self._host.settings.bounds.handover_timeout
        if await Handover(life.feed, successor.feed, self._tell_unsure, patience=patience).run() is Outcome.FAILED:
            await self._end(successor)
            self._channel.tell(EventKind.MEMORY, f"{reason}, but its successor ended at once")
            return None
        self._channel.tell(EventKind.RESTART, f"the guest is replaced: {reason}")
        return successor

    def _tell_unsure(self) -> None:
        unsure = "items may be missing or come twice: the guest was replaced, and nothing shows where the two meet"
        self._channel.tell(EventKind.GAP, unsure)

    async def aclose(self) -> None:
        """Stop what runs; see ``stream.Driver``."""
        await asyncio.gather(*(life.aclose() for life in self._lives))
