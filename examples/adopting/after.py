"""The same stream manager on plugin-compat: for legacy plugins of both dialects, and for generic ones."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping

import attrs

import compat
from examples.adopting.owner import LONGEST_WAIT, Clock, Connector, Market, Sink, Tick, Wait, patient

__all__ = ["StreamManager"]


class StreamManager:
    """Runs plugins of any kind and gives what they decode to a sink."""

    def __init__(
        self,
        *,
        connector: Connector,
        sink: Sink,
        clock: Clock,
        logger: logging.Logger,
        wait: Wait = patient,
        settings: compat.AdapterSettings | None = None,
    ) -> None:
        self._settings = attrs.evolve(
            settings or compat.AdapterSettings(),
            connector=compat.WebSocketConnector(opens=connector),
            clock=clock,
            logger=logger,  # it hears the plugins' log records and every stream's events: gaps, reconnects, ...
        )
        self._sink = sink
        self._clock = clock
        self._logger = logger
        self._wait = wait
        self._opened = contextlib.AsyncExitStack()
        self._plugins: dict[str, compat.Plugin] = {}
        self._streams: dict[Market, asyncio.Task[None]] = {}

    async def load(self, source: str, wasm: bytes, credentials: Mapping[str, str] | None = None) -> None:
        """Make a plugin known under a name. Raises ``compat.DetectionError`` if the module cannot run."""
        plugin = compat.open_plugin(wasm, name=source, config=credentials, settings=self._settings)
        self._plugins[source] = await self._opened.enter_async_context(plugin)

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
        await asyncio.gather(*(self.stop(market) for market in list(self._streams)))
        await self._opened.aclose()

    async def _run(self, market: Market) -> None:
        key = compat.StreamKey("ohlcv", market.source, market.symbol, {"timeframe": market.interval})
        failures = 0
        while True:
            opened = heard = self._clock()
            try:
                async with self._plugins[market.source].stream(key) as stream:
                    async for item in stream:
                        heard = self._clock()
                        self._deliver(market, item)
            # A stream recovers by itself, but neither a first connection that fails nor an outage without end: the
            # manager has always been more patient than that.
            except (compat.NetworkError, compat.RestartsExhaustedError) as error:
                self._logger.warning("%s: opening the stream anew: %s", market, error)
            except compat.CompatError as error:
                self._logger.error("%s: the stream has failed: %s", market, error)  # noqa: TRY400 - no bug of ours
                return
            except Exception:
                self._logger.exception("%s: the stream has failed", market)
                return
            else:
                return
            failures = 1 if heard - opened > LONGEST_WAIT * 1e9 else failures + 1
            await asyncio.sleep(self._wait(failures))

    def _deliver(self, market: Market, item: compat.StreamData) -> None:
        candle = item.candle()
        if candle is None:
            self._logger.warning("%s: item %d is no candle", market, item.sequence)
            return
        prices = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        self._sink(Tick(market, candle.opened // 10**9, *prices, received=item.timestamp))
