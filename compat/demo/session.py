"""One client at the exchange: reads its commands, feeds its subscriptions, pings it, and notes all of it.

Every subscription is a task of its own that asks a clock for the next candle and hands it to the socket; it waits
where the socket waits. Nothing is queued here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

import attrs
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from compat.demo import wire
from compat.demo.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from websockets.asyncio.server import ServerConnection

    from compat.demo.journal import ConnectionRecord
    from compat.demo.market import Market
    from compat.demo.scenario import Gate

__all__ = ["House", "Session"]

_BREATH = 64
"""Candles after which a feed lets others run, even if the socket would take more."""

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class House:
    """What all sessions of one exchange share.

    Attributes:
        market: Where the candles come from.
        clocks: The position of each live market; ``None`` where every subscription replays from candle 0.
        rate: Candles a second in a replay.
        limit: Candles after which a replay stops.
        pad: Filler bytes for candle ``n``.
        ping_interval: Seconds between application pings; ``None``: none.
        pong_deadline: Seconds to answer one.
        close_timeout: Seconds that a client has to answer a close frame before it is cut off.
        voice: Set while the exchange may speak.
        gate: Where a scenario stops the feeds.
    """

    market: Market
    clocks: Mapping[tuple[str, str], Clock] | None
    rate: float
    limit: int | None
    pad: Callable[[int], int] | None
    ping_interval: float | None
    pong_deadline: float
    close_timeout: float
    voice: asyncio.Event
    gate: Gate


class Session:
    """One open connection, from the handshake to its end."""

    def __init__(self, connection: ServerConnection, record: ConnectionRecord, house: House) -> None:
        self.record = record
        self._connection = connection
        self._house = house
        self._tasks = asyncio.TaskGroup()
        self._feeds: dict[tuple[str, str], tuple[asyncio.Task[None], Clock]] = {}
        self._awaited_pong: int | None = None
        self._pong = asyncio.Event()
        self._commands: dict[str, Callable[[wire.Command], Awaitable[None]]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "ping": self._answer_ping,
            "pong": self._take_pong,
        }

    async def run(self) -> None:
        """Serve the client until the connection is closed, by whomever."""
        try:
            async with self._tasks:
                await self._read()
        except ExceptionGroup:
            _log.exception("connection %d: a feed failed", self.record.id)
            await self.close(1011, "internal error")

    async def say(self, text: str) -> None:
        """Send a text now, even in a silence; waits while the socket is full.

        Raises:
            ConnectionClosed: It cannot be sent any more.
        """
        self.record.sent += self._is_open
        await self._connection.send(text)

    async def close(self, code: int, reason: str) -> None:
        """Close with a close frame; cut the connection if the client does not answer in time."""
        # The library's own close_timeout does not begin before a full socket has drained.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._house.close_timeout):
                await self._connection.close(code, reason)
        self.drop()

    def drop(self) -> None:
        """Cut the connection without a close frame."""
        self._connection.transport.abort()

    def hurry(self, candles: int) -> None:
        """Let so many candles of every subscription come ahead of their time."""
        for _, clock in self._feeds.values():
            clock.hurry(candles)

    @property
    def _is_open(self) -> bool:
        return self._connection.state is State.OPEN and not self._connection.transport.is_closing()

    async def _reply(self, **fields: object) -> None:
        await self._voice()
        await self.say(wire.encode(**fields))

    async def _voice(self) -> None:
        """Wait until the exchange may speak; raises ``ConnectionClosed`` if the client goes away meanwhile."""
        waits = [
            asyncio.ensure_future(self._house.voice.wait()),
            asyncio.ensure_future(self._connection.wait_closed()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _read(self) -> None:
        children: list[asyncio.Task[None]] = []
        if self._house.ping_interval is not None:
            children.append(self._tasks.create_task(self._ping(self._house.ping_interval)))
        try:
            while True:
                text = await self._connection.recv(decode=False)
                self.record.received.append(text.decode(errors="replace"))
                await self._obey(text)
        except ConnectionClosed:
            pass
        finally:
            children.extend(task for task, _ in self._feeds.values())
            for task in children:
                task.cancel()

    async def _obey(self, text: bytes) -> None:
        command = wire.parse(text)
        handler = self._commands.get(command.op) if command is not None else None
        if command is None or handler is None:
            await self._refuse("bad_request", "no such operation", command)
        else:
            await handler(command)

    async def _refuse(self, code: str, message: str, command: wire.Command | None) -> None:
        await self._reply(event="error", code=code, message=message, id=command.id if command is not None else None)

    async def _subscribe(self, command: wire.Command) -> None:
        pair = await self._market_of(command)
        if pair is None:
            return
        await self._confirm("subscribed", command)
        if pair not in self._feeds:
            house = self._house
            clock = house.clocks[pair] if house.clocks is not None else Clock(house.rate, first=1)
            first = clock.position if house.clocks is not None else 0
            self._feeds[pair] = (self._tasks.create_task(self._feed(pair, clock, first)), clock)

    async def _unsubscribe(self, command: wire.Command) -> None:
        pair = await self._market_of(command)
        if pair is None:
            return
        if pair not in self._feeds:
            await self._refuse("bad_request", "not subscribed", command)
            return
        feed, _ = self._feeds.pop(pair)
        feed.cancel()
        await self._confirm("unsubscribed", command)

    async def _market_of(self, command: wire.Command) -> tuple[str, str] | None:
        """The market that a command is about; ``None``, and the client is told, if there is none."""
        market = self._house.market
        if command.channel != "kline" or command.symbol is None or command.interval is None:
            await self._refuse("bad_request", 'channel "kline", symbol and interval are needed', command)
        elif command.symbol not in market.symbols:
            await self._refuse("unknown_symbol", f"no market {command.symbol}", command)
        elif command.interval not in market.intervals:
            await self._refuse("unknown_interval", f"no interval {command.interval}", command)
        else:
            return command.symbol, command.interval
        return None

    async def _confirm(self, event: str, command: wire.Command) -> None:
        await self._reply(
            event=event, channel=command.channel, symbol=command.symbol, interval=command.interval, id=command.id
        )

    async def _answer_ping(self, command: wire.Command) -> None:
        await self._reply(event="pong", ts=command.ts)

    async def _take_pong(self, command: wire.Command) -> None:
        if self._awaited_pong is not None and command.ts == self._awaited_pong:
            self._pong.set()

    async def _ping(self, interval: float) -> None:
        with contextlib.suppress(ConnectionClosed):
            try:
                while True:
                    await asyncio.sleep(interval)
                    await self._house.voice.wait()
                    self._pong.clear()
                    self._awaited_pong = time.time_ns() // 1_000_000
                    async with asyncio.timeout(self._house.pong_deadline):  # Also for a client that does not read.
                        await self.say(wire.encode(event="ping", ts=self._awaited_pong))
                        await self._pong.wait()
            except TimeoutError:
                await self.close(1008, "no pong")

    async def _feed(self, pair: tuple[str, str], clock: Clock, n: int) -> None:
        house, connection, klines = self._house, self._connection, self.record.klines
        candle, kline, voice, gate, pad = house.market.candle, wire.kline, house.voice, house.gate, house.pad
        with contextlib.suppress(ConnectionClosed):
            while house.limit is None or n < house.limit:
                await clock.reach(n)
                if not gate.is_open:
                    await gate.wait_open()
                elif not voice.is_set():
                    await voice.wait()
                    if house.clocks is not None:  # A live market moved on meanwhile: what was not said is lost.
                        n = max(n, clock.position)
                else:
                    text = kline(candle(*pair, n), pad(n) if pad is not None else 0)
                    if self._is_open:
                        # Noted first: an open connection takes the frame before send() yields, then send() waits for
                        # room. On one that is closing send() raises, and cuts it off when its time is up.
                        klines.add(pair, n)
                        self.record.sent += 1
                        gate.count()
                    await connection.send(text)
                    n += 1
                    if n % _BREATH == 0:
                        await asyncio.sleep(0)
