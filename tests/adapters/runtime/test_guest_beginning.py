"""A stop that comes as a call begins: whichever comes first, the guest ends, and no cancel is lost."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

import pytest

from adapters.runtime.engine import Instance
from adapters.runtime.errors import GuestStoppedError
from adapters.runtime.watch import Watch
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from adapters.runtime.engine import CallOutcome
    from adapters.runtime.guest import Guest
    from tests.adapters.runtime.conftest import MakeGuest

GUESTS = 300
AT_ONCE = 10


async def stop_soon(guest: Guest, calls: int, turns: int, pause: float) -> None:
    """Ask for a loop without end behind some short calls, and stop the guest after so many turns of its thread."""
    before = [guest.submit(lambda: guest.enter("echo", b""), "echo") for _ in range(calls)]
    endless = guest.submit(lambda: guest.enter_checked("loop_at_once", b""), "loop_at_once")
    for _ in range(turns):
        time.sleep(pause)  # noqa: ASYNC251 - as exactly as can be, and the guest needs no loop
    guest.stop()
    with pytest.raises(GuestStoppedError):
        await asyncio.wait_for(asyncio.wrap_future(endless), HANG)
    assert all(future.done() for future in before)
    assert await asyncio.to_thread(guest.wait, HANG)
    assert not guest.lingering


@pytest.mark.parametrize(("warm", "pause"), [(True, 0.0), (False, 0.003)], ids=["instantiated", "new"])
async def test_no_stop_is_lost_at_whatever_moment_of_a_calls_beginning_it_comes(
    make_guest: MakeGuest, *, warm: bool, pause: float
) -> None:
    numbers = random.Random(20)
    watch = Watch(linger_after=60 * HANG)
    for _ in range(GUESTS // 2 // AT_ONCE):
        guests = [make_guest(watch=watch) for _ in range(AT_ONCE)]
        if warm:
            await asyncio.gather(*(guest.call("echo", b"") for guest in guests))
        await asyncio.gather(*(stop_soon(guest, numbers.randrange(3), numbers.randrange(6), pause) for guest in guests))
    assert watch.lingering() == []


async def test_no_stop_is_lost_as_a_call_is_made(make_guest: MakeGuest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first cancel comes exactly then; those after it come from the watch, when the guest runs."""
    guest = make_guest()
    assert await guest.call("echo", b"x") == b"x"
    call = Instance.call

    def stopped_call(instance: Instance, export: str, data: bytes) -> CallOutcome:
        if export == "loop_at_once":
            guest.stop()
            guest.check(guest._watch.clock())
        return call(instance, export, data)

    monkeypatch.setattr(Instance, "call", stopped_call)
    with pytest.raises(GuestStoppedError):
        await asyncio.wait_for(guest.call("loop_at_once", b""), HANG)
    assert await asyncio.to_thread(guest.wait, HANG)
    assert not guest.lingering
