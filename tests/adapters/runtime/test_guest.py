"""One guest on its thread: calls in order, their failures, and what is seen of them."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest
import wasmtime

from adapters.errors import PluginCallError
from adapters.observe import Crossing, Direction
from adapters.runtime.errors import CompanionError, GuestStoppedError, PluginExitError, PluginTrapError
from adapters.runtime.guest import Guest
from tests.adapters.runtime.guests import Turnstile, border_of, echo, guest_wasm, module
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from tests.adapters.runtime.conftest import MakeGuest


async def test_a_call_returns_its_output(make_guest: MakeGuest) -> None:
    guest = make_guest(echo)
    assert await guest.call("echo", b"input") == b"input"
    assert await guest.call("host", b"through the host", timeout=HANG) == b"through the host"
    assert guest.usable


async def test_calls_are_run_one_after_the_other_in_their_order(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    events: list[tuple[str, bytes]] = []

    def host(data: bytes) -> bytes:
        events.append(("in", data))
        if data == b"0":
            turnstile(data)  # all others are queued meanwhile
        events.append(("out", data))
        return data

    guest = make_guest(host)
    inputs = [b"%d" % number for number in range(50)]
    running = asyncio.gather(*(guest.call("host", data) for data in inputs))
    await turnstile.reached()
    turnstile.open()
    assert await running == inputs
    assert events == [(way, data) for data in inputs for way in ("in", "out")]


async def test_everything_runs_on_the_guests_own_thread(make_guest: MakeGuest) -> None:
    threads: set[str] = set()

    def host(request: bytes) -> bytes:
        threads.add(threading.current_thread().name)
        return request

    guest = make_guest(host)
    await guest.call("host", b"x")
    name = await asyncio.wrap_future(guest.submit(lambda: threading.current_thread().name, "work"))
    assert threads == {name} == {f"guest {guest.name}"}


async def test_work_on_the_guests_thread_may_enter_it_several_times(make_guest: MakeGuest) -> None:
    guest = make_guest()
    work = lambda: [guest.enter_checked("count", b"") for _ in range(3)]  # noqa: E731 - it is handed over, not named
    assert await asyncio.wrap_future(guest.submit(work, "work")) == [b"1", b"2", b"3"]


async def test_what_work_raises_is_raised_to_whoever_waits(make_guest: MakeGuest) -> None:
    guest = make_guest()

    def fail() -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        await asyncio.wrap_future(guest.submit(fail, "work"))
    assert await guest.call("echo", b"x") == b"x"


@pytest.mark.parametrize(
    ("export", "code", "reason"),
    [("fail_by_memory", 1, "from error memory"), ("fail_by_output", 1, "from the output"), ("fail_silently", 7, "")],
)
async def test_a_failure_keeps_its_code_and_reason_and_the_guest_lives(
    make_guest: MakeGuest, export: str, code: int, reason: str
) -> None:
    guest = make_guest()
    with pytest.raises(PluginCallError) as caught:
        await guest.call(export, b"")
    error = caught.value
    assert (error.plugin, error.export, error.code, error.reason) == ("example", export, code, reason)
    assert await guest.call("echo", b"x") == b"x"


async def test_an_attempt_returns_the_plugins_own_failure_with_its_output(make_guest: MakeGuest) -> None:
    outcome = await make_guest().attempt("fail_by_output", b"")
    assert (outcome.ok, outcome.code) == (False, 1)
    assert b"from the output" in outcome.output


async def test_secrets_are_taken_out_of_a_plugins_words(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=module(FAILS), redact=lambda text: text.replace("s3cret", "***"))
    with pytest.raises(PluginCallError, match=r"the key \*\*\* is wrong"):
        await guest.call("run", b"")
    assert guest.reason_of(await guest.attempt("run", b"")) == "the key *** is wrong"


async def test_secrets_are_taken_out_of_a_backtrace(make_guest: MakeGuest) -> None:
    with pytest.raises(PluginTrapError) as caught:
        await make_guest(redact=lambda text: text.replace("backtrace", "***")).call("trap", b"")
    assert "wasm ***" in caught.value.trace
    assert "backtrace:" not in caught.value.trace


async def test_a_guest_is_called_as_its_plugin_unless_it_has_a_name_of_its_own() -> None:
    guest = Guest(guest_wasm(), plugin="example", border=border_of())
    assert guest.name == "example"
    await guest.aclose()


FAILS = """
  (data (i32.const 0) "the key s3cret is wrong")
  (func (export "run") (result i32)
    (call $error_set (call $block (i32.const 0) (i32.const 23)))
    (i32.const 1))
