"""What a host tells a guest and of it: its configuration, what is never shown, and its log records."""

from __future__ import annotations

import asyncio
import json
import logging
import traceback
from typing import Any

import pytest
import wasmtime

from adapters.bounds import Bounds
from compat import (
    ConfigurationError,
    Crossing,
    Direction,
    GuestFaultError,
    GuestStoppedError,
    PluginCallError,
    PluginTimeoutError,
    PluginTrapError,
    Shared,
)
from tests.support.clocks import FOREVER
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.hosts import CONNECT, INFO, RECEIVE, guests_of, module
from tests.support.legacy import asked
from tests.support.plugins import candle_key
from tests.support.sockets import Connector
from tests.support.waiting import HANG, drain, guest_threads, told, until

pytestmark = pytest.mark.usefixtures("nothing_left")

KEY = candle_key()
SECRET = "correct-horse-battery"


def log(event_type: str, message: str, **fields: Any) -> tuple[str, object]:
    return "log_record", {"pluginId": "x", "eventType": event_type, "message": message, **fields}


# Configuration, and what is never shown


async def test_every_guest_is_configured_before_it_is_used() -> None:
    crossings: list[Crossing] = []
    wasm = module(plugin_configure=Answer(), get_name=Answer("SimEx"), trap=Answer(then="trap"))
    async with open_module(wasm, config={"api_key": SECRET}, observer=crossings.append) as plugin:
        await plugin.call("get_name")
        with pytest.raises(PluginTrapError):
            await plugin.call("trap")
        await plugin.call("get_name")
    assert len(set(guests_of(crossings, "plugin_configure"))) == 2


FIELDS = [{"name": "api_key", "required": True}, {"name": "depth", "default": 5}, {"name": "note"}]


async def test_what_is_required_is_asked_for_before_any_guest_is_made_that_could_connect() -> None:
    crossings: list[Crossing] = []
    wasm = module(
        plugin_info=Answer(INFO),
        plugin_configure=Answer(),
        get_credential_fields=Answer(FIELDS),
        start_stream=Answer({"success": True}, calls=[CONNECT]),
    )
    connector = Connector()
    async with open_module(wasm, connector, observer=crossings.append) as plugin:
        async with plugin.stream(KEY) as stream:
            with pytest.raises(ConfigurationError) as caught:
                await drain(stream, 1)
        assert caught.value.missing == ("api_key",)
        assert json.loads(await plugin.call("get_credential_fields")) == FIELDS
    assert not connector.sockets
    assert {c.name for c in crossings if c.direction is Direction.CALL} == {"plugin_info", "get_credential_fields"}


async def test_a_guest_is_given_the_declared_defaults_too() -> None:
    crossings: list[Crossing] = []
    wasm = module(plugin_configure=Answer(), get_credential_fields=Answer(FIELDS), get_name=Answer("x"))
    async with open_module(wasm, config={"api_key": SECRET}, observer=crossings.append) as plugin:
        await plugin.call("get_name")
    assert asked(crossings, "plugin_configure") == [{"api_key": SECRET, "depth": "5"}]


async def test_a_name_that_is_nearly_a_declared_one_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    wasm = module(plugin_configure=Answer(), get_credential_fields=Answer(FIELDS), trap=Answer(then="trap"))
    async with open_module(wasm, config={"api_key": SECRET, "dpeth": 9, "colour": "red"}) as plugin:
        for _ in range(2):
            with pytest.raises(PluginTrapError):
                await plugin.call("trap")
    warned = [(record.levelno, record.getMessage()) for record in caplog.records if "configuration field" in record.msg]
    assert warned == [(logging.WARNING, "the plugin declares no configuration field 'dpeth'; is 'depth' meant?")]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(error=f"key {SECRET} has expired", code=1),
        Answer({"success": False, "error": f"key {SECRET} has expired"}),
        Answer({"success": False, "error": f"key {SECRET} has expired"}, code=1),
    ],
    ids=["error memory", "success false", "code and output"],
)
async def test_a_refused_configuration_is_told_without_its_values(answer: Answer) -> None:
    async with open_module(module(plugin_configure=answer, get_name=Answer("x")), config={"api_key": SECRET}) as plugin:
        with pytest.raises(ConfigurationError, match=r"plugin_configure: key \*\*\* has expired") as caught:
            await plugin.call("get_name")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


