"""An exchange in a process of its own that says when it sent each message: what the socket benchmarks consume.

    python -m benchmarks.sender CONNECTIONS COUNT RATE [flood]

It prints its port and waits until there are so many connections, each with a subscription. Then each is sent ``COUNT``
candles, ``RATE`` a second, one connection after the other in even distances; with a rate of 0 as fast as its socket
takes them. A candle has its number in its time, and in its volume the nanoseconds of ``CLOCK_MONOTONIC`` at which it
was sent. With a rate nobody is waited for: what a socket does not take is kept here, so a consumer that falls behind
cannot slow the sender down. With ``flood`` the first market gets frames of two bytes instead, as fast as it takes them,
until the others have theirs. The process ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from compat.demo.market import GENESIS

__all__ = ["FIRST", "market_of", "sending"]

ROOT = Path(__file__).resolve().parent.parent
FIRST = "C0-USDT"  # the market that has the trouble
_BREATH = 64  # messages
_HEAD_START = 0.5  # seconds between the last subscription and the first message
_TINY = "{}"


def market_of(number: int) -> str:
    """The market of connection ``number``."""
    return f"C{number}-USDT"


class _Subscription(msgspec.Struct):
    symbol: str
    interval: str
    id: int | str


def _candle(subscription: _Subscription, number: int) -> str:
    return (
        f'{{"event":"kline","channel":"kline","symbol":"{subscription.symbol}","interval":"{subscription.interval}",'
        f'"t":{GENESIS + 60 * number},"o":"100.10","h":"101.00","l":"99.50","c":"100.70",'
        f'"v":"{time.monotonic_ns()}","pad":"{"x" * 110}"}}'
    )


class _Sender:
    def __init__(self, connections: int, count: int, rate: float, *, flood: bool) -> None:
        self._wanted = connections
        self._count = count
        self._rate = rate
        self._flood = flood
        self._subscribed: list[tuple[ServerConnection, _Subscription]] = []
        self._full = asyncio.Event()
        self._sent = asyncio.Event()

    async def serve(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            subscription = msgspec.json.decode(await connection.recv(), type=_Subscription)
            named = {"channel": "kline", "symbol": subscription.symbol, "interval": subscription.interval}
            answer = {"event": "subscribed", **named, "id": subscription.id}
            await connection.send(msgspec.json.encode(answer).decode())
            self._subscribed.append((connection, subscription))
            if len(self._subscribed) == self._wanted:
                self._full.set()
            async for _ in connection:
                pass

    async def run(self) -> None:
        await self._full.wait()
        await asyncio.sleep(_HEAD_START)
        flooded = [pair for pair in self._subscribed if self._flood and pair[1].symbol == FIRST]
        quiet = [pair for pair in self._subscribed if pair not in flooded]
        async with asyncio.TaskGroup() as tasks:
            for connection, _ in flooded:
                tasks.create_task(self._fill(connection))
            if self._rate:
                tasks.create_task(self._pace(quiet))
            else:
                for connection, subscription in quiet:
                    tasks.create_task(self._pour(connection, subscription))

    async def _pace(self, pairs: list[tuple[ServerConnection, _Subscription]]) -> None:
        begun, distance = time.monotonic(), 1 / self._rate / len(pairs)
        for turn in range(self._count):
            for place, (connection, subscription) in enumerate(pairs):
                wait = begun + (turn * len(pairs) + place) * distance - time.monotonic()
                if wait > 0:
                    await asyncio.sleep(wait)
                broadcast([connection], _candle(subscription, turn))
        self._sent.set()

    async def _pour(self, connection: ServerConnection, subscription: _Subscription) -> None:
        with contextlib.suppress(ConnectionClosed):
            for number in range(self._count):
                await connection.send(_candle(subscription, number))
                if number % _BREATH == 0:
                    await asyncio.sleep(0)

    async def _fill(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while not self._sent.is_set():
                for _ in range(_BREATH):
                    await connection.send(_TINY)
                await asyncio.sleep(0)


async def _main(connections: int, count: int, rate: float, *, flood: bool) -> None:
    sender = _Sender(connections, count, rate, flood=flood)
    async with serve(
        sender.serve, "127.0.0.1", 0, compression=None, ping_interval=None, close_timeout=0.5, backlog=1_024
    ) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        running = asyncio.create_task(sender.run())
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        running.cancel()
        await asyncio.wait([running])


@contextlib.contextmanager
def sending(connections: int, count: int, rate: float, *, flood: bool = False) -> Iterator[str]:
    """Run a sender as long as the block lasts. Yields the beginning of its URL, to which ``/ws`` is added."""
    arguments = [str(connections), str(count), str(rate), *(["flood"] if flood else [])]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sender", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdin is not None and process.stdout is not None  # noqa: PT018
    try:
        yield f"ws://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), flood="flood" in sys.argv[4:]))
