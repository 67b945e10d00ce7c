"""The legacy adapter: configuration, the guest that streams share, and the end."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from adapters.bounds import Bounds
from adapters.dialects import DIALECTS
from adapters.legacy import legacy_adapter
from compat import (
    AdapterSettings,
    ConfigurationError,
    Crossing,
    Direction,
    Pacing,
    UnsupportedPluginError,
    inspect,
)
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.legacy import FINE, KEY, asked, legacy, on
from tests.support.plugins import wat
from tests.support.sockets import Connector
from tests.support.waiting import HANG, drain, guest_threads

PATIENT = Bounds(farewell_timeout=HANG)
pytestmark = pytest.mark.usefixtures("nothing_left")


async def test_init_is_called_with_or_without_a_configuration() -> None:
    for config in ({}, {"depth": 5, "nested": {"a": [1]}}):
        crossings: list[Crossing] = []
        wasm = legacy("command", init=Answer())
        connector = Connector(lambda _: ["data"])
        settings: dict[str, Any] = {"config": config, "observer": crossings.append}
        async with open_module(wasm, connector, **settings) as plugin, plugin.stream(KEY) as stream:
            await drain(stream, 1)
        assert asked(crossings, "init") == [config]


async def test_credentials_are_texts_and_only_given_if_there_are_any() -> None:
    crossings: list[Crossing] = []
    wasm = legacy("callback", set_credentials=Answer({"success": False, "error": "unknown field"}))
    connector = Connector(lambda _: ["data"])
    async with open_module(wasm, connector, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
    assert asked(crossings, "set_credentials") == []
    for config, problem in (({"depth": 5}, "takes texts only, and depth is none"), ({"a": "b"}, "unknown field")):
        async with open_module(wasm, connector, config=config) as plugin, plugin.stream(KEY) as stream:
            with pytest.raises(ConfigurationError, match=problem):
                await drain(stream, 1)


async def test_declared_defaults_are_given_in_the_dialect_s_form(dialect: str) -> None:
    crossings: list[Crossing] = []
    names = {"callback": "get_credential_fields", "command": "get_configuration_fields"}
    exports: dict[str, Any] = {
        DIALECTS[dialect].configure: Answer({"success": True}),
        names[dialect]: Answer([{"name": "depth", "required": True, "default": 5}]),
    }
    connector = Connector(lambda _: ["data"])
    async with (
        open_module(legacy(dialect, **exports), connector, config={"note": "x"}, observer=crossings.append) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
    given = asked(crossings, DIALECTS[dialect].configure)
    assert given == [{"depth": "5" if dialect == "callback" else 5, "note": "x"}]


async def test_a_plugin_that_takes_no_configuration_says_so(dialect: str) -> None:
    async with open_module(legacy(dialect), config={"a": "b"}) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(ConfigurationError, match=f"does not export {DIALECTS[dialect].configure}"):
            await drain(stream, 1)


async def test_shutdown_is_called_where_there_is_one_and_may_fail() -> None:
    for answer in (FINE, Answer(then="trap"), Answer(error="not now", code=1)):
        crossings: list[Crossing] = []
        connector = Connector(lambda _: ["data"])
        wasm = legacy("command", shutdown=answer)
        async with (
            open_module(wasm, connector, observer=crossings.append, bounds=PATIENT) as plugin,
            plugin.stream(KEY) as stream,
        ):
            await drain(stream, 1)
        assert asked(crossings, "shutdown") == [None]
        names = [c.name for c in crossings if c.direction is Direction.CALL]
        assert names.index("shutdown") > max(i for i, name in enumerate(names) if name == "handle_connection_event")
        assert connector.open == 0


async def test_streams_of_a_plugin_share_guests_and_the_requests_have_a_guest_of_their_own(dialect: str) -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda _: ["data"])
    wasm = legacy(dialect, get_name=Answer("SimEx"))
    async with (
        open_module(wasm, connector, observer=crossings.append, guests=2) as plugin,
        plugin.stream(KEY) as one,
        plugin.stream(KEY) as two,
        plugin.stream(KEY) as three,
    ):
        for stream in (one, two, three):
            await drain(stream, 1)
        assert await plugin.call("get_name") == b"SimEx"
    streaming = {crossing.guest for crossing in crossings if crossing.name == "handle_stream_message"}
    control = {crossing.guest for crossing in crossings if crossing.name == "get_name"}
    assert len(streaming) == 2
    assert len(control) == 1
    assert not streaming & control
    if dialect == "callback":
        ids = [request["streamId"] for request in asked(crossings, "prepare_stream")]
        assert len(set(ids)) == 3


async def test_five_hundred_streams_need_a_handful_of_guests() -> None:
    connector = Connector(lambda _: ["data"])
    wasm, pacing = legacy("command"), Pacing(rate=10_000, burst=1_000)
    async with (
        contextlib.AsyncExitStack() as stack,
        open_module(wasm, connector, pacing=pacing) as plugin,
    ):
        before = set(guest_threads())
        streams = [await stack.enter_async_context(plugin.stream(KEY)) for _ in range(500)]
        assert {(await drain(stream, 1))[0].sequence for stream in streams} == {0}
        assert len(set(guest_threads()) - before) == AdapterSettings().guests == 4
        assert connector.open == 500
    assert connector.open == 0


async def test_a_stream_that_traps_takes_only_those_with_it_that_share_its_guest() -> None:
    feeds = [["data"], ["data"], ["data", "trap"]]
    connector = Connector(lambda number: feeds[number] if number < 3 else ["data"])
    wasm = legacy("command", on("trap", then="trap"))
    async with (
        open_module(wasm, connector, guests=2) as plugin,
        plugin.stream(KEY) as sharing,
        plugin.stream(KEY) as elsewhere,
    ):
        await drain(sharing, 1)
        await drain(elsewhere, 1)
        async with plugin.stream(KEY) as culprit:  # a guest for two: it shares the first one's
            await drain(culprit, 2)
            assert culprit.stats.restarts == 1
        assert elsewhere.stats.restarts == elsewhere.stats.reconnects == 0


def test_a_module_of_no_known_dialect_has_no_legacy_adapter() -> None:
    wasm = wat("traps")
    with pytest.raises(UnsupportedPluginError, match="neither prepare_stream nor handle_command"):
        legacy_adapter("traps", wasm, inspect(wasm), AdapterSettings())