async def test_a_plugin_that_traps_or_hangs_while_it_is_configured_leaves_nothing() -> None:
    for then, kind, bounds in (
        ("trap", PluginTrapError, Bounds()),
        ("loop", PluginTimeoutError, Bounds(configure_timeout=0.1)),
    ):
        wasm = module(plugin_configure=Answer(then=then), get_name=Answer("x"))
        async with open_module(wasm, config={"a": "b"}, bounds=bounds) as plugin:
            with pytest.raises(kind, match="plugin_configure"):
                await plugin.call("get_name")


HANGS_AT_FIRST = """
  (module
    (import "env" "log_record" (func $log (param i64) (result i64)))
    (func (export "_initialize") (loop $for_ever (br $for_ever)))
    (func (export "plugin_configure") (result i32) (i32.const 0))
    (func (export "get_name") (result i32) (i32.const 0))
    (func (export "start_stream") (result i32) (i32.const 0))
    (func (export "stop_stream") (result i32) (i32.const 0)))"""


@pytest.mark.parametrize(
    "wasm",
    [module(plugin_configure=Answer(then="loop"), get_name=Answer("x")), bytes(wasmtime.wat2wasm(HANGS_AT_FIRST))],
    ids=["configuration", "initialisation"],
)
async def test_closing_stops_a_guest_that_hangs_while_it_is_made(wasm: bytes) -> None:
    before = set(guest_threads())
    bounds = Bounds(initialise_timeout=FOREVER, configure_timeout=FOREVER)
    plugin = await open_module(wasm, config={"a": "b"}, bounds=bounds)
    asking = [asyncio.create_task(plugin.call("get_name", timeout=FOREVER)) for _ in range(3)]
    await until(lambda: set(guest_threads()) - before, "the guest is being made")
    made = set(guest_threads()) - before
    await asyncio.wait_for(plugin.aclose(), HANG)
    for task in asking:
        with pytest.raises(GuestStoppedError, match="initialisation was not completed"):
            await task
    assert len(made | set(guest_threads()) - before) == 1


async def test_whoever_is_cancelled_while_a_guest_is_made_leaves_it_to_the_next() -> None:
    crossings: list[Crossing] = []
    wasm = module(plugin_configure=Answer(then="loop"), get_name=Answer("x"))
    async with open_module(
        wasm, config={"a": "b"}, bounds=Bounds(configure_timeout=FOREVER), observer=crossings.append
    ) as plugin:
        first = asyncio.create_task(plugin.call("get_name", timeout=FOREVER))
        await until(lambda: guests_of(crossings, "plugin_configure"), "it is configured")
        other = asyncio.create_task(plugin.call("get_name", timeout=FOREVER))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await until(lambda: len(guests_of(crossings, "plugin_configure")) == 2, "the next is configured")
    with pytest.raises(GuestStoppedError):
        await other


async def test_an_answer_to_the_configuration_that_is_no_object_is_no_refusal() -> None:
    async with open_module(module(plugin_configure=Answer("ok"), get_name=Answer("x")), config={"a": "b"}) as plugin:
        assert await plugin.call("get_name") == b"x"


