"""What every plugin's stream gives in batches: the same items, in order, with the same ends, however they are taken."""

from __future__ import annotations

import asyncio
import itertools
import math
from typing import TYPE_CHECKING, Any

import pytest

from compat import Backoff, CompatError, StreamData, StreamState, StreamUsageError
from compat.demo.exchange import Exchange
from tests.contract.conftest import EACH_KIND
from tests.support.plugins import candle_key
from tests.support.simex import candle_of, candles, unhurried
from tests.support.waiting import HANG, drain, until

if TYPE_CHECKING:
    from compat import Stream
    from tests.contract.conftest import Trading

pytestmark = pytest.mark.usefixtures("nothing_left")

COUNT = 120


async def batch(stream: Stream, limit: int) -> list[StreamData]:
    async with asyncio.timeout(HANG):
        return await anext(stream.batches(limit))


async def test_batches_may_be_mixed_with_everything_else(trading: Trading) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=COUNT)
    async with trading(exchange) as plugin, plugin.stream(candle_key()) as stream:
        items: list[StreamData] = []
        for turn in itertools.cycle(range(5)):
            if len(items) == COUNT:
                break
            limit = min(turn * 4 + 1, COUNT - len(items))
            if turn == 0:
                items += await drain(stream, 1)
                continue
            if turn == 1:
                found = await asyncio.to_thread(stream.receive_batch, limit, HANG)
            else:
                found = await batch(stream, limit)
            assert 1 <= len(found) <= limit
            items += found
        assert [candle_of(item) for item in items] == candles(exchange, range(COUNT))
        assert [item.sequence for item in items] == list(range(COUNT))
        stats = stream.stats
        assert (stats.received, stats.delivered, stats.buffered, stats.lag) == (COUNT, COUNT, 0, 0)
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(stream.receive_batch, 9, 0)


async def test_a_batch_has_all_that_is_there_up_to_its_limit_and_makes_room(trading: Trading) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=COUNT)
    async with trading(exchange, settings=unhurried(buffer=8)) as plugin, plugin.stream(candle_key()) as stream:
        await until(lambda: stream.stats.buffered == 8, "the buffer fills")
        items = await batch(stream, 3)
        assert [item.sequence for item in items] == [0, 1, 2]
        while len(items) < COUNT:
            assert stream.stats.buffered <= 8
            found = await batch(stream, 1_000)
            assert len(found) <= 8
            items += found
        assert [candle_of(item) for item in items] == candles(exchange, range(COUNT))
        assert stream.stats.gaps == 0


async def test_batches_end_when_the_stream_is_closed(trading: Trading) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=10)
    async with trading(exchange) as plugin, plugin.stream(candle_key()) as stream:
        batches = stream.batches()
        items: list[StreamData] = []
        async with asyncio.timeout(HANG):
            while len(items) < 10:
                items += await anext(batches)
            await stream.aclose()
            assert [found async for found in batches] == []
        assert stream.receive_batch() == []
        assert stream.state is StreamState.STOPPED
    assert [item.sequence for item in items] == list(range(10))


@EACH_KIND
async def test_a_failure_is_raised_after_what_came_before_it(trading: Trading) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=10)
    settings = unhurried(backoff=Backoff(first=0, highest=0, attempts=0, patience=0))
    async with trading(exchange, settings=settings) as plugin, plugin.stream(candle_key()) as stream:
        await until(lambda: stream.stats.received == 10, "all candles arrive")
        exchange.reject(1_000)
        await exchange.drop_all()
        await until(lambda: stream.state is StreamState.FAILED, "it fails")
        assert [item.sequence for item in [*await batch(stream, 7), *await batch(stream, 7)]] == list(range(10))
        with pytest.raises(CompatError) as caught:
            await batch(stream, 7)
        for again in (stream.receive_batch, stream.receive):
            with pytest.raises(type(caught.value)):
                again()


@EACH_KIND
@pytest.mark.parametrize("limit", [0, -5, 2.5, "all", None, True])
async def test_a_limit_that_makes_no_sense_is_refused_by_name(trading: Trading, limit: Any) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=10)
    async with trading(exchange) as plugin, plugin.stream(candle_key()) as stream:
        with pytest.raises(StreamUsageError, match=f"limit must be a whole number of items, 1 or more, not {limit!r}"):
            await anext(stream.batches(limit))
        with pytest.raises(StreamUsageError, match=r"limit must be .* Correct \w+_batch\(limit=...\)"):
            stream.receive_batch(limit)
        assert [item.sequence for item in await drain(stream, 10)] == list(range(10))


@EACH_KIND
async def test_a_stream_that_is_not_open_has_no_batches(trading: Trading) -> None:
    async with trading(Exchange()) as plugin:
        stream = plugin.stream(candle_key())
        with pytest.raises(StreamUsageError, match="is not open"):
            await anext(stream.batches())
        with pytest.raises(StreamUsageError, match="is not open"):
            stream.receive_batch()
        await stream.aclose()
