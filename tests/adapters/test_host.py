"""What adapters of every kind share: requests, metadata, configuration, and what is never shown."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import wasmtime

from adapters.bounds import Bounds
from adapters.runtime import compiling
from compat import (
    ConfigurationError,
    Crossing,
    Direction,
    GuestStoppedError,
    MachineError,
    PluginCallError,
    PluginTimeoutError,
    PluginTrapError,
    StreamUsageError,
    UnknownExportError,
)
from compat.demo.exchange import Exchange
from tests.support.clocks import FOREVER
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.hosts import CONNECT, INFO, RECEIVE, guests_of, module
from tests.support.plugins import FIXTURES, candle_key
from tests.support.simex import open_against
from tests.support.sockets import Connector
from tests.support.waiting import until

if TYPE_CHECKING:
    from compat import Plugin

pytestmark = pytest.mark.usefixtures("nothing_left")

KEY = candle_key()
SECRET = "correct-horse-battery"
META = {
    "name": "by meta",
    "version": "2",
    "author": "somebody",
    "resources": {"allowedNetworkTargets": [{"pattern": "https://api.simex.example/*"}]},
}


# Requests


async def test_requests_share_a_guest_of_their_own() -> None:
    crossings: list[Crossing] = []
    wasm = module(
        get_name=Answer("SimEx"),
        plugin_info=Answer(INFO),
        start_stream=Answer({"success": True}, calls=[CONNECT, RECEIVE]),
    )
    connector = Connector()
    async with open_module(wasm, connector, observer=crossings.append) as plugin, plugin.stream(KEY):
        await until(lambda: connector.open == 1, "the stream runs")
        assert await plugin.call("get_name") == b"SimEx"
        assert await plugin.call("get_name", "ignored") == b"SimEx"
    assert len(guests_of(crossings, "get_name")) == 2
    assert len(set(guests_of(crossings, "get_name"))) == 1
    assert set(guests_of(crossings, "get_name")).isdisjoint(guests_of(crossings, "start_stream"))
    assert set(guests_of(crossings, "get_name")).isdisjoint(guests_of(crossings, "plugin_info"))


async def test_a_request_reaches_the_plugin_and_its_failure_says_why() -> None:
    wasm = module(
        pick=Answer("found", when="needle"),
        by_output=Answer({"success": False, "error": "no such market"}, code=2),
        by_memory=Answer(error="no such market", code=1),
        silent=Answer(code=3),
    )
    async with open_module(wasm) as plugin:
        assert await plugin.call("pick", b"hay needle hay") == b"found"
        for export, code in (("by_output", 2), ("by_memory", 1)):
            with pytest.raises(PluginCallError) as caught:
                await plugin.call(export)
            assert (caught.value.export, caught.value.code, caught.value.reason) == (export, code, "no such market")
        with pytest.raises(PluginCallError, match="silent failed with return code 3 and no reason"):
            await plugin.call("silent")


async def test_an_unknown_export_is_named_with_those_there_are() -> None:
    async with open_module(module(get_name=Answer("SimEx"))) as plugin:
        with pytest.raises(UnknownExportError, match=r"no function 'get_nmae'.*start_stream, stop_stream, get_name"):
            await plugin.call("get_nmae")
        with pytest.raises(UnknownExportError, match="exports no function 'memory'"):
            await plugin.call("memory")


async def test_what_no_name_leads_to_is_no_export_and_its_call_reaches_no_other() -> None:
    wasm = wasmtime.wat2wasm("""
      (module
        (func $nothing (result i32) (i32.const 0))
        (export "start_stream" (func $nothing)) (export "stop_stream" (func $nothing)) (export "one" (func $nothing))
        (func (export "one\\00two") (result i32) (i32.const 2))
        (func (export "_initialize")) (func (export "takes") (param i32) (result i32) (i32.const 3)))""")
    async with open_module(bytes(wasm)) as plugin:
        for export in ("one\0two", "_initialize", "takes"):
            with pytest.raises(UnknownExportError, match=r"It exports start_stream, stop_stream, one$"):
                await plugin.call(export)
        assert await plugin.call("one") == b""


async def test_after_a_trap_or_a_timeout_the_next_request_finds_a_fresh_guest() -> None:
    crossings: list[Crossing] = []
    wasm = module(get_name=Answer("SimEx"), trap=Answer(then="trap"), loop=Answer(then="loop"))
    async with open_module(wasm, observer=crossings.append) as plugin:
        assert await plugin.call("get_name") == b"SimEx"
        with pytest.raises(PluginTrapError, match="trap trapped"):
            await plugin.call("trap")
        assert await plugin.call("get_name") == b"SimEx"
        with pytest.raises(PluginTimeoutError, match=r"loop did not return within 0\.1 s"):
            await plugin.call("loop", timeout=0.1)
        assert await plugin.call("get_name") == b"SimEx"
    assert len(set(guests_of(crossings, "get_name"))) == 3


async def test_a_request_may_use_http() -> None:
    fixture = next(fixture for fixture in FIXTURES if fixture.id == "generic-blocking")
    async with Exchange() as exchange, open_against(fixture, exchange) as plugin:
        markets = json.loads(await plugin.call("list_markets"))
        assert [market["symbol"] for market in markets] == ["BTC-USDT", "ETH-USDT", "SOL-USDT"]
        assert [request.path for request in exchange.journal.requests] == ["/api/v1/markets"]


async def test_a_request_cannot_publish() -> None:
    crossings: list[Crossing] = []
    publish = ("publish_stream_data", {"key": KEY.to_wire(), "data": 1})
    async with open_module(module(get_name=Answer("x", calls=[publish])), observer=crossings.append) as plugin:
        await plugin.call("get_name")
    (reply,) = [crossing.data for crossing in crossings if crossing.direction is Direction.HOST_RETURN]
    assert json.loads(reply) == {"success": False, "error": "nothing is streamed by this guest"}


async def test_a_closed_plugin_takes_no_requests() -> None:
    plugin = await open_module(module(get_name=Answer("SimEx")))
    assert await plugin.call("get_name") == b"SimEx"
    await plugin.aclose()
    await plugin.aclose()
    with pytest.raises(StreamUsageError, match="has been closed"):
        await plugin.call("get_name")
    with pytest.raises(StreamUsageError, match="has been closed"):
        await plugin.info()


async def test_closing_does_not_wait_for_a_request_or_metadata_that_hangs() -> None:
    for export, ask in (("get_name", _call), ("plugin_info", _info)):
        crossings: list[Crossing] = []
        wasm, bounds = module(**{export: Answer(then="loop")}), Bounds(metadata_timeout=FOREVER)
        plugin = await open_module(wasm, observer=crossings.append, bounds=bounds)
        asking = asyncio.create_task(ask(plugin))
        await until(lambda: bool(guests_of(crossings, export)), "the guest hangs")  # noqa: B023 - awaited in this turn
        await plugin.aclose()
        with pytest.raises(GuestStoppedError, match=f"{export} was not completed"):
            await asking


async def _call(plugin: Plugin) -> object:
    return await plugin.call("get_name", timeout=FOREVER)


async def _info(plugin: Plugin) -> object:
    return await plugin.info()


# Metadata


@pytest.mark.parametrize(
    ("exports", "name", "version", "author", "targets"),
    [
        ({"plugin_info": Answer(INFO)}, "by info", "1", "", ("wss://stream.simex.example/*",)),
        ({"meta": Answer(META)}, "by meta", "2", "somebody", ("https://api.simex.example/*",)),
        (
            {"plugin_info": Answer(INFO), "meta": Answer(META)},
            "by info",
            "1",
            "somebody",
            ("wss://stream.simex.example/*", "https://api.simex.example/*"),
        ),
        ({}, "guest", "", "", ()),
    ],
    ids=["plugin_info", "meta", "both", "neither"],
)
async def test_metadata_is_merged_from_what_there_is(
    exports: dict[str, Answer], name: str, version: str, author: str, targets: tuple[str, ...]
) -> None:
    async with open_module(module(**exports)) as plugin:
        info = await plugin.info()
    assert (info.name, info.version, info.author) == (name, version, author)
    assert info.network_targets == targets
    assert info.problems == ()


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (Answer(then="trap"), "trapped"),
        (Answer(error="no metadata today", code=1), "no metadata today"),
        (Answer("<html>"), "it is not JSON"),
        (Answer(), "it is empty"),
        (Answer([1]), "a JSON list"),
    ],
    ids=["trap", "failure", "text", "nothing", "list"],
)
async def test_half_of_the_metadata_may_be_missing_and_is_told(broken: Answer, problem: str) -> None:
    async with open_module(module(plugin_info=broken, meta=Answer(META))) as plugin:
        info = await plugin.info()
    assert info.name == "by meta"
    (found,) = info.problems
    assert found.startswith("plugin_info: ")
    assert problem in found


async def test_metadata_that_hangs_is_told_and_the_rest_asked_of_a_fresh_guest() -> None:
    crossings: list[Crossing] = []
    wasm = module(plugin_info=Answer(then="loop"), meta=Answer(META))
    async with open_module(wasm, observer=crossings.append, bounds=Bounds(metadata_timeout=0.1)) as plugin:
        info = await plugin.info()
    # Of a busy machine it may be said that the other one did not return in time either.
    assert info.problems[0] == f"plugin_info: {PluginTimeoutError('guest', 'plugin_info', 0.1)}"
    (hung,), (fresh,) = guests_of(crossings, "plugin_info"), guests_of(crossings, "meta")
    assert hung != fresh


async def test_metadata_is_read_once_for_all_who_open_the_same_module() -> None:
    crossings: list[Crossing] = []
    wasm = module(plugin_info=Answer(INFO))
    for name in ("one", "other"):
        async with open_module(wasm, observer=crossings.append, name=name) as plugin:
            assert (await plugin.info()).version == "1"
    assert len(guests_of(crossings, "plugin_info")) == 1


async def test_a_module_without_a_name_of_its_own_is_named_by_each_who_opens_it() -> None:
    wasm = module(meta=Answer({"version": "3"}))
    for name in ("one", "other"):
        async with open_module(wasm, name=name) as plugin:
            info = await plugin.info()
            assert (info.name, info.version) == (name, "3")


async def test_what_failed_once_is_asked_again() -> None:
    crossings: list[Crossing] = []
    wasm = module(plugin_info=Answer(then="trap"))
    for _ in range(2):
        async with open_module(wasm, observer=crossings.append) as plugin:
            assert len((await plugin.info()).problems) == 1
    assert len(guests_of(crossings, "plugin_info")) == 2


async def test_what_the_machine_kept_from_being_asked_is_asked_again_of_the_same_plugin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_module(module(plugin_info=Answer(INFO), get_name=Answer("SimEx"))) as plugin:
        with monkeypatch.context() as patch:
            patch.setattr(compiling, "Instance", no_memory)
            for asked in (plugin.info(), plugin.call("get_name")):
                with pytest.raises(MachineError, match="plugin 'guest': there is no memory left"):
                    await asked
        assert (await plugin.info()).problems == ()
        assert await plugin.call("get_name") == b"SimEx"


def no_memory(*_: object) -> None:
    raise MemoryError


async def test_metadata_is_read_once_and_cannot_reach_anything() -> None:
    crossings: list[Crossing] = []
    wasm = module(plugin_info=Answer(INFO, calls=[CONNECT, ("http_request", {"url": "https://api.simex.example"})]))
    connector = Connector()
    async with open_module(wasm, connector, observer=crossings.append) as plugin:
        one, other = await asyncio.gather(plugin.info(), plugin.info())
        assert one is other is await plugin.info()
        assert one.discrepancies[0].startswith("plugin_info calls ws_connect and http_request, a stub while")
    assert len(guests_of(crossings, "plugin_info")) == 1
    replies = [json.loads(crossing.data) for crossing in crossings if crossing.direction is Direction.HOST_RETURN]
    assert replies == [
        {"success": False, "error": "not available while metadata is read"},
        {"status": 0, "statusCode": 0, "headers": {}, "body": "", "error": "not available while metadata is read"},
    ]
    assert connector.asked == 0


# Optional exports that the host cannot call


def with_extra(extra: str, *exports: str) -> bytes:
    """A generic guest with these exports besides those that it needs, and another that is written out."""
    names = ("start_stream", "stop_stream", *exports)
    functions = " ".join(f'(func (export "{name}") (result i32) i32.const 0)' for name in names)
    return bytes(wasmtime.wat2wasm(f"(module {extra} {functions})"))


@pytest.mark.parametrize("export", ["plugin_info", "meta"])
@pytest.mark.parametrize(
    "written",
    [
        "(global {} i32 (i32.const 0))",
        "(memory {} 1)",
        "(table {} 1 funcref)",
        "(func {} (param i32) (result i32) unreachable)",
        "(func {} unreachable)",
        "(func {} (result i64) unreachable)",
    ],
)
async def test_metadata_of_another_signature_is_never_asked_for(export: str, written: str) -> None:
    crossings: list[Crossing] = []
    wasm = with_extra(written.format(f'(export "{export}")'), "get_name")
    async with open_module(wasm, observer=crossings.append) as plugin:
        info = await plugin.info()
        assert await plugin.call("get_name") == b""
    assert (info.name, info.problems, info.discrepancies) == ("guest", (), ())
    assert guests_of(crossings, export) == []


@pytest.mark.parametrize(
    "written", ["(func {} (param i32) (result i32) unreachable)", "(global {} i32 (i32.const 0))", "(func {})"]
)
async def test_a_configuration_export_of_another_signature_takes_no_configuration(written: str) -> None:
    wasm = with_extra(written.format('(export "plugin_configure")'), "get_name")
    async with open_module(wasm) as plugin:
        assert await plugin.call("get_name") == b""
    async with open_module(wasm, config={"api_key": SECRET}) as plugin:
        with pytest.raises(ConfigurationError, match="it takes none") as caught:
            await plugin.call("get_name")
    assert SECRET not in str(caught.value)
