"""Requests: one set of words for every kind and dialect, what is answered, and what is refused and why."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import pytest

from adapters.bounds import Bounds
from adapters.requests import EXPORTS, route
from compat import (
    ConfigurationError,
    Crossing,
    Direction,
    GuestStoppedError,
    PluginProtocolError,
    PluginTimeoutError,
    PluginTrapError,
    RateLimitError,
    Reply,
    RequestFailedError,
    StreamUsageError,
    TokenBuckets,
    UnknownCommandError,
)
from detectors.rules import INTERFACES
from tests.support.asking import MARKETS, SECRET, commands, generic, given, limits, on
from tests.support.clocks import FOREVER
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.legacy import KEY, asked, legacy
from tests.support.sockets import Connector
from tests.support.waiting import HANG, drain, until

pytestmark = pytest.mark.usefixtures("nothing_left")


# The way to the plugin


def test_the_exports_of_the_table_are_those_of_the_interfaces() -> None:
    for row in INTERFACES:
        if row.dialect != "command":
            assert set(EXPORTS.values()) <= set(row.exports)


def test_a_plugin_that_takes_commands_takes_them_all_and_by_that() -> None:
    assert route("x", "getMarkets", ("list_markets", "handle_command")).export == "handle_command"
    assert route("x", "accountBalances", ("handle_command",)).export == "handle_command"


@pytest.mark.parametrize(
    "build", [generic, lambda **exports: legacy("callback", **exports)], ids=["generic", "callback"]
)
@pytest.mark.parametrize(("command", "export"), EXPORTS.items())
async def test_without_commands_each_has_an_export_that_gets_the_params(build: Any, command: str, export: str) -> None:
    crossings: list[Crossing] = []
    wasm = build(**{export: Answer('[{"name": "BTC-USDT", "tick": 0.10}]')})
    async with open_module(wasm, observer=crossings.append) as plugin:
        reply = await plugin.request(command, {"symbol": "BTC-USDT", "limit": 5})
        assert reply == Reply(b'[{"name": "BTC-USDT", "tick": 0.10}]')
        assert reply.json() == [{"name": "BTC-USDT", "tick": 0.1}]
        await plugin.request(command)
    assert asked(crossings, export) == [{"symbol": "BTC-USDT", "limit": 5}, {}]


async def test_a_command_that_a_plugin_has_no_way_to_take_is_refused_without_a_call() -> None:
    crossings: list[Crossing] = []
    wasm = generic(list_markets=Answer([]), get_timeframes=Answer([]))
    async with open_module(wasm, observer=crossings.append) as plugin:
        for command, hint in (("getOHLCV", ""), ("accountBalances", ""), ("getMarket", "Did you mean 'getMarkets'? ")):
            with pytest.raises(UnknownCommandError) as caught:
                await plugin.request(command)
            assert caught.value.commands == ("getMarkets", "getTimeframes")
            assert str(caught.value) == (
                f"plugin 'guest' has no way to take {command!r}. {hint}It takes getMarkets, getTimeframes"
            )
    async with open_module(generic()) as plugin:
        with pytest.raises(UnknownCommandError, match="It takes none"):
            await plugin.request("getMarkets")
    assert crossings == []


async def test_a_command_is_given_with_its_params_and_its_payload_is_passed_on_as_it_was_written() -> None:
    crossings: list[Crossing] = []
    wasm = commands(
        on(
            "getOHLCV",
            '{"responseType": "Candles", "result": true, "data": [ {"open": 1.50, "n": 12345678901234567890} ]}',
        ),
        on("quiet", {"result": True}),
        on("older", {"success": True, "data": 5}),
    )
    async with open_module(wasm, observer=crossings.append) as plugin:
        reply = await plugin.request("getOHLCV", {"market": {"symbol": "BTC-USDT"}, "limit": 2})
        assert reply == Reply(b'[ {"open": 1.50, "n": 12345678901234567890} ]', "Candles")
        assert await plugin.request("quiet") == Reply(b"null")
        assert (await plugin.request("older")).json() == 5
    assert asked(crossings, "handle_command") == [
        {"name": "getOHLCV", "params": {"market": {"symbol": "BTC-USDT"}, "limit": 2}},
        {"name": "quiet", "params": {}},
        {"name": "older", "params": {}},
    ]


async def test_an_answer_within_an_object_is_taken_out_of_it() -> None:
    async with open_module(
        generic(list_markets=Answer({"success": True, "data": MARKETS}), get_timeframes=Answer({"1m": 60}))
    ) as plugin:
        assert (await plugin.request("getMarkets")).json() == MARKETS
        assert (await plugin.request("getTimeframes")).json() == {"1m": 60}


async def test_requests_run_beside_the_streams_and_never_in_their_guest() -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda _: ["data"])
    async with open_module(legacy("command"), connector, observer=crossings.append) as plugin:
        async with plugin.stream(KEY) as stream:
            await drain(stream, 1)
            with pytest.raises(StreamUsageError):  # all that this plugin can answer is a stream
                await plugin.request("getMarkets")
        with pytest.raises(StreamUsageError):
            await plugin.request("getMarkets")
    calls = [(c.guest, c.name) for c in crossings if c.direction is Direction.CALL]
    asking = {guest for guest, export in calls if export == "handle_command"}
    streaming = {guest for guest, export in calls if export == "handle_stream_message"}
    assert (len(asking - streaming), len(streaming)) == (1, 1)


async def test_nobody_waits_for_a_plugin_that_lacks_what_it_requires() -> None:
    buckets = TokenBuckets()
    exports = {"init": {}, "get_configuration_fields": [{"name": "api_key", "required": True}]}
    wasm = commands(
        Answer({"result": True}), get_rate_limits=limits(), **{name: Answer(said) for name, said in exports.items()}
    )
    async with open_module(wasm, token_buckets=buckets) as plugin:
        for _ in range(2):
            with pytest.raises(ConfigurationError):
                await plugin.request("getMarkets")
    async with open_module(wasm, token_buckets=buckets, config={"api_key": SECRET}) as plugin:
        await plugin.request("getMarkets")  # the one token is there still
        with pytest.raises(RateLimitError):
            await plugin.request("getMarkets")


async def test_without_time_nothing_is_asked_and_the_guest_lives_on() -> None:
    crossings: list[Crossing] = []
    async with open_module(commands(Answer({"result": True})), observer=crossings.append) as plugin:
        await plugin.request("getMarkets")
        with pytest.raises(PluginTimeoutError, match="within 0 s"):
            await plugin.request("getMarkets", timeout=0)
        await plugin.request("getMarkets")
    assert len(given(crossings)) == 2
    assert len({c.guest for c in crossings if c.name == "handle_command"}) == 1


# What is refused


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (Answer({"result": False, "error": f"key {SECRET} expired"}, code=1), "key *** expired"),
        (Answer({"result": False, "error": f"key {SECRET} expired"}), "key *** expired"),
        (Answer({"success": False, "error": {"code": 5, "key": SECRET}}), '{"code":5,"key":"***"}'),
        (Answer(error=f"key {SECRET} expired", code=1), "key *** expired"),
        (Answer({"result": False}), ""),
        (Answer(code=1), ""),
    ],
    ids=["code and output", "output alone", "another word", "error memory", "no reason", "code alone"],
)
async def test_a_failure_is_told_with_the_plugin_s_reason_and_without_secrets(how: Answer, reason: str) -> None:
    plugins = {
        "command": commands(how, init=Answer()),
        "generic": generic(list_markets=how, plugin_configure=Answer()),
    }
    for wasm in plugins.values():
        async with open_module(wasm, config={"api_key": SECRET}) as plugin:
            with pytest.raises(RequestFailedError) as caught:
                await plugin.request("getMarkets")
        assert (caught.value.command, caught.value.reason) == ("getMarkets", reason)
        assert str(caught.value).startswith(f"plugin 'guest' refused 'getMarkets': {reason or 'no reason given'}")


@pytest.mark.parametrize(
    ("command", "remedy"), [("getMarket", "Did you mean 'getMarkets'?"), ("getMarkets", ""), ("accountBalances", "")]
)
async def test_a_slip_of_the_finger_is_pointed_out_where_the_plugin_does_not_know_the_command(
    command: str, remedy: str
) -> None:
    async with open_module(commands(Answer({"result": False, "error": "unknown command"}, code=1))) as plugin:
        with pytest.raises(RequestFailedError) as caught:
            await plugin.request(command, timeout=float("inf"))
    assert caught.value.remedy == remedy


async def test_a_configuration_that_hangs_is_no_request_that_does() -> None:
    async with open_module(
        commands(Answer({"result": True}), init=Answer(then="loop")), bounds=Bounds(configure_timeout=0.1)
    ) as plugin:
        with pytest.raises(PluginTimeoutError, match=r"init did not return within 0\.1 s"):
            await plugin.request("getMarkets")


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        (None, "truncated"),
        ("<html>", "malformed"),
        ("[1]", "Expected `object`"),
        ({}, "neither a result nor data"),
        ('{"data":' + "[" * 5_000, "recursion"),
    ],
)
async def test_an_answer_that_is_none_is_told(output: Any, problem: str) -> None:
    async with open_module(commands(Answer(output))) as plugin:
        with pytest.raises(PluginProtocolError, match=f"handle_command is unusable.*{problem}"):
            await plugin.request("getMarkets")


@pytest.mark.parametrize("output", [None, "", "<html>", "[1, "])
async def test_an_export_s_answer_that_is_no_json_is_told(output: Any) -> None:
    async with open_module(generic(list_markets=Answer(output))) as plugin:
        with pytest.raises(PluginProtocolError, match="list_markets is unusable"):
            await plugin.request("getMarkets")


@pytest.mark.parametrize("named", [True, False])
async def test_a_command_that_opens_a_stream_is_refused_and_says_how_to_open_one(named: bool) -> None:
    marker = {"_stream": True, "streamID": "s", "websocketUrl": "wss://stream.simex.example/ws"}
    answer = {
        "result": True,
        "cacheForSeconds": 60,
        "data": marker,
        **({"responseType": "StreamMarker"} if named else {}),
    }
    async with open_module(commands(Answer(answer))) as plugin:
        for _ in range(2):
            with pytest.raises(
                StreamUsageError, match=r"'ohlcvStream' of plugin 'guest' opens.*Use plugin\.stream\(key\)"
            ):
                await plugin.request("ohlcvStream")


@pytest.mark.parametrize("params", [{"a": object()}, {("a", "b"): 1}])
async def test_params_that_are_no_json_are_the_caller_s_mistake(params: Any) -> None:
    async with open_module(commands(Answer({"result": True}))) as plugin:
        with pytest.raises(StreamUsageError, match="the params of 'getMarkets' cannot be written as JSON"):
            await plugin.request("getMarkets", params)
        assert (await plugin.request("getMarkets", {"since": dt.date(2026, 1, 2)})).json() is None


async def test_a_trap_and_a_timeout_are_told_and_the_next_request_finds_a_fresh_guest() -> None:
    wasm = commands(on("trap", then="trap"), on("loop", then="loop"), on("getMarkets", {"result": True, "data": []}))
    crossings: list[Crossing] = []
    async with open_module(wasm, observer=crossings.append, bounds=Bounds(overdue_after=HANG)) as plugin:
        with pytest.raises(PluginTrapError):
            await plugin.request("trap")
        assert (await plugin.request("getMarkets")).json() == []
        for seconds in (0.1, 1.0, 10.0):  # a busy machine may need more than the first of them to ask at all
            with pytest.raises(PluginTimeoutError) as caught:
                await plugin.request("loop", timeout=seconds)
            if given(crossings)[-1] == "loop":
                break
        assert f"handle_command did not return within {seconds:g} s. Its guest was cancelled" in str(caught.value)
        assert (await plugin.request("getMarkets")).json() == []
    assert len({c.guest for c in crossings if c.name == "handle_command"}) == 3


async def test_the_time_covers_the_wait_for_other_calls() -> None:
    wasm = commands(on("loop", then="loop"), on("getMarkets", {"result": True, "data": []}))
    crossings: list[Crossing] = []
    async with open_module(wasm, observer=crossings.append, bounds=Bounds(overdue_after=0.05)) as plugin:
        slow = asyncio.create_task(plugin.request("loop", timeout=FOREVER))
        await until(lambda: given(crossings) == ["loop"], "the guest is busy")
        with pytest.raises(PluginTimeoutError, match=r"within 0\.05 s\. Other calls to the plugin came first"):
            await plugin.request("getMarkets", timeout=0.05)
        slow.cancel()
        await asyncio.wait([slow])
    assert given(crossings) == ["loop"]


async def test_requests_of_a_closed_plugin_are_refused() -> None:
    crossings: list[Crossing] = []
    async with open_module(commands(on("loop", then="loop")), observer=crossings.append) as plugin:
        running = asyncio.create_task(plugin.request("loop", timeout=FOREVER))
        await until(lambda: given(crossings) == ["loop"], "it runs")
    with pytest.raises(GuestStoppedError):
        await running
    with pytest.raises(StreamUsageError, match="has been closed"):
        await plugin.request("loop")