async def test_secrets_appear_in_no_error_event_or_log_record(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wasm = module(
        plugin_info=Answer(INFO),
        plugin_configure=Answer(calls=[log("info", f"configured with {SECRET}", data={"key": SECRET})]),
        start_stream=Answer({"success": False, "error": f"{SECRET} is not a key"}, calls=[CONNECT], code=1),
        get_name=Answer(error=f"{SECRET} is not a key", code=1),
        get_ohlcv=Answer(error="7654321, in-the-list and in-the-object are true", code=1),
    )
    config = {"api_key": SECRET, "flag": True, "number": 7654321, "deep": ["in-the-list", {"a": "in-the-object"}]}
    async with open_module(wasm, config=config) as plugin:
        errors: list[BaseException] = []
        async with plugin.stream(KEY) as stream:
            with pytest.raises(Exception, match=r"\*\*\* is not a key") as caught:
                await anext(stream)
            errors.append(caught.value)
        with pytest.raises(PluginCallError, match=r"\*\*\* is not a key") as called:
            await plugin.call("get_name")
        errors.append(called.value)
        with pytest.raises(PluginCallError, match=r"\*\*\*, \*\*\* and \*\*\* are true"):
            await plugin.call("get_ohlcv")
        shown = [line for error in errors for line in traceback.format_exception(error)]
        shown += [event.message for event in await told(stream)]
    assert SECRET not in "".join(shown)
    assert SECRET not in caplog.text
    assert "configured with ***" in caplog.text


# Log records


async def test_log_records_go_to_a_logger_named_after_the_plugin(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    levels = {
        "debug": logging.DEBUG,
        "info": logging.INFO,
        "warn": logging.WARNING,
        "ERROR": logging.ERROR,
        "fatal": logging.CRITICAL,
        "market-opened": logging.INFO,
    }
    calls = [log(name, f"a {name} record") for name in levels]
    calls.append(log("info", "with data", data={"n": 1}))
    async with open_module(module(get_name=Answer("x", calls=calls))) as plugin:
        await plugin.call("get_name")
        records = [record for record in caplog.records if record.name == "compat.plugin.guest"]
    assert [(record.levelno, record.getMessage()) for record in records[:-1]] == [
        (level, f"a {name} record") for name, level in levels.items()
    ]
    assert records[-1].getMessage() == "with data {'n': 1}"


async def test_log_records_go_to_a_logger_of_the_users_choice(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("somebody.elses")
    calls = [log("warn", "100% done")]
    async with open_module(module(get_name=Answer("x", calls=calls)), logger=logger) as plugin:
        await plugin.call("get_name")
    assert [record.name for record in caplog.records if record.getMessage() == "100% done"] == ["somebody.elses"]


async def test_what_a_guest_complains_about_while_it_is_stopped_wakes_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    start = Answer({"success": True}, calls=[CONNECT, RECEIVE, log("error", "receive failed")])
    connector = Connector()
    wasm = module(start_stream=start, plugin_info=Answer(INFO))
    async with open_module(wasm, connector, bounds=Bounds(leave_timeout=HANG)) as plugin, plugin.stream(KEY):
        await until(lambda: connector.open == 1, "the guest waits")
    (record,) = [record for record in caplog.records if record.getMessage() == "receive failed"]
    assert (record.name, record.levelno) == ("compat.plugin.guest", logging.DEBUG)


async def test_a_request_whose_block_never_was_is_a_fault_that_ends_the_stream() -> None:
    nowhere = """
      (module
        (import "env" "publish_stream_data" (func $publish (param i64) (result i64)))
        (func (export "start_stream") (result i32) (drop (call $publish (i64.const 123456))) (i32.const 0))
        (func (export "stop_stream") (result i32) (i32.const 0)))"""
    async with open_module(bytes(wasmtime.wat2wasm(nowhere))) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(GuestFaultError, match=r"start_stream used an offset .* never given: 0x1e240") as caught:
            await drain(stream, 1)
    assert (caught.value.plugin, caught.value.fault) == ("guest", "unknown-block")
    assert stream.stats.received == 0


#: Calls itself what stands in its configuration under "info", and outputs the same when it is asked.
READS_CONFIG = """
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u64" (func $store (param i64 i64)))
  (import "extism:host/env" "length" (func $length (param i64) (result i64)))
  (import "extism:host/env" "config_get" (func $config (param i64) (result i64)))
  (import "extism:host/env" "output_set" (func $output (param i64 i64)))
  (memory (export "memory") 1)
  (func $say (result i32) (local $block i64)
    (local.set $block (call $alloc (i64.const 4)))
    (call $store (local.get $block) (i64.const 0x6f666e69))  ;; info
    (local.set $block (call $config (local.get $block)))
    (call $output (local.get $block) (call $length (local.get $block)))
    (i32.const 0))
  (func $nothing (result i32) (i32.const 0))
  (export "plugin_info" (func $say))
  (export "say" (func $say))
  (export "plugin_configure" (func $nothing))
  (export "start_stream" (func $nothing))
  (export "stop_stream" (func $nothing)))
"""


async def test_what_is_kept_of_a_module_for_all_who_open_it_holds_nobodys_configuration() -> None:
    wasm = bytes(wasmtime.wat2wasm(READS_CONFIG))
    shared = Shared()
    for value in ('{"name": "one"}', '{"name": "other"}'):
        async with open_module(wasm, config={"info": value}, shared=shared) as plugin:
            assert (await plugin.info()).name == plugin.name
            assert await plugin.call("say") == value.encode()