"""


async def test_a_guest_that_trapped_is_discarded(make_guest: MakeGuest) -> None:
    guest = make_guest()
    with pytest.raises(PluginTrapError) as caught:
        await guest.call("trap", b"")
    assert (caught.value.plugin, caught.value.export, caught.value.said) == ("example", "trap", "")
    assert "wasm backtrace" in caught.value.trace
    assert not guest.usable
    with pytest.raises(GuestStoppedError):
        await guest.call("echo", b"x")


@pytest.mark.parametrize("use", ["call", "attempt"])
@pytest.mark.parametrize("code", [0, 3])
async def test_a_guest_that_ended_itself_is_discarded_and_its_code_told(
    make_guest: MakeGuest, code: int, use: str
) -> None:
    guest = make_guest()
    with pytest.raises(PluginExitError, match=f"exit_{code} ended the plugin, by proc_exit with code {code}") as caught:
        await getattr(guest, use)(f"exit_{code}", b"")
    assert (caught.value.plugin, caught.value.export, caught.value.code) == ("example", f"exit_{code}", code)
    assert "return instead" in caught.value.remedy
    assert not guest.usable


async def test_a_trap_is_told_with_its_cause_or_place(make_guest: MakeGuest) -> None:
    with pytest.raises(PluginTrapError) as caught:
        await make_guest().call("trap", b"")
    assert not str(caught.value).endswith("backtrace:")


@pytest.mark.parametrize("use", ["call", "attempt"])
async def test_what_a_host_function_raises_surfaces_at_the_call_and_discards_the_guest(
    make_guest: MakeGuest, use: str
) -> None:
    def host(_: bytes) -> bytes:
        raise KeyError("a bug of the host")

    guest = make_guest(host)
    with pytest.raises(KeyError, match="a bug of the host"):
        await getattr(guest, use)("host_for_ever", b"")
    assert not guest.usable


async def test_a_call_that_nobody_waits_for_any_more_is_not_run(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile)
    running = asyncio.create_task(guest.call("host", b"x"))
    await turnstile.reached()
    given_up = asyncio.create_task(guest.call("count", b""))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    turnstile.open()
    await running
    assert await guest.call("count", b"") == b"1"


async def test_a_caller_that_gives_up_a_running_call_does_no_harm(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile)
    running = asyncio.create_task(guest.call("host", b"x"))
    await turnstile.reached()
    running.cancel()
    await asyncio.wait([running])
    turnstile.open()
    assert await guest.call("echo", b"next") == b"next"


async def test_work_that_goes_on_after_a_trap_cannot_enter_the_guest_again(make_guest: MakeGuest) -> None:
    guest = make_guest()

    def work() -> None:
        assert guest.enter("trap", b"").trapped
        guest.enter("echo", b"")

    with pytest.raises(GuestStoppedError):
        await asyncio.wrap_future(guest.submit(work, "work"))


async def test_a_module_that_cannot_be_instantiated_is_told_at_every_call(make_guest: MakeGuest) -> None:
    wat = '(module (import "env" "missing" (func)) (func (export "run") (result i32) (i32.const 0)))'
    guest = make_guest(wasm=bytes(wasmtime.wat2wasm(wat)))
    for _ in range(2):
        with pytest.raises(PluginTrapError) as caught:
            await guest.call("run", b"")
        assert caught.value.export == ""
        assert "missing" in caught.value.trace
    assert not guest.usable


async def test_a_module_that_cannot_have_a_companion_is_told_at_every_call(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=bytes(wasmtime.wat2wasm('(module (import "env" "memory" (memory 1)))')))
    for _ in range(2):
        with pytest.raises(CompanionError, match="memory"):
            await guest.call("run", b"")
    assert not guest.usable


async def test_calls_are_observed_on_both_sides(make_guest: MakeGuest) -> None:
    seen: list[Crossing] = []
    guest = make_guest(observer=seen.append)
    await guest.call("echo", b"input")
    with pytest.raises(PluginCallError):
        await guest.call("fail_by_output", b"")
    assert {item.guest for item in seen} == {guest.name}
    assert [(item.direction, item.name, item.data) for item in seen] == [
        (Direction.CALL, "echo", b"input"),
        (Direction.RETURN, "echo", b"input"),
        (Direction.CALL, "fail_by_output", b""),
        (Direction.RETURN, "fail_by_output", b'{"success":false,"error":"from the output"}'),
    ]
    assert [item.timestamp for item in seen] == sorted(item.timestamp for item in seen)


async def test_what_an_observer_raises_surfaces_at_the_call(make_guest: MakeGuest) -> None:
    def observe(_: Crossing) -> None:
        raise KeyError("a bug of the observer")

    with pytest.raises(KeyError):
        await make_guest(observer=observe).call("echo", b"")


async def test_requests_and_replies_of_host_functions_are_observed_within_their_call(make_guest: MakeGuest) -> None:
    seen: list[Crossing] = []
    guest = make_guest(bytes.upper, observer=seen.append)
    begun = time.monotonic_ns()
    await guest.call("host", b"request")
    assert [(item.guest, item.direction, item.name, item.data) for item in seen] == [
        (guest.name, Direction.CALL, "host", b"request"),
        (guest.name, Direction.HOST_CALL, "ws_send", b"request"),
        (guest.name, Direction.HOST_RETURN, "ws_send", b"REQUEST"),
        (guest.name, Direction.RETURN, "host", b"REQUEST"),
    ]
    times = [begun, *(item.timestamp for item in seen), time.monotonic_ns()]
    assert times == sorted(times)


async def test_the_host_calls_of_a_guest_are_counted(make_guest: MakeGuest) -> None:
    guest = make_guest(echo)
    for export in ("host", "echo", "host_user"):
        await guest.call(export, b"x")
    assert guest.border.calls == 2


async def test_many_guests_come_and_go_without_leaving_a_thread(make_guest: MakeGuest) -> None:
    guests = [make_guest() for _ in range(20)]
    assert await asyncio.gather(*(guest.call("echo", b"x") for guest in guests)) == [b"x"] * 20
    await asyncio.gather(*(guest.aclose() for guest in guests))
    for guest in guests:
        guest._thread.join(HANG)
    assert [guest.name for guest in guests if guest._thread.is_alive()] == []
    assert guests[0]._watch._alive.isdisjoint(guests)
