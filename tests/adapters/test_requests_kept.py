"""Requests: which answers are kept and shared, which limits make them wait, and what has to be configured."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from typing import Any

import httpx
import pytest

from compat import (
    ConfigurationError,
    Crossing,
    Direction,
    NetworkPolicy,
    RateLimitError,
    RequestFailedError,
    StreamUsageError,
    TokenBuckets,
)
from tests.support.asking import MARKETS, SECRET, commands, generic, given, limits, on
from tests.support.clocks import FOREVER, Clock, in_line
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.legacy import asked
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("nothing_left")


# What is kept


def cacheable(seconds: Any) -> bytes:
    return commands(Answer({"result": True, "data": MARKETS, "cacheForSeconds": seconds}), get_rate_limits=limits())


async def test_an_answer_is_kept_for_as_long_as_it_says_and_costs_nothing_then() -> None:
    crossings: list[Crossing] = []
    buckets = TokenBuckets()
    async with open_module(cacheable(300), observer=crossings.append, token_buckets=buckets) as plugin:
        first = await plugin.request("getMarkets", {"a": {"x": 1, "y": 2}, "b": 1})
        again = await plugin.request("getMarkets", {"b": 1, "a": {"y": 2, "x": 1}}, timeout=0)
        assert (first.cached, again.cached) == (False, True)
        assert again.data == first.data
        with pytest.raises(RateLimitError):
            await plugin.request("getMarkets", {"b": 2})
        with pytest.raises(RateLimitError):
            await plugin.request("getMarkets", {"a": {"x": 1, "y": 2}, "b": 1}, fresh=True)
        assert (await plugin.request("getMarkets", {"a": {"x": 1, "y": 2}, "b": 1})).cached
    assert given(crossings) == ["getMarkets"]


async def test_what_has_expired_is_asked_for_anew() -> None:
    crossings: list[Crossing] = []
    wasm = commands(Answer({"result": True, "data": MARKETS, "cacheForSeconds": 0.05}))
    async with open_module(wasm, observer=crossings.append) as plugin:
        await plugin.request("getMarkets")
        await asyncio.sleep(0.06)  # it has expired then, however slow this machine is
        assert not (await plugin.request("getMarkets")).cached
    assert given(crossings) == ["getMarkets"] * 2


async def test_a_failure_is_not_kept() -> None:
    crossings: list[Crossing] = []
    wasm = commands(Answer({"result": False, "error": "busy", "cacheForSeconds": 60}))
    async with open_module(wasm, observer=crossings.append) as plugin:
        for _ in range(2):
            with pytest.raises(RequestFailedError):
                await plugin.request("getMarkets")
    assert len(given(crossings)) == 2


async def test_each_plugin_keeps_its_own() -> None:
    crossings: list[Crossing] = []
    wasm = commands(Answer({"result": True, "data": MARKETS, "cacheForSeconds": 60}))
    for _ in range(2):
        async with open_module(wasm, observer=crossings.append) as plugin:
            assert not (await plugin.request("getMarkets")).cached
    assert len(given(crossings)) == 2


async def test_a_lifetime_that_is_none_is_told_once_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    crossings: list[Crossing] = []
    wasm = commands(Answer({"result": True, "data": MARKETS, "cacheForSeconds": "soon"}))
    async with open_module(wasm, observer=crossings.append) as plugin:
        for _ in range(2):
            assert not (await plugin.request("getMarkets")).cached
    assert len(given(crossings)) == 2
    told = [(record.levelno, record.getMessage()) for record in caplog.records if "cacheForSeconds" in record.msg]
    problem = "handle_command: cacheForSeconds of getMarkets is no number of seconds and is ignored: 'soon'"
    assert told == [(logging.WARNING, problem)]


@pytest.mark.parametrize(("seconds", "calls"), [(60, 1), (None, 8)])
async def test_those_who_ask_the_same_at_once_share_an_answer_that_may_be_kept_and_no_other(
    seconds: int | None, calls: int
) -> None:
    crossings: list[Crossing] = []
    wasm = commands(Answer({"result": True, "data": MARKETS, "cacheForSeconds": seconds}))
    async with open_module(wasm, observer=crossings.append) as plugin:
        replies = await asyncio.gather(*(plugin.request("getMarkets") for _ in range(8)))
        assert {reply.data for reply in replies} == {json.dumps(MARKETS).encode()}
        assert [reply.cached for reply in replies].count(False) == calls
    assert len(given(crossings)) == calls


async def test_whoever_is_cancelled_while_waiting_has_asked_nothing_and_keeps_nobody_waiting() -> None:
    crossings: list[Crossing] = []
    release = asyncio.Event()

    async def slowly(_: httpx.Request) -> httpx.Response:
        await release.wait()
        return httpx.Response(200)

    busy = on("slow", {"result": True, "data": 0}, calls=[("http_request", {"url": "https://a.example/x"})])
    async with open_module(
        commands(busy, on("order", {"result": True, "data": 1})),
        observer=crossings.append,
        policy=NetworkPolicy(also="https://a.example/*"),
        http=lambda: httpx.AsyncClient(transport=httpx.MockTransport(slowly)),
    ) as plugin:
        slow = asyncio.create_task(plugin.request("slow", timeout=FOREVER))
        await until(lambda: given(crossings) == ["slow"], "the guest is busy")
        waiting = [asyncio.create_task(plugin.request("order", {"n": n // 2})) for n in range(4)]
        for _ in range(20):  # so that they have come as far as they can
            await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        assert all(task.cancelled() for task in waiting)
        release.set()
        assert (await slow).json() == 0
        assert (await plugin.request("order", {"n": 0})).json() == 1
    assert given(crossings) == ["slow", "order"]


async def test_whoever_asks_while_the_one_before_is_cancelled_is_answered() -> None:
    crossings: list[Crossing] = []
    clock = Clock()
    buckets = TokenBuckets(clock)
    wasm = commands(on("order", {"result": True, "data": 1}), get_rate_limits=limits(command="order", rps=20))
    async with open_module(wasm, observer=crossings.append, token_buckets=buckets) as plugin:
        await plugin.request("order")
        first, second = (asyncio.create_task(plugin.request("order")) for _ in range(2))
        await until(lambda: in_line(buckets) == 1, "the first waits for the limit, the other for the first")
        first.cancel()
        await asyncio.wait([first])
        assert first.cancelled()
        await until(lambda: in_line(buckets) == 1, "the other waits for the limit")
        clock.now += 1
        assert (await second).json() == 1
    assert len(given(crossings)) == 2


# Rate limits


async def test_a_limit_makes_callers_wait_and_whoever_cannot_is_told_for_how_long() -> None:
    wasm = commands(Answer({"result": True, "data": MARKETS}), get_rate_limits=limits(rps=4, cost=2, burst=2))
    crossings: list[Crossing] = []
    clock = Clock()
    buckets = TokenBuckets(clock)
    async with open_module(wasm, token_buckets=buckets, observer=crossings.append) as plugin:
        await plugin.request("getMarkets")
        with pytest.raises(RateLimitError) as caught:
            await plugin.request("getMarkets", timeout=0.01)
        assert caught.value.wait == 0.5
        waiting = asyncio.create_task(plugin.request("getMarkets"))
        await until(lambda: in_line(buckets) == 1, "it waits")
        # Neither another command nor the raw way in is held up.
        await plugin.request("getTimeframes")
        assert (await plugin.call("handle_command", '{"name": "raw"}')) != b""
        assert not waiting.done()
        clock.now += 0.5
        await waiting
    assert given(crossings) == ["getMarkets", "getTimeframes", "raw", "getMarkets"]


async def test_a_plugin_that_is_opened_again_has_used_up_what_it_had() -> None:
    buckets = TokenBuckets()
    wasm = generic(list_markets=Answer([]), get_rate_limits=limits())
    async with open_module(wasm, token_buckets=buckets) as plugin:
        await plugin.request("getMarkets")
    async with open_module(wasm, token_buckets=buckets) as plugin:
        with pytest.raises(RateLimitError):
            await plugin.request("getMarkets")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Answer(then="trap"), "trapped"),
        (Answer(code=1), "failed with return code 1"),
        (Answer("<html>"), "it is not JSON"),
        (Answer({"rps": 5}), "it is a JSON dict where a list is expected"),
        (Answer(), "it is empty where a JSON list is expected"),
    ],
    ids=["trap", "failure", "no json", "no list", "nothing"],
)
async def test_limits_that_cannot_be_read_limit_nothing_and_are_told(
    answer: Answer, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    wasm = commands(Answer({"result": True, "data": []}), get_rate_limits=answer)
    async with open_module(wasm, token_buckets=TokenBuckets()) as plugin:
        for _ in range(20):
            await plugin.request("getMarkets")
        info = await plugin.info()
        assert [problem in text for text in info.problems] == [True]
        assert info.problems[0].startswith("get_rate_limits: ")
    warnings = [record.getMessage() for record in caplog.records if "get_rate_limits" in record.getMessage()]
    assert warnings == list(info.problems)


@pytest.mark.parametrize("declared", ["null", []])
async def test_a_plugin_that_declares_no_limits_has_none(declared: Any) -> None:
    wasm = commands(Answer({"result": True, "data": []}), get_rate_limits=Answer(declared))
    async with open_module(wasm, token_buckets=TokenBuckets()) as plugin:
        await plugin.request("getMarkets")
        assert ((await plugin.info()).rate_limits, (await plugin.info()).problems) == ((), ())


# Configuration


async def test_what_is_required_is_required_of_requests_too_and_metadata_can_be_asked_without_it() -> None:
    crossings: list[Crossing] = []
    fields = [{"name": "api_key", "required": True}, {"name": "testnet", "default": False}]
    wasm = commands(
        Answer({"result": True, "data": []}),
        init=Answer(),
        get_configuration_fields=Answer(fields),
        get_name=Answer("x"),
    )
    async with open_module(wasm, observer=crossings.append, config={"apikey": SECRET}) as plugin:
        with pytest.raises(ConfigurationError, match=r"it requires api_key.*meant to be api_key") as caught:
            await plugin.request("getMarkets")
        with pytest.raises(ConfigurationError):
            await plugin.call("get_name")
        assert json.loads(await plugin.call("get_configuration_fields")) == fields
        assert [field.name for field in (await plugin.info()).fields] == ["api_key", "testnet"]
    assert SECRET not in str(caught.value)
    assert {c.name for c in crossings if c.direction is Direction.CALL} == {"meta", "get_configuration_fields"}
    async with open_module(wasm, observer=crossings.append, config={"api_key": SECRET}) as plugin:
        await plugin.request("getMarkets")
    assert asked(crossings, "init") == [{"testnet": False, "api_key": SECRET}]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ((None,), "name must be a text, not None. Correct request(name=...)"),
        (("getMarkets", 5), "params must be a mapping, or None, not a value of type int. Correct request(params=...)"),
        (
            ("getMarkets", []),
            "params must be a mapping, or None, not a value of type list. Correct request(params=...)",
        ),
        (("getMarkets", "s3cret"), "or None, not a value of type str. Correct request(params=...)"),
    ],
)
async def test_a_request_that_is_none_is_refused_without_a_call(given: Any, problem: str) -> None:
    crossings: list[Crossing] = []
    async with open_module(generic(list_markets=Answer([])), observer=crossings.append) as plugin:
        with pytest.raises(StreamUsageError) as caught:
            await plugin.request(*given)
        assert str(caught.value).endswith(problem)
        for timeout in ("5", -1, math.nan):
            with pytest.raises(StreamUsageError, match="timeout must be a number of seconds, 0 or more"):
                await plugin.request("getMarkets", timeout=timeout)  # type: ignore[arg-type]
    assert crossings == []
