"""The generic driver: what guests may do to their memory, and how one guest takes over from another."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from adapters.bounds import Bounds
from adapters.host import PluginHost
from compat import ConfigurationError, EventKind, GuestFaultError, StreamEvent, StreamState
from tests.support.clocks import FOREVER
from tests.support.echo import echoed, messages, open_echo
from tests.support.plugins import candle_key
from tests.support.sockets import Connector, SharedFeed, refused
from tests.support.waiting import drain, event_of, guest_threads, told, until

if TYPE_CHECKING:
    from adapters.live_guest import GuestHooks, LiveGuest
    from compat import StreamData
    from tests.support.sockets import Feed

pytestmark = pytest.mark.usefixtures("nothing_left")

#: Guests by how they treat kernel memory, and the messages that it takes until each has shown it.
MEMORY_GUESTS = {"frees-late": 1_000, "reuses-block": 1_000, "reuses-every-1000": 2_200, "reuses-late": 6_200}
KEY = candle_key()


# What guests may do to their memory


@pytest.mark.parametrize(("name", "count"), MEMORY_GUESTS.items())
async def test_messages_arrive_intact_however_the_guest_treats_its_memory(name: str, count: int) -> None:
    await echo_all(name, "constant", count)


@pytest.mark.nightly
@pytest.mark.parametrize("name", MEMORY_GUESTS)
async def test_eight_thousand_messages_of_every_size_arrive_intact(name: str) -> None:
    await echo_all(name, "log-uniform", 8_200)


async def echo_all(name: str, profile: str, count: int) -> None:
    connector = Connector(lambda _: messages(profile, count))
    async with open_echo(name, connector) as plugin, plugin.stream(KEY) as stream:
        for number, sent in enumerate(messages(profile, count)):
            assert echoed(await anext(stream)) == sent, f"message {number}"
        assert stream.stats.gaps == stream.stats.restarts == stream.stats.plugin_errors == 0


@pytest.mark.parametrize(("name", "count"), [("reuses-every-1000", 2_200), ("reuses-late", 6_200)])
async def test_a_guest_that_comes_back_to_a_block_that_is_gone_is_replaced_and_more_is_kept(
    name: str, count: int
) -> None:
    sent = list(messages("constant", count))
    connector = Connector(lambda _: iter(sent))
    async with open_echo(name, connector, retained_memory=0) as plugin:
        async with plugin.stream(KEY) as stream:
            found: list[str] = []
            while found[-count:] != sent:  # a fresh guest begins anew
                found += [echoed(item) for item in await drain(stream, 1)]
        events = await told(stream, EventKind.MEMORY, EventKind.RESTART, EventKind.GAP)
        assert len(connector.sockets) > 1
        for (memory, restart, gap), begins in zip(_triples(events), _beginnings(found, sent), strict=True):
            assert (memory.kind, restart.kind, gap.kind) == (EventKind.MEMORY, EventKind.RESTART, EventKind.GAP)
            assert {memory.sequence, restart.sequence, gap.sequence} == {begins}
            assert "used a block of Extism's memory again" in memory.message
            assert "retained_memory=" in restart.message
        async with plugin.stream(KEY) as stream:
            assert [echoed(item) for item in await drain(stream, count)] == sent
        assert await told(stream, EventKind.MEMORY, EventKind.RESTART) == []


def _triples(events: list[StreamEvent]) -> list[tuple[StreamEvent, ...]]:
    return list(zip(*[iter(events)] * 3, strict=True))


def _beginnings(found: list[str], sent: list[str]) -> list[int]:
    """Where the feed begins anew."""
    begins = [number for number, message in enumerate(found) if message == sent[0]]
    assert begins[0] == 0
    for begin, end in itertools.pairwise([*begins, len(found)]):
        assert found[begin:end] == sent[: end - begin]
    return begins[1:]


async def test_a_guest_that_asks_for_more_than_its_budget_has_failed_and_the_setting_is_named() -> None:
    connector = Connector(lambda _: messages("constant", 10))
    async with open_echo("reuses-block", connector, memory_budget=64) as plugin, plugin.stream(KEY) as stream:
        with pytest.raises(GuestFaultError, match="its blocks may take") as caught:
            await drain(stream, 1)
    assert caught.value.fault == "out-of-memory"
    assert "memory_budget=" in caught.value.remedy


# Handing over


PATIENT = Bounds(handover_timeout=FOREVER)


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> list[GuestHooks]:
    """The hooks of every guest that is made, in order. To call ``worn`` is what the border does for an old guest."""
    make_guest, found = PluginHost.make_guest, []

    async def noting(host: PluginHost, hooks: GuestHooks) -> LiveGuest:
        live = await make_guest(host, hooks)
        found.append(hooks)
        return live

    monkeypatch.setattr(PluginHost, "make_guest", noting)
    return found


async def test_a_worn_guest_is_replaced_without_loss_or_repetition(hooks: list[GuestHooks]) -> None:
    feed = SharedFeed(lambda number: f"{number:06d}")
    connector = Connector(lambda _: feed.listen())
    async with open_echo("reuses-block", connector, bounds=PATIENT) as plugin, plugin.stream(KEY) as stream:
        found: list[StreamData] = []
        asked = 0
        await until(lambda: connector.open == 1, "the guest listens")
        while stream.stats.restarts < 2 or connector.open > 1:  # the predecessors' sockets are closed, too
            feed.say(5)
            found += await drain(stream, 5)
            if stream.stats.restarts == asked < 2 and connector.open == 1:
                hooks[-1].worn()
                asked += 1
        assert [echoed(item) for item in found] == [f"{number:06d}" for number in range(len(found))]
        assert stream.stats.gaps == 0
        assert "as there are numbers for" in (await event_of(stream, EventKind.RESTART)).message


async def test_a_successor_that_cannot_be_made_leaves_the_guest_in_its_place_until_the_next_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made_so_far: list[GuestHooks] = []
    make_guest = PluginHost.make_guest

    async def but_for_the_second(host: PluginHost, hooks: GuestHooks) -> LiveGuest:
        made_so_far.append(hooks)
        if len(made_so_far) == 2:
            raise ConfigurationError(host.name, "it has changed its mind")
        return await make_guest(host, hooks)

    monkeypatch.setattr(PluginHost, "make_guest", but_for_the_second)
    feed = SharedFeed(lambda number: f"{number:06d}")
    connector = Connector(lambda _: feed.listen())
    async with open_echo("reuses-block", connector, bounds=PATIENT) as plugin, plugin.stream(KEY) as stream:
        await until(lambda: connector.open == 1, "the guest listens")
        feed.say(50)
        found = await drain(stream, 50)
        made_so_far[0].worn()
        event = await event_of(stream, EventKind.MEMORY)
        assert "its successor failed" in event.message
        assert "changed its mind" in event.message
        while not stream.stats.restarts:
            feed.say(5)
            found += await drain(stream, 5)
        assert len(made_so_far) == 3
        assert [echoed(item) for item in found] == [f"{number:06d}" for number in range(len(found))]
        assert stream.stats.gaps == 0


async def test_a_successor_that_is_turned_away_leaves_the_guest_in_its_place(hooks: list[GuestHooks]) -> None:
    feed = SharedFeed(lambda number: f"{number:06d}")
    connector = Connector(lambda number: refused(number) if number else feed.listen())
    others = set(guest_threads())
    async with open_echo("parks", connector, bounds=PATIENT) as plugin, plugin.stream(KEY) as stream:
        await until(lambda: connector.open == 1, "the guest listens")
        feed.say(110)  # a parked guest keeps one message to itself
        found = await drain(stream, 100)
        hooks[0].worn()
        event = await event_of(stream, EventKind.MEMORY)
        assert "its successor ended at once" in event.message
        await until(lambda: len(set(guest_threads()) - others) == 1, "the successor is given up")
        feed.say(100)
        found += await drain(stream, 100)
        assert [echoed(item) for item in found] == [f"{number:06d}" for number in range(len(found))]
        assert stream.stats.restarts == stream.stats.gaps == 0


async def test_a_successor_that_sees_another_feed_takes_over_and_the_gap_is_told(hooks: list[GuestHooks]) -> None:
    connector = Connector(lambda connection: (f"{connection}/{number:06d}" for number in itertools.count()))
    async with (
        open_echo("reuses-block", connector, bounds=Bounds(handover_timeout=0.1)) as plugin,
        plugin.stream(KEY) as stream,
    ):
        seen: list[str] = []
        while not stream.stats.restarts or not seen[-1].startswith("1/"):
            seen.append(echoed((await drain(stream, 1))[0]))
            if len(seen) == 100:
                hooks[0].worn()
        restart, gap = await event_of(stream, EventKind.RESTART), await event_of(stream, EventKind.GAP)
    old = [each for each in seen if each.startswith("0/")]
    assert old == [f"0/{number:06d}" for number in range(len(old))]
    first, *_ = new = [int(each.removeprefix("1/")) for each in seen[len(old) :]]
    assert new == list(range(first, first + len(new)))
    assert first < len(old)  # as many are left out as the predecessor delivered meanwhile
    assert gap.sequence == len(old) > 100
    assert "numbers for" in restart.message
    assert "may be missing" in gap.message


async def test_a_stream_can_be_closed_while_a_successor_waits_to_take_over(hooks: list[GuestHooks]) -> None:
    def feed(connection: int) -> Feed:
        return () if connection else (f"{number:06d}" for number in itertools.count())

    connector = Connector(feed)
    async with open_echo("reuses-block", connector, bounds=PATIENT) as plugin, plugin.stream(KEY) as stream:
        await anext(stream)
        hooks[0].worn()
        while connector.open < 2:
            await anext(stream)
        await stream.aclose()  # the successor has nothing in common with its predecessor, and would wait for an hour
        assert stream.state is StreamState.STOPPED
    assert connector.open == 0
    assert await told(stream, EventKind.RESTART, EventKind.GAP) == []


async def test_guests_that_fail_on_what_the_last_was_left_are_left_more_once() -> None:
    async with open_echo("reuses-block") as plugin:
        host = plugin._adapter._host  # type: ignore[attr-defined]
        first = host.allowance.limits.retained
        error = GuestFaultError("p", "e", "stale-block", "came too late", remedy="", retained=first)
        assert host.allowance.grows_after(error)
        assert host.allowance.limits.retained == 4 * first
        assert host.allowance.grows_after(error)  # of another guest, made before that
        assert host.allowance.limits.retained == 4 * first
        assert not host.allowance.grows_after(GuestFaultError("p", "e", "out-of-memory", "has too much", remedy=""))
