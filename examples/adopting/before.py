"""A stream manager as one writes it by hand on Extism's Python SDK: for legacy plugins of the callback dialect.

The host owns the WebSocket, pushes every message into the plugin, and obeys what the plugin answers.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

import extism
from websockets.exceptions import ConnectionClosed, WebSocketException

from examples.adopting.owner import LONGEST_WAIT, Clock, Connector, Market, Sink, Tick, Wait, patient

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

__all__ = ["StreamManager"]


class _CallFailed(Exception):  # noqa: N818 - it says what happened
    """The plugin could not do what it was asked to do."""


class _Refused(Exception):  # noqa: N818
    """The plugin will not serve this stream."""


class _Reconnect(Exception):  # noqa: N818
    """The plugin wants another connection."""


class _Ended(Exception):  # noqa: N818
    """The plugin has ended the stream."""


class _Guest:
    """One instance of a plugin.

    An instance is not thread-safe, and a call may take its time: a thread of its own keeps the calls apart and the
    event loop free. (A lock would not do: whoever is cancelled gives it back while the call still runs.)
    """

    def __init__(self, source: str, wasm: bytes) -> None:
        self._plugin = extism.Plugin(wasm, wasi=True, functions=[])
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"plugin {source}")

    def has(self, export: str) -> bool:
        return bool(self._plugin.function_exists(export))

    async def call(self, export: str, request: Mapping[str, Any]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        try:
            output = await loop.run_in_executor(self._thread, self._plugin.call, export, json.dumps(request))
            answer = json.loads(output or b"{}", parse_float=Decimal, parse_int=Decimal)
        except (extism.Error, ValueError) as error:
            raise _CallFailed(f"{export}: {error}") from error
        if not isinstance(answer, dict):
            raise _CallFailed(f"{export}: the answer is no JSON object")
        return answer

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)


class StreamManager:
    """Runs legacy plugins and gives what they decode to a sink."""

    def __init__(
        self, *, connector: Connector, sink: Sink, clock: Clock, logger: logging.Logger, wait: Wait = patient
    ) -> None:
        self._connector = connector
        self._sink = sink
        self._clock = clock
        self._logger = logger
        self._wait = wait
        self._guests: dict[str, _Guest] = {}
        self._credentials: dict[str, Mapping[str, str]] = {}
        self._streams: dict[Market, asyncio.Task[None]] = {}
        self._connection_ids = count(1)

    async def load(self, source: str, wasm: bytes, credentials: Mapping[str, str] | None = None) -> None:
        """Make a plugin known under a name."""
        self._guests[source] = _Guest(source, wasm)
        if credentials:
            self._credentials[source] = credentials

    def start(self, market: Market) -> None:
        """Begin to give a market's ticks to the sink."""
        if market not in self._streams:
            self._streams[market] = asyncio.create_task(self._run(market), name=f"stream {market}")

    async def stop(self, market: Market) -> None:
        """End that."""
        task = self._streams.pop(market, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def aclose(self) -> None:
        """End everything."""
        for market in list(self._streams):
            await self.stop(market)
        for guest in self._guests.values():
            guest.close()

    async def _run(self, market: Market) -> None:
        failures = 0
        while True:
            started = self._clock()
            try:
                await self._follow(market)
            except (_Refused, _CallFailed) as error:
                self._logger.error("%s: the stream has failed: %s", market, error)  # noqa: TRY400 - no bug of ours
                return
            except _Ended:
                return
            except (_Reconnect, OSError, WebSocketException) as error:
                self._logger.warning("%s: connecting anew: %s", market, error or type(error).__name__)
            except Exception:
                self._logger.exception("%s: the stream has failed", market)
                return
            lasted = self._clock() - started
            failures = 1 if lasted > LONGEST_WAIT * 1e9 else failures + 1
            await asyncio.sleep(self._wait(failures))

    async def _follow(self, market: Market) -> None:
        """One connection, from the plugin's set-up to its end. Always raises."""
        guest, stream_id = self._guests[market.source], ":".join(market)
        ids = {"streamId": stream_id, "connectionId": f"{stream_id}/{next(self._connection_ids)}"}
        if market.source in self._credentials:
            _require_success(await guest.call("set_credentials", self._credentials[market.source]))
        parameters = {"symbol": market.symbol, "interval": market.interval, "private": False}
        request = {"streamId": stream_id, "streamType": "ohlcv", "parameters": parameters}
        setup = _require_success(await guest.call("prepare_stream", request))
        await self._tell(guest, ids, "connecting")
        try:
            connection = await self._connector(
                setup["websocketUrl"], setup.get("headers") or {}, setup.get("subprotocol")
            )
        except (OSError, WebSocketException) as error:
            await self._tell(guest, ids, "error", str(error))
            raise
        try:
            await self._tell(guest, ids, "connected")
            for message in setup.get("initialMessages") or []:
                await connection.send(message)
            while True:
                await self._push(market, guest, ids, connection)
        except ConnectionClosed as error:
            await self._tell(guest, ids, "disconnected", str(error))
            raise
        finally:
            await connection.close()

    async def _push(self, market: Market, guest: _Guest, ids: dict[str, str], connection: ClientConnection) -> None:
        """Hand one message to the plugin, and do what it says."""
        message = await connection.recv()
        received = self._clock()
        text = message if isinstance(message, str) else message.decode(errors="replace")
        try:
            answer = await guest.call("handle_stream_message", {**ids, "message": text, "messageType": "data"})
        except _CallFailed as error:  # on this message; the next may be better
            self._logger.warning("%s: %s", market, error)
            return
        action = _obey(answer)
        if action == "data":
            self._sink(_tick(market, answer["data"], received))
        elif action == "send":
            await connection.send(answer["sendMessage"])
        elif answer.get("success") is False:
            self._logger.warning("%s: handle_stream_message: %s", market, answer.get("error"))

    async def _tell(self, guest: _Guest, ids: dict[str, str], event: str, error: str = "") -> None:
        """Deliver a connection event to a plugin that takes them, and obey the answer."""
        if guest.has("stream_connection_event"):
            _obey(await guest.call("stream_connection_event", {**ids, "eventType": event, "error": error}))


def _require_success(answer: dict[str, Any]) -> dict[str, Any]:
    if answer.get("success") is False:
        raise _Refused(answer.get("error") or "no reason given")
    return answer


def _obey(answer: dict[str, Any]) -> str:
    """What the plugin asks for, if it is not another connection or the end."""
    action = answer.get("action", "ignore")
    if action == "reconnect":
        raise _Reconnect(answer.get("error") or "the plugin asked for it")
    if action == "close":
        _require_success(answer)
        raise _Ended
    return str(action)


def _tick(market: Market, data: dict[str, Any], received: int) -> Tick:
    prices = {name: Decimal(data[name]) for name in ("open", "high", "low", "close", "volume")}
    return Tick(market, int(data["timestamp"]), **prices, received=received)
