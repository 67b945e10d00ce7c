"""The legacy driver: how a stream is prepared, what its set-up must hold, and the rate limits that it waits for."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.bounds import Bounds
from adapters.dialects import DIALECTS
from compat import (
    Crossing,
    PluginProtocolError,
    RateLimitError,
    StreamKey,
    StreamRejectedError,
    StreamState,
    TokenBuckets,
)
from compat.demo.exchange import Exchange
from tests.support.clocks import Clock, in_line
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.legacy import KEY, URL, asked, breaking, legacy
from tests.support.plugins import FIXTURES
from tests.support.simex import open_against
from tests.support.sockets import Connector
from tests.support.waiting import drain, until

pytestmark = pytest.mark.usefixtures("nothing_left")


# Preparing


@pytest.mark.parametrize(
    "answer",
    [
        Answer({"success": False, "result": False, "error": "no such market"}),
        Answer({"success": False, "result": False, "error": "no such market"}, code=1),
        Answer(error="no such market", code=1),
    ],
    ids=["by the answer", "by code and answer", "by error memory"],
)
async def test_a_stream_may_be_refused(dialect: str, answer: Answer) -> None:
    connector = Connector()
    async with open_module(legacy(dialect, prepare=answer), connector) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(StreamRejectedError) as caught:
            await drain(stream, 1)
        assert caught.value.reason == "no such market"
        assert stream.state is StreamState.FAILED
    assert connector.asked == 0


async def test_a_parameter_that_the_plugin_misses_by_its_own_word_is_told_by_the_keys(dialect: str) -> None:
    id_, word = {"callback": ("legacy-callback", "interval"), "command": ("legacy-command", "timeframe")}[dialect]
    fixture = next(fixture for fixture in FIXTURES if fixture.id == id_)
    async with (
        Exchange() as exchange,
        open_against(fixture, exchange) as plugin,
        plugin.stream(StreamKey("ohlcv", "simex", "BTC-USDT")) as stream,
    ):
        with pytest.raises(StreamRejectedError, match=f"{word} is missing") as caught:
            await drain(stream, 1)
    assert "timeframe and interval are the same" in caught.value.remedy


def marker(**fields: Any) -> dict[str, Any]:
    return {"result": True, "data": {"_stream": True, "streamID": "s", "websocketUrl": URL, **fields}}


@pytest.mark.parametrize(
    ("dialect", "answer", "problem"),
    [
        ("callback", {"success": True}, "no websocketUrl"),
        ("callback", {"success": True, "websocketUrl": 7}, "no websocketUrl"),
        ("callback", {"success": True, "websocketUrl": URL, "headers": {"a": 1}}, "headers are no object of texts"),
        ("callback", {"success": True, "websocketUrl": URL, "initialMessages": "go"}, "no list of texts"),
        ("callback", "started", "not JSON"),
        ("callback", "", "it is empty"),
        ("callback", [1], "a JSON list"),
        ("command", {"result": True, "data": {"markets": []}}, "no StreamMarker"),
        ("command", {"result": True}, "no StreamMarker"),
        ("command", marker(streamID=""), "no streamID"),
        ("command", marker(websocketUrl=None), "no websocketUrl"),
        ("command", marker(initialMessages=[1]), "no list of texts"),
    ],
)
async def test_an_answer_without_what_a_stream_needs_breaks_the_protocol(
    dialect: str, answer: Any, problem: str
) -> None:
    wasm = legacy(dialect, prepare=Answer(answer))
    connector = Connector()
    async with open_module(wasm, connector) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(PluginProtocolError, match=problem) as caught:
            await drain(stream, 1)
        assert caught.value.export == DIALECTS[dialect].prepare
    assert connector.asked == 0


# Rate limits


def limited(**row: Any) -> Answer:
    return Answer([{"command": "ohlcvStream", "scope": "ip", "rps": 1e-3, "burst": 1, **row}])


async def test_the_command_that_opens_a_stream_waits_for_the_plugin_s_limits() -> None:
    crossings: list[Crossing] = []
    clock = Clock()
    buckets = TokenBuckets(clock)
    wasm = legacy("command", get_rate_limits=limited(rps=10))
    connector = Connector(lambda _: ["data"])
    async with (
        open_module(wasm, connector, observer=crossings.append, token_buckets=buckets) as plugin,
        plugin.stream(KEY) as one,
    ):
        await drain(one, 1)
        async with plugin.stream(KEY) as two:
            await until(lambda: in_line(buckets) == 1, "it waits")
            assert len(asked(crossings, "handle_command")) == 1
            clock.now += 0.1
            await drain(two, 1)
    assert len(asked(crossings, "handle_command")) == 2


async def test_a_stream_that_would_have_to_wait_too_long_for_them_is_refused_and_connects_to_nothing() -> None:
    connector = Connector(lambda _: ["data"])
    wasm = legacy("command", get_rate_limits=limited())
    async with open_module(wasm, connector, token_buckets=TokenBuckets(Clock())) as plugin:
        async with plugin.stream(KEY) as one:
            await drain(one, 1)
        async with plugin.stream(KEY) as two:
            with pytest.raises(RateLimitError, match=r"'ohlcvStream' through in 1e\+03 s, not within 120 s"):
                await drain(two, 1)
    assert len(connector.sockets) == 1


async def test_a_stream_that_connects_anew_waits_for_as_long_as_they_ask() -> None:
    connector = Connector(lambda number: breaking("data") if number == 0 else ["data"])
    clock = Clock()
    buckets = TokenBuckets(clock)
    wasm = legacy("command", get_rate_limits=limited(rps=50))
    bounds = Bounds(rate_limits_timeout=0)  # for the first connection: it need not wait
    async with (
        open_module(wasm, connector, token_buckets=buckets, bounds=bounds) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        await until(lambda: in_line(buckets) == 1, "it waits")
        clock.now += 0.02
        await drain(stream, 1)
        assert stream.state is StreamState.STREAMING
        assert stream.stats.reconnects == 1


async def test_a_stream_that_waits_for_them_can_be_closed() -> None:
    connector = Connector(lambda _: breaking("data"))
    buckets = TokenBuckets(Clock())
    wasm = legacy("command", get_rate_limits=limited())
    async with open_module(wasm, connector, token_buckets=buckets) as plugin:
        async with plugin.stream(KEY) as stream:
            await drain(stream, 1)
            await until(lambda: in_line(buckets) == 1, "it waits")
        assert stream.state is StreamState.STOPPED
    assert in_line(buckets) == 0
