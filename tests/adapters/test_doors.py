"""The doors of parked guests: which are tried, in what order, and what is remembered of them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
import wasmtime

from adapters.doors import Doors
from adapters.errors import PluginProtocolError
from adapters.progress import Progress
from adapters.recent import Recent
from adapters.shared import PROCESS
from compat import Crossing, Direction, EventKind, inspect
from compat.demo.exchange import Exchange
from tests.support.clocks import FOREVER
from tests.support.echo import echoed, messages, open_module
from tests.support.guests import Answer, guest
from tests.support.plugins import FIXTURES, candle_key, wat_text
from tests.support.simex import candle_of, candles, open_against, unhurried
from tests.support.sockets import Connector
from tests.support.waiting import drain, event_of

if TYPE_CHECKING:
    from detectors.report import ModuleReport

KEY = candle_key()
ORDER = ["plugin_info", "meta", "get_credential_fields", "get_configuration_fields", "get_name"]
INFO = {"name": "made to order", "version": "1", "networkTargets": ["wss://stream.simex.example/*"]}
STARTED = {"success": True}
CONNECT = ("ws_connect", {"url": "wss://stream.simex.example/ws"})
RECEIVE = ("ws_receive", {"connectionId": "ws-1"})
PUBLISH = ("publish_stream_data", {"key": KEY.to_wire(), "data": 1})
PARKING = next(fixture for fixture in FIXTURES if fixture.id == "generic-parking")


def report(*exports: str) -> ModuleReport:
    """The report of a module that exports these beside what starts and stops streams."""
    return inspect(guest({name: Answer({}) for name in ("start_stream", "stop_stream", *exports)}))


def turns(doors: Doors, count: int) -> list[str]:
    """The doors that are tried one after the other where none works."""
    tried = []
    for _ in range(count):
        tried.append(doors.now())
        doors.failed()
    return tried


def entered(crossings: list[Crossing]) -> list[list[str]]:
    """The exports through which each guest was entered once it had parked, equal ones in a row as one."""
    calls: dict[str, list[str]] = {}
    for crossing in crossings:
        if crossing.direction is Direction.CALL:
            calls.setdefault(crossing.guest, []).append(crossing.name)
    parked = [names[names.index("start_stream") + 1 :] for names in calls.values() if "start_stream" in names]
    return [[name for name, _ in itertools.groupby(names) if name != "stop_stream"] for names in parked]


def test_all_doors_are_tried_in_turn_and_then_again() -> None:
    doors = Doors("p", report(*reversed(ORDER)), Recent(8))
    assert turns(doors, 6) == [*ORDER, ORDER[0]]


def test_only_what_a_module_exports_is_a_door_and_what_asks_others_is_none() -> None:
    doors = Doors("p", report("get_name", "meta", "get_timeframes", "list_markets"), Recent(8))
    assert turns(doors, 3) == ["meta", "get_name", "meta"]


def test_a_door_that_works_stays() -> None:
    doors = Doors("p", report(*ORDER), Recent(8))
    doors.failed()
    for _ in range(3):
        assert doors.now() == "meta"
        doors.worked()


def test_the_door_that_worked_is_remembered_for_the_module_and_no_other() -> None:
    remembered: Recent[str] = Recent(8)
    one, other = report(*ORDER), report("plugin_info", "meta", "get_name")
    doors = Doors("p", one, remembered)
    doors.failed()
    doors.failed()
    assert Doors("p", one, remembered).now() == "plugin_info", "that it was tried says nothing"
    doors.worked()
    assert turns(Doors("q", one, remembered), 3) == ORDER[2:]
    assert Doors("p", other, remembered).now() == "plugin_info"


def test_a_door_that_works_no_more_is_remembered_no_more_once_another_does() -> None:
    remembered: Recent[str] = Recent(8)
    module = report(*ORDER)
    doors = Doors("p", module, remembered)
    doors.worked()
    doors.failed()
    assert Doors("p", module, remembered).now() == "plugin_info"
    doors.worked()
    assert Doors("p", module, remembered).now() == "meta"


def test_what_is_remembered_and_not_exported_is_no_door() -> None:
    remembered: Recent[str] = Recent(8)
    module = report("meta", "get_name")
    remembered.put(module.sha256, "plugin_info")
    assert Doors("p", module, remembered).now() == "meta"


def test_a_module_without_a_door_is_at_fault() -> None:
    doors = Doors("p", report("get_timeframes"), Recent(8))
    with pytest.raises(
        PluginProtocolError, match=r"exports nothing that .* \(plugin_info, meta, .*, get_name\)"
    ) as told:
        doors.now()
    assert told.value.plugin == "p"
    assert told.value.export == "start_stream"


@pytest.mark.usefixtures("nothing_left")
async def test_doors_that_do_nothing_while_messages_wait_are_left_once_for_the_module() -> None:
    runs = (
        '(func (export "plugin_info") (result i32)\n    (if (global.get $running) (then (call $run (i32.const 100))))'
    )
    idle = "(call $output (i32.const 0) (i32.const 204)) (i32.const 0))"
    text = wat_text("parks")
    assert runs in text
    moved = (
        f'(func (export "plugin_info") (result i32) {idle} (func (export "meta") (result i32) {idle} '
        + runs.replace("plugin_info", "get_name")
    )
    wasm = bytes(wasmtime.wat2wasm(text.replace(runs, moved)))
    crossings: list[Crossing] = []
    sent = list(messages("constant", 500))
    async with open_module(wasm, Connector(lambda _: sent), observer=crossings.append) as plugin:
        for _ in range(2):
            async with plugin.stream(KEY) as stream:
                assert [echoed(item) for item in await drain(stream, 500)] == sent
                assert stream.stats.gaps == stream.stats.restarts == 0
    first, second = entered(crossings)
    assert first == ["plugin_info", "meta", "get_name"]
    assert second == ["get_name"]


@pytest.mark.usefixtures("nothing_left")
async def test_a_plugin_in_go_that_was_remembered_wrongly_is_entered_as_it_needs() -> None:
    crossings: list[Crossing] = []
    module = inspect(PARKING.path)
    PROCESS.doors.put(module.sha256, "get_name")
    async with (
        Exchange(rate=1_000, mode="replay", limit=300) as exchange,
        open_against(PARKING, exchange, settings=unhurried(observer=crossings.append)) as plugin,
        plugin.stream(KEY) as stream,
    ):
        items = await drain(stream, 300)
        assert [candle_of(item) for item in items] == candles(exchange, range(300))
        assert stream.stats.gaps == stream.stats.restarts == 0
    (doors,) = entered(crossings)
    assert doors[:2] == ["get_name", "plugin_info"]
    assert PROCESS.doors.get(module.sha256) == doors[-1]


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize(
    ("door", "progress", "seen"),
    [
        (
            Answer("idle", calls=[("ws_send", {"connectionId": "ws-1", "message": "{}"})]),
            Progress(standing_after=FOREVER, unasked_after=0.2),
            "it parked, and takes none of the messages that wait any more",
        ),
        (
            Answer("idle", then="loop"),
            Progress(standing_after=2.0, hung_after=2.5),  # what is entered for a second has its own row
            "it runs and makes no host call",
        ),
    ],
    ids=["does something", "does not return"],
)
async def test_what_a_parked_guest_does_where_it_was_entered_decides_for_how_long_messages_may_wait(
    door: Answer, progress: Progress, seen: str
) -> None:
    start = Answer(STARTED, calls=[CONNECT, RECEIVE, PUBLISH])
    exports = {"start_stream": start, "stop_stream": Answer(STARTED), "plugin_info": Answer(INFO), "get_name": door}
    connector = Connector(lambda _: ["1", "2"])
    async with open_module(guest(exports), connector, progress=progress) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
        assert seen in (await event_of(stream, EventKind.RESTART)).message
