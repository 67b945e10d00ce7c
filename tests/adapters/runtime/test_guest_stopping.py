"""How a guest ends: deadlines, stops, what cannot be stopped, and who is released when.

Whatever is to be ended here would go on for ever by itself, so that coming to an end at all is the proof.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from typing import TYPE_CHECKING

import pytest

from adapters.runtime import compiling as room
from adapters.runtime.engine import InstantiationError
from adapters.runtime.errors import GuestStoppedError, PluginTimeoutError
from adapters.runtime.watch import Watch
from tests.adapters.runtime.guests import Attentive, Clock, Turnstile
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    from adapters.runtime.guest import Guest
    from tests.adapters.runtime.conftest import MakeGuest

#: For guests that are held up until the test lets them go.
HASTY = Watch(linger_after=0.05)


async def has_ended(guest: Guest) -> None:
    assert await asyncio.to_thread(guest.wait, HANG)


async def closing(guest: Guest) -> None:
    """Close it; that this returns without its lingering is what is to be proven."""
    async with asyncio.timeout(HANG):
        await guest.aclose()
    assert not guest.lingering


@pytest.mark.parametrize("use", ["call", "attempt"])
async def test_a_deadline_ends_a_loop_and_discards_the_guest(make_guest: MakeGuest, use: str) -> None:
    clock, turnstile = Clock(), Turnstile()
    watch = Watch(linger_after=60 * HANG, clock=clock)
    guest = make_guest(turnstile, watch=watch)
    running = asyncio.create_task(getattr(guest, use)("loop", b"", timeout=3_600))
    await turnstile.reached()
    turnstile.open()
    clock.skip(3_600)
    watch.look(clock())
    with pytest.raises(PluginTimeoutError) as caught:
        await asyncio.wait_for(running, HANG)
    assert (caught.value.plugin, caught.value.export, caught.value.timeout) == ("example", "loop", 3_600)
    assert not guest.usable
    assert not guest.lingering
    with pytest.raises(GuestStoppedError):
        await guest.call("echo", b"x")


async def test_a_deadline_counts_from_when_the_call_begins_and_ends_with_it(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile)
    clock = guest._watch.clock
    assert await guest.call("echo", b"it is there") == b"it is there"
    assert guest.check(math.inf) is None  # nothing is running
    first = asyncio.create_task(guest.call("host", b"first"))
    await turnstile.reached()
    second = asyncio.create_task(guest.call("host", b"second", timeout=3_600))
    await asyncio.sleep(0)
    assert guest.check(math.inf) is None  # the second does not count yet
    before = clock()
    turnstile.open()
    await turnstile.reached()
    due = guest.check(clock())
    assert due is not None
    assert before + 3_600 <= due <= clock() + 3_600
    turnstile.open()
    assert (await first, await second) == (b"first", b"second")
    assert await guest.call("echo", b"third") == b"third"
    assert guest.check(math.inf) is None  # past the deadline of a call that has ended
    assert guest.usable
    await guest.aclose()
    assert guest.check(math.inf) is None


async def test_a_deadline_of_one_guest_leaves_its_siblings_alone(make_guest: MakeGuest) -> None:
    clock, turnstile, other_turnstile = Clock(), Turnstile(), Turnstile()
    watch = Watch(linger_after=60 * HANG, clock=clock)
    looping, other = make_guest(turnstile, watch=watch), make_guest(other_turnstile, watch=watch)
    ended = asyncio.create_task(looping.call("loop", b"", timeout=60))
    running = asyncio.create_task(other.call("host", b"x", timeout=3_600))
    await turnstile.reached()
    await other_turnstile.reached()
    turnstile.open()
    clock.skip(60)
    watch.look(clock())
    with pytest.raises(PluginTimeoutError):
        await asyncio.wait_for(ended, HANG)
    other_turnstile.open()
    assert await running == b"x"
    assert other.usable


async def test_a_deadline_interrupts_a_host_function_that_looks_at_the_flag(make_guest: MakeGuest) -> None:
    host = Attentive()
    guest = host.guest = make_guest(host)
    with pytest.raises(PluginTimeoutError):
        await asyncio.wait_for(guest.call("host", b"x", timeout=0.1), HANG)
    assert not guest.lingering
    assert not guest.usable


@pytest.mark.parametrize("export", ["loop", "host_for_ever", "nap_for_ever", "sleep"])
async def test_stopping_ends_guest_code_that_never_ends(make_guest: MakeGuest, export: str) -> None:
    running = threading.Event()

    def host(request: bytes) -> bytes:
        running.set()
        return request

    guest = make_guest(host)
    call = asyncio.create_task(guest.call(export, b"x"))
    assert await asyncio.to_thread(running.wait, HANG)
    await closing(guest)
    with pytest.raises(GuestStoppedError):
        await call


async def test_stopping_ends_a_host_function_that_looks_at_the_flag(make_guest: MakeGuest) -> None:
    host = Attentive()
    guest = host.guest = make_guest(host)
    running = asyncio.create_task(guest.call("host", b"x"))
    await host.reached()
    await closing(guest)
    with pytest.raises(GuestStoppedError):
        await running


async def test_calls_that_wait_are_refused_when_the_guest_is_stopped_and_so_are_later_ones(
    make_guest: MakeGuest,
) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile)
    running = asyncio.create_task(guest.call("host", b"x"))
    await turnstile.reached()
    waiting = [asyncio.create_task(guest.call("count", b"")) for _ in range(3)]
    await asyncio.sleep(0)
    guest.stop()
    guest.stop()
    late = asyncio.create_task(guest.call("count", b""))
    await asyncio.sleep(0)
    turnstile.open()
    for task in (*waiting, late):
        with pytest.raises(GuestStoppedError):
            await task
    await has_ended(guest)
    with pytest.raises(GuestStoppedError):
        await guest.call("count", b"")
    # Whether the cancel came before the rest of the running call was done is open; that its caller hears is not.
    [ended] = await asyncio.gather(running, return_exceptions=True)
    assert ended == b"x" or isinstance(ended, GuestStoppedError)


async def test_a_guest_that_cannot_be_stopped_lingers_releases_its_callers_and_is_reaped_when_it_wakes(
    make_guest: MakeGuest, caplog: pytest.LogCaptureFixture
) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile, watch=HASTY)
    running = asyncio.create_task(guest.call("host", b"x"))
    await turnstile.reached()
    waiting = asyncio.create_task(guest.call("echo", b"x"))
    await asyncio.sleep(0)
    with caplog.at_level(logging.WARNING):
        await guest.aclose()
    for task in (running, waiting, asyncio.create_task(guest.call("count", b""))):
        with pytest.raises(GuestStoppedError):
            await asyncio.wait_for(task, HANG)
    assert not guest.usable
    assert HASTY.lingering() == [guest]
    await until(lambda: caplog.records, "it is told")
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        (
            "compat.plugin.example",
            f"guest {guest.name} does not stop (asleep, or being instantiated); it lingers until it wakes",
        )
    ]
    turnstile.open()
    await has_ended(guest)
    assert HASTY.lingering() == []


async def test_a_guest_that_cannot_be_stopped_at_its_deadline_releases_its_caller_as_timed_out(
    make_guest: MakeGuest,
) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile, watch=HASTY)
    begun = HASTY.clock()
    running = asyncio.create_task(guest.call("host", b"x", timeout=0.1))
    await turnstile.reached()
    waiting = asyncio.create_task(guest.call("echo", b"x"))
    with pytest.raises(PluginTimeoutError) as caught:
        await running
    with pytest.raises(GuestStoppedError, match="echo"):
        await asyncio.wait_for(waiting, HANG)
    assert HASTY.clock() - begun > 0.1 + HASTY.linger_after
    assert caught.value.timeout == 0.1
    await until(lambda: HASTY.lingering() == [guest], "it is counted")
    turnstile.open()
    await has_ended(guest)
    assert HASTY.lingering() == []


async def test_logging_that_raises_when_a_guest_lingers_ends_no_deadline_of_others(make_guest: MakeGuest) -> None:
    turnstile, refused = Turnstile(), threading.Event()

    def broken(_: logging.LogRecord) -> bool:
        refused.set()
        raise KeyError("a bug of the user's filter")

    watch = Watch(linger_after=0.05)
    lingering, other = make_guest(turnstile, watch=watch), make_guest(watch=watch)
    running = asyncio.create_task(lingering.call("host", b"x"))
    await turnstile.reached()
    waiting = asyncio.create_task(lingering.call("echo", b"x"))
    await asyncio.sleep(0)
    logger = logging.getLogger("compat.plugin.example")
    logger.addFilter(broken)
    try:
        await asyncio.wait_for(lingering.aclose(), HANG)
        assert await asyncio.to_thread(refused.wait, HANG)
    finally:
        logger.removeFilter(broken)
    for task in (running, waiting):
        with pytest.raises(GuestStoppedError):
            await asyncio.wait_for(task, HANG)
    with pytest.raises(PluginTimeoutError):
        await asyncio.wait_for(other.call("loop", b"", timeout=0.1), HANG)
    turnstile.open()
    await has_ended(lingering)


@pytest.mark.parametrize("how", ["stopped", "past its deadline"])
async def test_a_guest_lingers_only_after_the_time_that_its_watch_gives(make_guest: MakeGuest, how: str) -> None:
    turnstile = Turnstile()
    watch = Watch(linger_after=10, clock=lambda: 1_000.0)  # it stands still: only the test looks at later times
    guest = make_guest(turnstile, watch=watch)
    running = asyncio.create_task(guest.call("host", b"x", timeout=60))
    await turnstile.reached()
    begun = 1_060.0
    if how == "stopped":
        guest.stop()
        begun = 1_000.0
    assert guest.check(begun + 10) == begun + 10  # and it asks to be looked at again
    assert watch.lingering() == []
    guest.check(begun + 10.1)
    assert watch.lingering() == [guest]
    with pytest.raises(GuestStoppedError if how == "stopped" else PluginTimeoutError):
        await running
    turnstile.open()
    await has_ended(guest)


async def test_a_guest_that_is_instantiated_for_long_lingers_until_then(
    make_guest: MakeGuest, monkeypatch: pytest.MonkeyPatch
) -> None:
    instantiating, go_on = threading.Event(), threading.Event()

    def slow(_: object, __: object) -> None:
        instantiating.set()
        assert go_on.wait(HANG)
        raise InstantiationError("too late")

    monkeypatch.setattr(room, "Instance", slow)
    guest = make_guest(watch=HASTY)
    waiting = asyncio.create_task(guest.call("echo", b""))
    assert await asyncio.to_thread(instantiating.wait, HANG)
    await guest.aclose()
    assert HASTY.lingering() == [guest]
    for task in (waiting, asyncio.create_task(guest.call("count", b""))):
        with pytest.raises(GuestStoppedError):
            await asyncio.wait_for(task, HANG)
    go_on.set()
    await has_ended(guest)
    assert HASTY.lingering() == []


async def test_closing_while_the_module_is_being_instantiated_ends_the_guest(make_guest: MakeGuest) -> None:
    guest = make_guest()
    await closing(guest)
    with pytest.raises(GuestStoppedError):
        await guest.call("echo", b"x")
