"""One legacy stream: its connection, and the pushing of what arrives into the plugin's shared guest.

What the plugin answers to a message or to a connection event is read in ``answers.py``, and is obeyed here.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Coroutine, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from adapters.answers import Action, Answer, JudgedAnswer, judged
from adapters.channel import Channel
from adapters.contract import EventKind
from adapters.dialects import Dialect, StreamSetup, same_parameters
from adapters.encoding import Encoder
from adapters.errors import PluginCallError, PluginProtocolError, StreamRejectedError
from adapters.feed import Feed
from adapters.heartbeat import Heart
from adapters.host import PluginHost
from adapters.idle import IdleWatch
from adapters.legacy_pump import Pump, Requests
from adapters.live_guest import LiveGuest
from adapters.net.errors import ConnectionLostError
from adapters.pool import Pool
from adapters.recovery import Recovery
from adapters.runtime.replies import decode_object
from adapters.watchdog import Signs, Watchdog
from detectors.errors import CompatError, MachineError, NetworkError, PluginError

if TYPE_CHECKING:
    from adapters.net.gateway import GuardedSocket

__all__ = ["LegacyDriver"]

_LOOKS = 10  # for a stale stream, within its limit
_LOOK_EVERY = 1.0  # seconds between two looks at whether anything comes


class _Reconnect(Exception):  # noqa: N818 - control flow within this room
    """The plugin asked for a new connection."""


class _Close(Exception):  # noqa: N818 - control flow within this room
    """The plugin ended the stream, or failed for good: then with the error."""

    def __init__(self, error: StreamRejectedError | None = None) -> None:
        super().__init__()
        self.error = error


class LegacyDriver:
    """Feeds one stream: owns its connection and pushes what arrives into the shared guest.

    Args:
        host: The plugin.
        dialect: What it speaks.
        channel: What to feed.
        stream_id: The id that is proposed to the plugin.
        encoder: Gives messages to the plugin as it wants them.
        pool: Says which of the plugin's shared guests the stream is pinned to.
    """

    def __init__(
        self, host: PluginHost, dialect: Dialect, channel: Channel, stream_id: str, *, encoder: Encoder, pool: Pool
    ) -> None:
        self._host = host
        self._bounds = host.settings.bounds
        self._dialect = dialect
        self._channel = channel
        self._feed = Feed(channel)
        self._proposed_id = stream_id
        self._encoder = encoder
        self._pool = pool
        self._place = pool.take()  # given back by aclose, which is called whatever happens
        self._connections = itertools.count(1)
        self._connection_id = ""
        self._setup: StreamSetup | None = None
        self._guest: LiveGuest | None = None
        self._socket: GuardedSocket | None = None
        self._recovery = Recovery(host.name, channel, host.settings.backoff)
        self._connected_at: float | None = None  # by the stream's clock
        self._told_of_heartbeat = False
        self._failed_in_a_row = 0
        self._connected_once = False
        self._told_connected = False  # and not told that it is disconnected since

    async def run(self) -> None:
        """Connect, push, obey; connect anew until the plugin ends the stream. See ``stream.Driver``."""
        while True:
            try:
                await self._attempt()
            except _Close as end:
                if end.error is not None:
                    raise end.error from None
                return
            except (PluginError, NetworkError, MachineError) as error:
                if self._host.allowance.grows_after(error):
                    wait = 0.0
                    self._channel.tell(EventKind.MEMORY, self._host.allowance.told(error))
                elif not self._recovery.tolerates(error, connected=self._connected_once):
                    raise
                else:
                    wait = self._recovery.after(error, stood=self._stood())
                self._tell_broken(error, wait)
            finally:
                await self._disconnect()
            await asyncio.sleep(wait)

    def _tell_broken(self, error: CompatError, wait: float) -> None:
        if isinstance(error, PluginError) and self._guest is not None and not self._guest.guest.usable:
            self._channel.tell(EventKind.RESTART, f"the guest is replaced: {error}")
        self._channel.tell(EventKind.RECONNECT, f"connecting anew in {wait:.1f} s: {error}")
        self._recovery.tell_gap("the connection was interrupted")

    def _stood(self) -> float:
        """Seconds for which the connection of this attempt has been open."""
        return 0.0 if self._connected_at is None else self._channel.monotonic() - self._connected_at

    async def _attempt(self) -> NoReturn:
        """Everything from preparing to the end of one connection.

        Raises:
            _Close: The plugin ended the stream, or failed for good.
            CompatError: Why another connection is needed, or the stream cannot go on.
        """
        try:
            await self._prepare()
            await self._connect()
            pump = await self._greet()
            self._connected_once = True
            await pump.heart.beat_beside(pump.push(), pump.read(), *self._watches(pump))
        except (NetworkError, MachineError) as error:
            with contextlib.suppress(_Reconnect):  # which is what happens anyway
                await self._tell_disconnected(str(error))
            raise
        except _Reconnect as request:
            url = "" if self._setup is None else self._setup.url
            raise ConnectionLostError(url, f"the plugin wants a new one: {request}") from None

    def _watches(self, pump: Pump) -> Iterator[Coroutine[Any, Any, NoReturn]]:
        if self._channel.idle_limit is not None:
            every = self._channel.idle_limit / _LOOKS
            yield IdleWatch(self._channel).keep_looking(every, busy=lambda: pump.busy > every)
        yield self._keep_looking(Watchdog(self._host.name, self._channel, self._host.settings.progress), pump)

    async def _keep_looking(self, watchdog: Watchdog, pump: Pump) -> NoReturn:
        before = self._channel.received
        while True:
            signs = Signs(
                opened=1,
                open=1,
                open_for=self._stood(),
                taken=pump.taken,
                items=self._channel.received - before,
                backed_up=self._channel.backed_up,
            )
            watchdog.look(signs)
            await asyncio.sleep(_LOOK_EVERY)

    async def _prepare(self) -> None:
        """Ask the plugin for the set-up, anew for every connection: tokens expire, and guests are replaced."""
        self._connected_at = None
        name, export, key = self._host.name, self._dialect.prepare, self._channel.key
        patience = None if self._connected_once else self._bounds.rate_limits_timeout
        await self._host.limits.acquire(f"{key.type}Stream", patience)
        self._guest = await self._host.shared(f"streams {self._place}")
        request = msgspec.json.encode(self._dialect.request(key, self._proposed_id))
        network, begun = self._guest.network, time.monotonic()
        try:
            timeout = self._bounds.prepare_timeout
            answer = decode_object(await self._guest.guest.call(export, request, timeout=timeout))
            if answer.get("success") is False or answer.get("result") is False:
                raise self._rejected(self._host.redact(str(answer.get("error") or "")))
            self._setup = self._dialect.setup(answer, self._proposed_id)
        except PluginError as error:
            # A plugin that cannot fetch a token passes on what the network did.
            if (failed := network.request_failed_since(begun)) is not None:
                raise failed from error
            if isinstance(error, PluginCallError):
                raise self._rejected(error.reason) from error
            raise
        except ValueError as error:
            raise PluginProtocolError(name, export, str(error)) from error

    async def _connect(self) -> None:
        assert self._guest is not None and self._setup is not None  # noqa: S101, PT018 - _prepare has set both
        self._connection_id = f"{self._proposed_id}/{next(self._connections)}"
        await self._tell_plugin("connecting")
        try:
            self._socket = await self._guest.gateway.connect(
                self._setup.url, headers=self._setup.headers, subprotocol=self._setup.subprotocol
            )
        except (NetworkError, MachineError) as error:
            with contextlib.suppress(_Reconnect):  # that is what happens anyway, if there has been a connection before
                await self._tell_plugin("error", str(error))
            raise
        self._connected_at = self._channel.monotonic()
        self._told_connected = True
        await self._tell_plugin("connected")

    async def _greet(self) -> Pump:
        assert self._guest is not None and self._setup is not None and self._socket is not None  # noqa: S101, PT018
        heart = Heart(self._setup.heartbeat, self._socket, self._bounds, self._channel.monotonic)
        for message in self._setup.initial_messages:
            await heart.send(message)
        if not self._told_of_heartbeat:
            self._told_of_heartbeat = True
            for change in filter(None, (*self._setup.heartbeat.changes, heart.problem)):
                self._channel.tell(EventKind.HEARTBEAT, change)
        names = {"streamId": self._setup.stream_id, "connectionId": self._connection_id}
        return Pump(
            channel=self._channel,
            feed=self._feed,
            heart=heart,
            guest=self._guest.guest,
            encoder=self._encoder,
            requests=Requests.of(names, self._setup.context),
            bounds=self._bounds,
            obey=self._obey,
            redact=self._host.redact,
        )

    async def _tell_disconnected(self, problem: str = "", timeout: float | None = None) -> None:
        """Tell the plugin that its connection is gone, once, and only if it has heard that there was one."""
        if self._told_connected:
            self._told_connected = False
            await self._tell_plugin("disconnected", problem, timeout)

    async def _tell_plugin(self, event: str, problem: str = "", timeout: float | None = None) -> None:
        """Deliver a connection event, where the plugin takes them and its guest is alive; obey the answer."""
        export = self._dialect.connection_event
        if self._guest is None or not self._guest.guest.usable or not self._host.report.has_export(export):
            return
        request = {"eventType": event, **({"error": problem} if problem else {})}
        self._obey(export, await self._ask(export, request, timeout or self._bounds.message_timeout))

    async def _ask(self, export: str, request: dict[str, Any], timeout: float) -> JudgedAnswer:
        """Call the shared guest; what it answers is not obeyed yet."""
        assert self._guest is not None  # noqa: S101 - _prepare has set it
        stream_id = self._setup.stream_id if self._setup is not None else self._proposed_id
        request = {"streamId": stream_id, "connectionId": self._connection_id, **request}
        guest = self._guest.guest
        outcome = await guest.attempt(export, msgspec.json.encode(request), timeout=timeout)
        return judged(outcome, guest.reason_of, self._host.redact, silence_fails=False)

    def _obey(self, export: str, reply: JudgedAnswer) -> Answer | None:
        """Do what the plugin says of the connection.

        Returns:
            Its answer; ``None`` if it failed on this one message or event, which has been told.

        Raises:
            _Reconnect: It asked for a new connection.
            _Close: It ended the stream, or did so with an error.
        """
        action = reply.answer.action
        if action == Action.RECONNECT:
            raise _Reconnect(reply.reason or f"{export} asked for a new connection")
        if action == Action.CLOSE:
            raise _Close(self._rejected(reply.reason) if reply.failed else None)
        if reply.failed:
            self._failed(export, reply.reason)
            return None
        self._failed_in_a_row = 0
        return reply.answer

    def _failed(self, export: str, reason: str) -> None:
        """Tell that the plugin failed on one message; raises when it fails on every one."""
        self._channel.tell(EventKind.PLUGIN_ERROR, f"{export}: {reason or 'it failed without a reason'}")
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= self._bounds.failures_in_a_row:
            raise _Close(self._rejected(f"it failed on {self._failed_in_a_row} messages in a row, last: {reason}"))

    def _rejected(self, reason: str) -> StreamRejectedError:
        # The plugin uses its dialect's words, which may not be those of the key.
        return StreamRejectedError(self._host.name, str(self._channel.key), reason, hint=same_parameters(reason))

    async def _disconnect(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            await socket.close()

    async def aclose(self) -> None:
        """Tell the plugin that the connection is gone. See ``stream.Driver``."""
        try:
            await self._disconnect()
            with contextlib.suppress(CompatError, TimeoutError, _Reconnect, _Close):
                async with asyncio.timeout(self._bounds.farewell_timeout):
                    await self._tell_disconnected(timeout=self._bounds.farewell_timeout)
        finally:
            self._pool.give_back(self._place)
