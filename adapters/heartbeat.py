"""The heartbeat that a plugin asks for in its StreamMarker, and the host that keeps it up, one connection at a time.

An *app* heartbeat is spoken in JSON messages: the host answers the other end's pings, and may send pings of its own. A
*transport* heartbeat is made of WebSocket ping frames; a connection on which their pongs stay away is lost. The plugin
sees neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, NoReturn

import attrs
import msgspec

from adapters.bounds import Bounds
from adapters.net.errors import ConnectionLostError
from adapters.net.gateway import GuardedSocket
from detectors.errors import NetworkError

__all__ = ["AppHeartbeat", "Heart", "Heartbeat", "read_heartbeat"]

_LEAST, _MOST = 50, 24 * 60 * 60 * 1_000  # milliseconds between two pings


@attrs.frozen
class AppHeartbeat:
    """Pings and pongs as JSON messages: objects that a field tells apart from all others.

    Attributes:
        field: The field's name.
        ping: Its value in a ping.
        pong: Its value in a pong.
        interval: Seconds between pings of the host's own; ``None``: it sends none.
    """

    field: str
    ping: str
    pong: str
    interval: float | None = None
    _marks: tuple[str, tuple[str, ...]] = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        awaited = (self.ping,) if self.interval is None else (self.ping, self.pong)
        marks = tuple(_unescaped(value) for value in awaited)
        object.__setattr__(self, "_marks", (_unescaped(self.field), marks))

    def own_ping(self) -> str:
        """What the host says to ping the other end."""
        return msgspec.json.encode({self.field: self.ping}).decode()

    def answer(self, text: str) -> str | None:
        """What the host has to say to a message: a pong to a ping, and nothing (an empty text) to a pong.

        A pong is the host's only if the host pings. Otherwise it answers a ping of the plugin's own, which may wait
        for it.

        Args:
            text: Any message.

        Returns:
            The answer; ``None`` if the message is no heartbeat, but the plugin's.
        """
        field, values = self._marks
        if field not in text or not any(value in text for value in values):  # most messages; parsing them costs more
            return None
        try:
            message = _decode_message(text)
            value = msgspec.json.decode(message[self.field])
        except (msgspec.DecodeError, RecursionError, KeyError):
            return None
        if value == self.ping:
            # What else is in the message is given back as it was written, number forms and all.
            return msgspec.json.encode(message | {self.field: self.pong}).decode()
        return "" if value == self.pong and self.interval is not None else None


_decode_message = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _unescaped(text: str) -> str:
    """The text if JSON can hold it in one form only, as writers do; else an empty one, which every message holds."""
    plain = text.isascii() and text.isprintable() and not {'"', "\\", "/"}.intersection(text)
    return text if plain else ""


@attrs.frozen
class Heartbeat:
    """What keeps a connection alive.

    Attributes:
        app: By messages; ``None``: not at all.
        transport: Seconds between ping frames; ``None``: none are sent for the plugin.
        changes: Where the plugin asked for something else, a sentence each.
    """

    app: AppHeartbeat | None = None
    transport: float | None = None
    changes: tuple[str, ...] = ()


def read_heartbeat(value: object) -> Heartbeat:
    """Read a StreamMarker's ``heartbeat``; what is missing or null is not wanted.

    Args:
        value: ``{"app"?: {"matchJsonField", "pingValue", "pongValue", "clientPingIntervalMs"?}, "transport"?:
            {"pingIntervalMs"?}}``. An interval of 0 is what an SDK writes for none.

    Raises:
        ValueError: It is something else.
    """
    whole = _object(value, "heartbeat")
    app, transport = (_object(whole.get(name), f"heartbeat.{name}") for name in ("app", "transport"))
    changes: list[str] = []
    pings = _interval(transport, "heartbeat.transport", "pingIntervalMs", changes)
    return Heartbeat(_app(app, changes) if app else None, pings, tuple(changes))


def _app(app: Mapping[str, Any], changes: list[str]) -> AppHeartbeat:
    for name in ("matchJsonField", "pingValue", "pongValue"):
        if not isinstance(app.get(name), str) or not app[name].strip():
            msg = f"its heartbeat.app.{name} is no text, or empty"
            raise ValueError(msg)
    interval = _interval(app, "heartbeat.app", "clientPingIntervalMs", changes)
    if interval is not None and app["pingValue"] == app["pongValue"]:  # each end would answer the other for ever
        msg = "its heartbeat.app asks for pings, which nobody can tell from pongs: pingValue and pongValue are the same"
        raise ValueError(msg)
    return AppHeartbeat(app["matchJsonField"], app["pingValue"], app["pongValue"], interval)


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict | None):
        msg = f"its {name} is no object"
        raise ValueError(msg)  # noqa: TRY004 - what is wrong is the plugin's value, not a caller's type
    return value or {}


def _interval(holder: Mapping[str, Any], where: str, name: str, changes: list[str]) -> float | None:
    """Seconds, within bounds; notes it if that is not what was asked for."""
    value = holder.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        msg = f"its {where}.{name} is no number of milliseconds, 0 or more"
        raise ValueError(msg)
    bounded = min(max(value, _LEAST), _MOST)
    if value not in (0, bounded):
        changes.append(f"{where}.{name} is out of bounds: pings are sent every {bounded} ms")
    return bounded / 1_000 if value else None


class Heart:
    """One connection with its heartbeat.

    Args:
        heartbeat: What keeps it alive.
        socket: The connection.
        bounds: How long a pong is waited for.
        monotonic: Seconds, on a clock that never goes back.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        socket: GuardedSocket,
        bounds: Bounds,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._heartbeat = heartbeat
        self._socket = socket
        self._bounds = bounds
        self._monotonic = monotonic
        self._sending = asyncio.Lock()  # a connector's sockets need not bear two senders at once
        self._listening_since: float | None = None

    @property
    def problem(self) -> str:
        """What of the heartbeat cannot be kept up here; empty if nothing."""
        if self._heartbeat.transport is None or self._socket.can_ping:
            return ""
        return "the plugin asks for ping frames, and none are sent: the injected connector's sockets have no ping()"

    async def receive_many(self, most: int) -> list[str | bytes]:
        """The next messages, whatever they are: from one to so many. Raises ``ConnectionLostError``."""
        self._listening_since = self._monotonic()
        try:
            return await self._socket.receive_many(most)
        finally:
            self._listening_since = None

    async def send(self, message: str) -> None:
        """Send a message. Raises ``ConnectionLostError``."""
        async with self._sending:
            await self._socket.send(message)

    async def takes(self, message: str) -> bool:
        """Whether a message belongs to the heartbeat; answers it then, if it has to be. See ``send``."""
        answer = None if self._heartbeat.app is None else self._heartbeat.app.answer(message)
        if answer:
            await self.send(answer)
        return answer is not None

    async def beat_beside(self, work: Coroutine[Any, Any, NoReturn], *watches: Coroutine[Any, Any, None]) -> NoReturn:
        """Send pings while the work goes on, and no longer. Raises what ended the work, or one of the watches.

        Raises:
            ConnectionLostError: The work waited for a message, and what came was neither that nor a pong.
        """
        beats = [*self._beats(), *watches]
        if not beats:
            await work
        async with _ending_together(work, *beats) as tasks:
            waiting = set(tasks)
            while True:  # a beat may end quietly, the work never does
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in filter(done.__contains__, tasks):  # what ended the work comes first
                    task.result()

    def _beats(self) -> Iterator[Coroutine[Any, Any, None]]:
        app, transport = self._heartbeat.app, self._heartbeat.transport
        if app is not None and app.interval is not None:
            yield self._say_pings(app.own_ping(), app.interval)
        if transport is not None and self._socket.can_ping:
            yield self._ping_frames(transport)

    # A connection that is lost is no news from here: whoever receives hears of it, after what came before.

    async def _say_pings(self, ping: str, interval: float) -> None:
        with contextlib.suppress(NetworkError):
            while True:
                await asyncio.sleep(interval)
                await self.send(ping)

    async def _ping_frames(self, interval: float) -> None:
        patience = min(max(interval, self._bounds.shortest_pong_timeout), self._bounds.longest_pong_timeout)
        while True:
            await asyncio.sleep(interval)
            try:
                async with asyncio.timeout(patience):
                    await self._socket.ping()
            except TimeoutError:
                # While nobody listens, for the consumer is slow, pongs stay unread with everything else.
                if self._listened() >= patience:
                    raise ConnectionLostError(self._socket.url, f"no pong came within {patience:g} s") from None
            except NetworkError:
                return

    def _listened(self) -> float:
        """Seconds for which somebody has waited for a message in vain."""
        return 0.0 if self._listening_since is None else self._monotonic() - self._listening_since


@contextlib.asynccontextmanager
async def _ending_together(*work: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
