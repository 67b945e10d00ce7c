"""One guest's way to the network: sockets that live on the event loop, used from the guest's thread.

A reading task per connection moves messages from the socket into a bounded buffer, batch by batch; the guest takes
them out. A guest that does not take them makes the socket wait, and with it the exchange: nothing is dropped. What
blocks the guest looks at its stop flag.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Mapping

from adapters.errors import StreamUsageError
from adapters.net.errors import ConnectionLostError
from adapters.net.gateway import Gateway
from adapters.net.guest_connection import GuestConnection
from adapters.net.guest_limits import GuestClock, GuestLimits, Slowing, seconds_of
from adapters.net.guest_loop import GuestLoop
from adapters.net.guest_receiving import GuestReceiving
from adapters.runtime.errors import GuestStoppedError
from adapters.runtime.hostcalls import HttpReply
from detectors.errors import CompatError, MachineError, NetworkError

__all__ = ["GuestNetwork"]


class GuestNetwork:
    """Implements ``hostcalls.Network`` for one guest.

    Args:
        plugin: The plugin's name, for errors.
        loop: The event loop that owns the sockets.
        gateway: Opens connections, under the network policy.
        stopping: The guest's stop flag.
        undeliverable: Told why, when a message cannot be handed to the guest.
        reconnected: Told why the connection before was lost, when the guest has opened another by itself.
        troubled: Told once, when it wants more connections than it may have.
        limits: How much the guest may use, and how long it is made to wait.
        clock: The guest's time; monotonic and real by default.
    """

    def __init__(
        self,
        *,
        plugin: str,
        loop: asyncio.AbstractEventLoop,
        gateway: Gateway,
        stopping: threading.Event,
        undeliverable: Callable[[str], None],
        reconnected: Callable[[str], None] = lambda _: None,
        troubled: Callable[[str], None] = lambda _: None,
        limits: GuestLimits = GuestLimits(),  # noqa: B008 - a value
        clock: GuestClock = GuestClock(),  # noqa: B008 - it has no state
    ) -> None:
        self.opened = 0  # connections ever opened
        self._calls = 0  # made by the guest on its connections, but for those for a message
        self.requests = 0  # made by it by HTTP
        self.opened_at = 0.0  # by the clock: when the latest connection was opened
        self.failures = 0  # answers about dead connections since the guest tried to open another
        self.dead_since: float | None = None  # by the clock: since when the guest has been told of none but those
        self.stood = 0.0  # seconds for which the connection that ended last was open
        self.lost: CompatError | None = None  # why there is no connection, unless the plugin closed it
        self._plugin = plugin
        self._loop = loop
        self._on_loop = GuestLoop(plugin, loop, stopping, limits.look_every).run
        self._gateway = gateway
        self._stopping = stopping
        self._undeliverable = undeliverable
        self._reconnected = reconnected
        self._troubled = troubled
        self._limits = limits
        self._clock = clock
        self.connecting = False  # whether the guest waits for a connection just now, or for its turn
        self._connects = Slowing(limits, clock, stopping)
        self._http = Slowing(limits, clock, stopping)
        self._told_of_limit = False
        self._failed_request: tuple[float, CompatError] | None = None
        self._draining = threading.Event()
        self._closed = False
        self._connections: dict[str, GuestConnection] = {}
        self._receiving = GuestReceiving(plugin, limits, clock, stopping, self._draining)
        self._news = threading.Event()  # something to go on with, for a guest that is parked
        self._expected = False  # whether anybody waits for it

    @property
    def draining(self) -> bool:
        """Whether the guest has been told that its stream is being closed."""
        return self._draining.is_set()

    @property
    def alive(self) -> int:
        """Connections that are open."""
        return sum(connection.ended is None for connection in list(self._connections.values()))

    @property
    def waiting(self) -> int:
        """Messages that have come and were not taken yet; of connections that have ended only if none is open."""
        known = list(self._connections.values())
        told = [one for one in known if one.ended is None] or known
        untaken = self._receiving.untaken if self._receiving.source in told else 0
        return untaken + sum(len(one.buffer) for one in told)

    @property
    def calls(self) -> int:
        """How often the guest has used its connections."""
        return self._calls + self.asked

    @property
    def asked(self) -> int:
        """How often it asked for a message, here or at its inbox."""
        return self._receiving.asked

    @property
    def taken(self) -> int:
        """Messages that it has taken."""
        return self._receiving.taken

    # The guest's thread

    def connect(self, url: str, headers: Mapping[str, str], subprotocol: str | None) -> str:
        """Open a WebSocket. See ``hostcalls.Network``."""
        self._calls += 1
        if self._draining.is_set():
            raise _closing()
        if self.alive >= self._limits.connections:
            raise self._too_many()
        lost, opened_before, alone = self.lost, self.opened, not self.alive
        self.connecting = True
        try:
            identifier = self._on_loop(self._open(url, headers, subprotocol))
        except CompatError as error:
            self.connecting = False  # what follows is the guest's wait, in which the stream may be given up
            self.lost = error
            self.failures = 0
            self.dead_since = self.dead_since or self._clock.now()
            self._connects.failed()
            raise
        finally:
            self.connecting = False
        if opened_before and (lost is not None or alone):
            self._reconnected(str(lost or "the plugin had closed the one before"))
        self._connects.worked()
        self.failures = 0
        self.dead_since = None
        return identifier

    def _too_many(self) -> CompatError:
        problem = f"it has {self._limits.connections} connections open, which is the limit, and asks for more"
        if not self._told_of_limit:
            self._told_of_limit = True
            self._troubled(problem)
        self._clock.wait(self._stopping, self._limits.dead_pace)
        return StreamUsageError(f"plugin {self._plugin!r}: {problem}", remedy="Close those that are not needed")

    def send(self, connection_id: str, message: str) -> None:
        """Send a text message. See ``hostcalls.Network``."""
        self._calls += 1
        connection = self._find(connection_id)
        if connection.ended is not None:
            raise self._dead(connection, -1)
        self._on_loop(connection.socket.send(message))

    def receive(self, connection_id: str, timeout_ms: int, most: int = 1) -> list[str]:
        """The next messages, ``most`` at most. See ``hostcalls.Network``."""
        self._receiving.begin()
        connection = self._find(connection_id)
        messages = self._receiving.receive(connection, timeout_ms, most)
        if messages is None:
            raise self._dead(connection, timeout_ms)
        if connection.waiting_for_room and not connection.is_full(2):
            connection.waiting_for_room = False
            self._loop.call_soon_threadsafe(connection.room.set)
        return messages

    def untaken(self, count: int) -> None:
        """So many of the messages that were received last lie in the guest's inbox still."""
        self._receiving.note_untaken(count)

    def take_back(self, count: int) -> None:
        """So many of the messages that were received last were not taken, and are in no inbox any more."""
        self._receiving.take_back(count)

    def _dead(self, connection: GuestConnection, timeout_ms: int) -> CompatError:
        """Wait before a dead connection is reported: most guests try again at once, for ever."""
        if self._draining.is_set():
            self.linger()
            return _closing()
        told_before = self.failures > 0
        self._note_dead()
        # It hears of it as soon as may be, and again no sooner than it is prepared to wait.
        prepared = self._limits.longest_pace if timeout_ms == 0 else seconds_of(timeout_ms)
        end = self._clock.now() + max(self._limits.dead_pace, prepared if told_before else 0.0)
        with connection.changed:
            while not (self._draining.is_set() or self._stopping.is_set()):
                remaining = end - self._clock.now()
                if remaining <= 0:
                    break
                self._clock.wait(connection.changed, remaining)
        return connection.ended or ConnectionLostError(connection.url, "it is closed")

    def _note_dead(self) -> None:
        self.failures += 1
        self.dead_since = self.dead_since or self._clock.now()

    def close(self, connection_id: str) -> None:
        """Close a WebSocket. See ``hostcalls.Network``."""
        self._calls += 1
        connection = self._find(connection_id)
        self._on_loop(self._shut(connection, ConnectionLostError(connection.url, "the plugin closed it")))
        # Not before: closing is cut short when the guest is stopped, and has to be done again then.
        self._connections.pop(connection_id, None)

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """Make an HTTP request. See ``hostcalls.Network``."""
        self.requests += 1
        try:
            reply = self._on_loop(self._gateway.request(method, url, headers, body))
        except CompatError as error:
            if isinstance(error, NetworkError | MachineError):
                self._failed_request = (self._clock.now(), error)
            self._http.failed()
            raise
        self._http.worked()
        return reply

    def request_failed_since(self, moment: float) -> CompatError | None:
        """Why the guest's latest HTTP request failed, if the network or the machine did it since then, by the clock."""
        failed = self._failed_request
        return failed[1] if failed is not None and failed[0] >= moment else None

    def wait_for_news(self, seconds: float) -> None:
        """Wait until a message has come, a connection has ended, or the guest is to stop; so long at the most."""
        self._news.clear()
        self._expected = True
        if not (self.waiting or self._draining.is_set() or self._stopping.is_set()):
            self._clock.wait(self._news, seconds)
        self._expected = False

    def linger(self) -> None:
        """Wait before a guest hears once more that its stream stops."""
        self._clock.wait(self._stopping, self._limits.drain_pace)

    def _forget_ended(self) -> None:
        """Drop the oldest connections that have ended: a guest that never closes them would keep them for ever."""
        ended = [name for name, connection in self._connections.items() if connection.ended is not None]
        for name in ended[: -self._limits.ended_kept]:
            del self._connections[name]

    def _find(self, connection_id: str) -> GuestConnection:
        connection = self._connections.get(connection_id)
        if connection is None:
            limits = self._limits
            self._clock.wait(self._stopping, limits.drain_pace if self._draining.is_set() else limits.dead_pace)
            if self._stopping.is_set():
                raise GuestStoppedError(self._plugin, "a host function")
            self._note_dead()
            msg = f"there is no connection {connection_id!r}: it was never opened, or closed before"
            raise StreamUsageError(msg)
        return connection

    # The event loop

    async def _open(self, url: str, headers: Mapping[str, str], subprotocol: str | None) -> str:
        socket = await self._gateway.connect(url, headers=headers, subprotocol=subprotocol)
        connection = GuestConnection(url, socket, self._limits, self._clock.now())
        if self._closed or self._stopping.is_set():  # stopped while the connection was being opened
            await socket.close()
            raise GuestStoppedError(self._plugin, "ws_connect")
        self.lost = None  # before the reader begins: the connection may be lost at once
        connection.reader = asyncio.create_task(self._read(connection), name=f"reader of {self._plugin}")
        # Here and not on the guest's thread: whoever closes all connections must find this one.
        self._forget_ended()
        self.opened += 1
        self.opened_at = connection.opened_at
        identifier = f"ws-{self.opened}"
        self._connections[identifier] = connection
        return identifier

    async def _read(self, connection: GuestConnection) -> None:
        try:
            while True:
                messages = await connection.socket.receive_many(connection.room_for())
                texts = [text for text in map(self._as_text, messages) if text is not None]
                full = connection.put(texts)
                if self._expected and texts:
                    self._news.set()
                if full:
                    await connection.room.wait()
        except CompatError as error:
            self.lost = error
            self._end(connection, error)
            await connection.socket.close()

    def _as_text(self, message: str | bytes) -> str | None:
        if isinstance(message, str):
            return message
        try:
            return message.decode()
        except UnicodeDecodeError:
            self._undeliverable(f"a binary message of {len(message)} bytes is no UTF-8 text")
            return None

    def _end(self, connection: GuestConnection, error: CompatError) -> None:
        with connection.changed:
            if connection.ended is None:
                connection.ended = error
                self.stood = self._clock.now() - connection.opened_at
            connection.changed.notify_all()
        self._news.set()

    async def _shut(self, connection: GuestConnection, why: CompatError) -> None:
        self._end(connection, why)
        if connection.reader is not None:
            connection.reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await connection.reader
        await connection.socket.close()

    # Any thread

    def drain(self) -> None:
        """From now on every answer says that the stream stops, so that a guest may leave its loop by itself."""
        self._draining.set()
        self.wake()

    def wake(self) -> None:
        """Let a waiting guest look at its flags."""
        self._news.set()
        for connection in list(self._connections.values()):
            with connection.changed:
                connection.changed.notify_all()

    async def aclose(self) -> None:
        """Close every connection, within about a second."""
        self._closed = True
        why = GuestStoppedError(self._plugin, "ws_receive")
        # The guest may be adding or removing one just now: a copy is made in one step.
        known = list(self._connections.values())
        connections = [connection for connection in known if connection.reader is not None]
        await asyncio.gather(*(self._shut(connection, why) for connection in connections))


def _closing() -> CompatError:
    return StreamUsageError("the stream is being closed")
