"""Generic guests whose ``start_stream`` has returned: which have ended, and which may go on when they are entered."""

from __future__ import annotations

import pytest

from adapters.doors import Scheduling, scheduling_of
from adapters.progress import Progress
from compat import (
    Crossing,
    EventKind,
    NoProgressError,
    StreamState,
    inspect,
)
from tests.support.clocks import FOREVER
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.plugins import FIXTURES
from tests.support.sockets import Connector
from tests.support.standing import (
    ALLOWING,
    CONNECT,
    KEY,
    LOG,
    LONG,
    PUBLISH,
    entries,
    events_of,
    starting,
    written_in,
)
from tests.support.waiting import drain, event_of, told, until

pytestmark = pytest.mark.usefixtures("nothing_left")


@pytest.mark.parametrize(
    ("toolchain", "scheduling"),
    [("rustc", Scheduling.NONE), ("TinyGo", Scheduling.OWN), ("Go cmd/compile", Scheduling.OWN), ("", None)],
)
def test_whether_entering_can_help_is_told_by_the_toolchain(toolchain: str, scheduling: Scheduling | None) -> None:
    wasm = starting()
    report = inspect(written_in(toolchain, wasm) if toolchain else wasm)
    assert scheduling_of(report) is (scheduling or Scheduling.UNKNOWN)


def test_the_toolchains_of_the_fixtures_are_told_as_far_as_they_tell_themselves() -> None:
    found = {fixture.id: scheduling_of(inspect(fixture.path)) for fixture in FIXTURES}
    for name, scheduling in found.items():
        language = next((word for word in ("rust", "zig", "assemblyscript") if word in name), "Go")
        # Zig leaves no mark in what it builds for release.
        expected = {"Go": Scheduling.OWN, "zig": Scheduling.UNKNOWN}.get(language, Scheduling.NONE)
        assert scheduling is expected, name


@pytest.mark.parametrize(
    "wasm",
    [
        starting(),  # which has no export to be entered through
        written_in("rustc", starting(meta=Answer({}, calls=[LOG]))),
    ],
    ids=["no doors", "no scheduler"],
)
async def test_what_has_returned_with_nothing_open_ends_the_stream_at_once(wasm: bytes) -> None:
    crossings: list[Crossing] = []
    async with (
        open_module(wasm, observer=crossings.append, progress=LONG) as plugin,
        plugin.stream(KEY) as stream,
    ):
        assert [item async for item in stream] == []
        assert stream.state is StreamState.STOPPED
    assert len(entries(crossings, "meta")) <= 1  # for the metadata
    assert await told(stream, EventKind.PLUGIN_ERROR, EventKind.GAP, EventKind.PROGRESS) == []


async def test_one_that_may_have_a_scheduler_is_entered_before_its_stream_ends() -> None:
    crossings: list[Crossing] = []
    wasm = written_in("TinyGo", starting(PUBLISH, meta=Answer({}, calls=[LOG])))
    progress = Progress(returned_after=0.1, start_timeout=FOREVER)
    async with (
        open_module(wasm, observer=crossings.append, progress=progress) as plugin,
        plugin.stream(KEY) as stream,
    ):
        assert [item.json() async for item in stream] == [1]
        assert stream.state is StreamState.STOPPED
    assert len(entries(crossings, "meta")) > 2
    assert await told(stream, EventKind.GAP, EventKind.PROGRESS) == []


async def test_one_that_left_nothing_running_though_it_may_have_a_scheduler_fails() -> None:
    wasm = written_in("Go cmd/compile", starting(meta=Answer({}, calls=[LOG])))
    progress = Progress(told_after=0.1, returned_after=0.001, start_timeout=0.3)
    async with open_module(wasm, progress=progress) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(NoProgressError, match="start_stream has got to no connection") as caught:
            await anext(stream)
    assert "start_stream has returned and it was entered" in caught.value.facts
    assert len(await events_of(stream)) == 1


async def test_one_that_closed_its_connection_before_it_returned_has_finished() -> None:
    close = ("ws_close", {"connectionId": "ws-1"})
    wasm = written_in("Go cmd/compile", starting(CONNECT, PUBLISH, close, meta=Answer({}, calls=[LOG])))
    progress = Progress(returned_after=0.05, start_timeout=FOREVER)
    async with open_module(wasm, policy=ALLOWING, progress=progress) as plugin, plugin.stream(KEY) as stream:
        assert [item.json() async for item in stream] == [1]
        assert stream.state is StreamState.STOPPED


async def test_one_that_polls_and_may_have_a_scheduler_is_given_time_for_the_next_request() -> None:
    poll = ("http_request", {"url": "https://stream.simex.example/denied"})
    crossings: list[Crossing] = []
    wasm = written_in("Go cmd/compile", starting(poll, PUBLISH, meta=Answer({}, calls=[LOG])))
    progress = Progress(returned_after=0.001, start_timeout=FOREVER)
    async with (
        open_module(wasm, policy=ALLOWING, observer=crossings.append, progress=progress) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        await until(lambda: len(entries(crossings, "meta")) > 10, "it is entered again and again")
        assert stream.state is StreamState.STREAMING


@pytest.mark.parametrize("toolchain", ["rustc", "unheard of"])
async def test_one_without_a_scheduler_begins_anew_as_soon_as_its_connection_is_lost(toolchain: str) -> None:
    connector = Connector(lambda _: ())
    wasm = written_in(toolchain, starting(CONNECT, PUBLISH, meta=Answer({})))
    async with (
        open_module(wasm, connector, policy=ALLOWING, progress=LONG) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        connector.sockets[0].drop()
        await drain(stream, 1)
        gap, restart = await event_of(stream, EventKind.GAP), await event_of(stream, EventKind.RESTART)
    assert gap.sequence == restart.sequence == 1
    assert "was lost" in restart.message


async def test_one_that_came_back_after_its_connection_was_lost_is_not_waited_for_as_one_that_parked() -> None:
    receive = ("ws_receive", {"connectionId": "ws-1"})  # which fails as soon as it is lost; then it returns
    connector = Connector(lambda _: ())
    wasm = written_in("Go cmd/compile", starting(CONNECT, PUBLISH, receive, meta=Answer({})))
    progress = Progress(lost_after=FOREVER, returned_after=0.05)
    async with open_module(wasm, connector, policy=ALLOWING, progress=progress) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
        connector.sockets[0].drop()
        await drain(stream, 1)
    assert "was lost" in (await event_of(stream, EventKind.RESTART)).message


async def test_one_with_a_scheduler_is_given_time_to_open_another_connection() -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda _: ())
    wasm = written_in("TinyGo", starting(CONNECT, PUBLISH, get_name=Answer("idle")))
    progress = Progress(lost_after=0.1, returned_after=FOREVER)
    async with (
        open_module(wasm, connector, policy=ALLOWING, observer=crossings.append, progress=progress) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        await until(lambda: entries(crossings, "get_name"), "it has parked")
        connector.sockets[0].drop()
        await drain(stream, 1)
    assert len(connector.sockets) == 2
