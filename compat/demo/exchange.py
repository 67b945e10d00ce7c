"""SimEx, an exchange on the loopback interface: a real WebSocket and HTTP server with invented prices.

Demonstrations and tests run plugins against it. It behaves (acknowledges, pings, keeps its rate) and, on command or by
a scenario, misbehaves: it drops, floods, falls silent, talks nonsense and turns clients away. What it really sent is
in its journal.

    async with Exchange(seed=7) as exchange:
        ...  # f"{exchange.ws_url}/ws", f"{exchange.http_url}/api/v1/markets"
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from typing import TYPE_CHECKING, Any, Literal, Self, cast
from urllib.parse import urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from compat.demo import wire
from compat.demo.clock import Clock
from compat.demo.journal import Closure, ConnectionRecord, Journal, RequestRecord, SentKlines
from compat.demo.market import Market
from compat.demo.rest import Rest, respond
from compat.demo.scenario import COUNT, STATUS, Gate, Scenario, play
from compat.demo.session import House, Session
from detectors.errors import UsageError

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Callable
    from types import TracebackType

    from websockets.http11 import Request, Response

__all__ = ["Exchange"]

_log = logging.getLogger(__name__)


class Exchange:
    """A simulated exchange; an asynchronous context manager, usable once.

    Args:
        seed: Decides every price.
        symbols: ``BASE-QUOTE``.
        intervals: ``1m``, ``5m``, ``1h``, ...
        rate: Candles a second and market; ``math.inf``: as fast as the socket takes them.
        mode: ``live``: one clock for each market, a subscriber joins at its present position and candles go on while
            nobody listens (at an infinite rate the fastest subscriber is the clock). ``replay``: each subscription
            starts at candle 0 and gets a sequence of its own.
        history: Candles that a market has when the exchange opens. ``/api/v1/klines`` serves them and those since, in
            either mode; a live stream begins after them, without a gap.
        ping_interval: Seconds between ``{"event": "ping"}``; ``None``: none. WebSocket pings are never sent.
        pong_deadline: Seconds to answer one with a pong and its ``ts`` (see ``wire``); else the connection is closed
            with 1008 "no pong".
        open_timeout: Seconds to finish a handshake or an HTTP request.
        close_timeout: Seconds to answer a close frame; else the connection is cut.
        pad: Gives the size in bytes of the filler of candle ``n``.
        limit: Candles after which a replayed subscription stays silent.
        scenario: What goes wrong, and when.
        ssl: A server context; the URLs become ``wss:`` and ``https:``.
        host: The address to listen on.
        port: 0: any free one.

    Raises:
        UsageError: A symbol, an interval, the rate or the limit makes no sense.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        symbols: tuple[str, ...] = ("BTC-USDT", "ETH-USDT", "SOL-USDT"),
        intervals: tuple[str, ...] = ("1m", "5m"),
        rate: float = 50.0,
        mode: Literal["live", "replay"] = "live",
        history: int = 500,
        ping_interval: float | None = None,
        pong_deadline: float = 5.0,
        open_timeout: float = 5.0,
        close_timeout: float = 1.0,
        pad: Callable[[int], int] | None = None,
        limit: int | None = None,
        scenario: Scenario | None = None,
        ssl: ssl_module.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        if not rate > 0:
            raise UsageError(f"an exchange cannot send {rate} candles a second", remedy="Give a rate above 0.")
        if limit is not None and mode != "replay":
            raise UsageError("a live market has no limit", remedy='Use mode="replay".')
        self.market = Market(seed, symbols, intervals)
        self.journal = Journal()
        self._clocks = {pair: Clock(rate, history) for pair in self.market.pairs}
        self._voice = asyncio.Event()
        self._voice.set()
        self._gate = Gate()
        self._house = House(
            market=self.market,
            clocks=self._clocks if mode == "live" else None,
            rate=rate,
            limit=limit,
            pad=pad,
            ping_interval=ping_interval,
            pong_deadline=pong_deadline,
            close_timeout=close_timeout,
            voice=self._voice,
            gate=self._gate,
        )
        self._open_timeout = open_timeout
        self._close_timeout = close_timeout
        self._scenario = scenario or Scenario(())
        self._script: asyncio.Task[None] | None = None
        self._ssl = ssl
        self._host = host
        self._port = port
        self._server: Server | None = None
        self._sessions: set[Session] = set()
        self._transports: set[asyncio.BaseTransport] = set()
        self._changed = asyncio.Event()
        self._rejections = 0
        self._rejection: tuple[int, int | str | None] = (503, None)
        self._rest = Rest(self.market, self._clocks)

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._serve,
            self._host,
            self._port,
            ssl=self._ssl,
            process_request=self._answer_http,
            process_response=self._note_http,
            # Declared as a class, used as a factory.
            create_connection=cast(
                "type[ServerConnection]", functools.partial(_TrackedConnection, transports=self._transports)
            ),
            compression=None,
            ping_interval=None,
            open_timeout=self._open_timeout,
            close_timeout=self._close_timeout,
            logger=_log,
        )
        self._port = next(iter(self._server.sockets)).getsockname()[1]
        self._script = asyncio.create_task(play(self._scenario, self, self._gate))
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        server, script = cast("Server", self._server), cast("asyncio.Task[None]", self._script)
        script.cancel()
        await asyncio.wait([script])
        server.close(close_connections=False)
        await asyncio.sleep(
            0
        )  # close() only schedules it: let the listening socket close before connections are counted.
        await self.close_all()
        for transport in tuple(self._transports):  # Those that never finished a handshake or an HTTP request.
            cast("asyncio.Transport", transport).abort()
        await server.wait_closed()
        if not script.cancelled():
            script.result()

    @property
    def port(self) -> int:
        """The port it listens on; before it is open, the one that was asked for."""
        return self._port

    @property
    def ws_url(self) -> str:
        """The base of its WebSocket URL, without the path ``/ws``."""
        return f"{'ws' if self._ssl is None else 'wss'}://{self._host}:{self._port}"

    @property
    def http_url(self) -> str:
        """The base of its HTTP URLs, without ``/api/v1``."""
        return f"{'http' if self._ssl is None else 'https'}://{self._host}:{self._port}"

    @property
    def rewrites(self) -> dict[str, str]:
        """For ``rewrite=`` of ``open_plugin``: what leads the hard-wired addresses of SimEx's plugins here."""
        return {"wss://stream.simex.example": self.ws_url, "https://api.simex.example": self.http_url}

    @property
    def connections(self) -> int:
        """How many WebSocket connections are open."""
        return len(self._sessions)

    async def drop_all(self) -> None:
        """Cut every connection without a close frame; returns when they are gone."""
        sessions = set(self._sessions)
        for session in sessions:
            session.drop()
        await self._gone(sessions)

    async def close_all(self, code: int = 1001, reason: str = "going away") -> None:
        """Close every connection with a close frame; those that do not answer are cut after ``close_timeout``."""
        sessions = set(self._sessions)
        await asyncio.gather(*(session.close(code, reason) for session in sessions))
        await self._gone(sessions)

    async def broadcast(self, text: str) -> None:
        """Send any text to every connection, even in a silence; waits for those whose socket is full."""

        async def tell(session: Session) -> None:
            with contextlib.suppress(ConnectionClosed):
                await session.say(text)

        await asyncio.gather(*(tell(session) for session in self._sessions))

    def silence(self) -> None:
        """Send nothing by itself from now on: no candle, no ping, no reply. The connections stay open.

        WebSocket pings are still answered and HTTP requests served. A live market moves on meanwhile and what was not
        said is lost; a replay goes on where it stopped.
        """
        self._voice.clear()

    def resume(self) -> None:
        """End the silence."""
        self._voice.set()

    def flood(self, candles: int) -> None:
        """Send so many candles of every subscribed market at once, ahead of their time."""
        if self._house.clocks is None:
            for session in self._sessions:
                session.hurry(candles)
        else:
            for clock in self._clocks.values():
                clock.hurry(candles)

    def reject(self, count: int, status: int = 503, retry_after: int | str | None = None) -> None:
        """Answer the next so many attempts to connect with an HTTP status.

        Args:
            count: How many.
            status: The status.
            retry_after: What to say in ``Retry-After``: seconds, or a date as HTTP writes it; ``None``: nothing.

        Raises:
            UsageError: The count is less than 0, or there is no such status.
        """
        COUNT.check(count, "reject", "count", of="an exchange")
        STATUS.check(status, "reject", "status", of="an exchange")
        self._rejections, self._rejection = count, (status, retry_after)

    async def wait_for_connections(self, n: int, timeout: float) -> None:
        """Return once at least ``n`` connections are open.

        Raises:
            TimeoutError: They are not, after so many seconds.
        """
        async with asyncio.timeout(timeout):
            while self.connections < n:
                await self._changed.wait()

    async def wait_for_disconnect(self, timeout: float) -> None:
        """Return once every connection that is open now has ended; at once if none is.

        Raises:
            TimeoutError: One is still open after so many seconds.
        """
        async with asyncio.timeout(timeout):
            await self._gone(set(self._sessions))

    async def _gone(self, sessions: set[Session]) -> None:
        while not sessions.isdisjoint(self._sessions):
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _serve(self, connection: ServerConnection) -> None:
        request = cast("Request", connection.request)
        record = ConnectionRecord(
            id=len(self.journal.connections),
            path=request.path,
            headers=tuple(request.headers.raw_items()),
            opened=time.monotonic(),
            klines=SentKlines(self.market.pairs),
        )
        self.journal.connections.append(record)
        session = Session(connection, record, self._house)
        self._sessions.add(session)
        self._change()
        try:
            await session.run()
            await connection.wait_closed()
        finally:
            record.closed = Closure(time.monotonic(), connection.close_code or 1006, connection.close_reason or "")
            self._sessions.discard(session)
            self._change()

    def _answer_http(self, connection: ServerConnection, request: Request) -> Response | None:
        url = urlsplit(request.path)
        if url.path == "/ws":
            if not self._rejections:
                return None
            self._rejections -= 1
            status, retry_after = self._rejection
            response = respond(connection, status, wire.encode(code="rejected", message="come back later"))
            if retry_after is not None:
                response.headers["Retry-After"] = str(retry_after)
            return response
        return self._rest.answer(connection, request, url)

    def _note_http(self, _: ServerConnection, request: Request, response: Response) -> None:
        if response.status_code != 101:
            headers = tuple(request.headers.raw_items())
            self.journal.requests.append(RequestRecord(request.path, headers, response.status_code))


class _TrackedConnection(ServerConnection):
    """A connection that can be found, and cut, before its handshake is over."""

    def __init__(self, *args: Any, transports: set[asyncio.BaseTransport], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._transports = transports

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transports.add(transport)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transports.discard(self.transport)
        super().connection_lost(exc)
