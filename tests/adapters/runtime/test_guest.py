"""One guest on its thread: calls in order, deadlines, stops, what cannot be stopped, and a clean exit."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING

import pytest
import wasmtime

from adapters.errors import GuestStoppedError, PluginCallError, PluginTimeoutError, PluginTrapError
from adapters.observe import Crossing, Direction
from adapters.runtime import guest as room
from adapters.runtime.engine import InstantiationError
from adapters.runtime.guest import Guest
from adapters.runtime.kernel import KernelLayout
from adapters.runtime.memory import KernelMemory
from adapters.runtime.watch import LINGER_AFTER, lingering_guests

if TYPE_CHECKING:
    from adapters.runtime.engine import KernelAccess
    from tests.adapters.conftest import MakeGuest, Until


def echo(_: KernelAccess, argument: int) -> int:
    return argument


class Turnstile:
    """A host function that waits until it is let through, looking at nothing else."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self.guest: Guest | None = None

    def __call__(self, _: KernelAccess, argument: int) -> int:
        self.reached.set()
        assert self.open.wait(10)
        return argument


class Attentive(Turnstile):
    """One that looks at the guest's stop flag, as host functions must."""

    def __call__(self, _: KernelAccess, argument: int) -> int:
        self.reached.set()
        assert self.guest is not None
        self.guest.stopping.wait(10)
        raise GuestStoppedError("example", "host")


async def test_a_call_returns_its_output(make_guest: MakeGuest) -> None:
    guest = make_guest(echo)
    assert await guest.call("echo", b"input") == b"input"
    assert await guest.call("host", b"through the host", timeout=5) == b"through the host"
    assert guest.usable


async def test_calls_are_run_one_after_the_other_in_their_order(make_guest: MakeGuest) -> None:
    inside, most, seen = 0, 0, list[bytes]()

    def host(kernel: KernelAccess, argument: int) -> int:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        seen.append(kernel.read(argument, kernel.length(argument)))
        time.sleep(0.001)
        inside -= 1
        return argument

    guest = make_guest(host)
    inputs = [b"%d" % number for number in range(50)]
    assert await asyncio.gather(*(guest.call("host", data) for data in inputs)) == inputs
    assert (seen, most) == (inputs, 1)


async def test_everything_runs_on_the_guests_own_thread(make_guest: MakeGuest) -> None:
    threads: set[str] = set()

    def host(_: KernelAccess, argument: int) -> int:
        threads.add(threading.current_thread().name)
        return argument

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


async def test_secrets_are_taken_out_of_a_plugins_words() -> None:
    guest = Guest(
        bytes(wasmtime.wat2wasm(FAILS)),
        plugin="example",
        functions=[],
        memory=KernelMemory(reclaim=True, layout=KernelLayout(continues=False)),
        stopping=threading.Event(),
        redact=lambda text: text.replace("s3cret", "***"),
    )
    assert guest.name == "example"
    with pytest.raises(PluginCallError, match=r"the key \*\*\* is wrong"):
        await guest.call("run", b"")
    assert guest.reason_of(await guest.attempt("run", b"")) == "the key *** is wrong"
    await guest.aclose()


FAILS = """
(module
  (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
  (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
  (import "extism:host/env" "error_set" (func $error_set (param i64)))
  (memory (export "memory") 1)
  (data (i32.const 0) "the key s3cret is wrong")
  (func (export "run") (result i32)
    (local $block i64) (local $i i32)
    (local.set $block (call $alloc (i64.const 23)))
    (loop $next
      (call $store_u8
        (i64.add (local.get $block) (i64.extend_i32_u (local.get $i)))
        (i32.load8_u (local.get $i)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 23))))
    (call $error_set (local.get $block))
    (i32.const 1)))
"""


@pytest.mark.parametrize("export", ["trap", "exit_3"])
async def test_a_guest_that_trapped_or_exited_is_discarded(make_guest: MakeGuest, export: str) -> None:
    guest = make_guest()
    with pytest.raises(PluginTrapError) as caught:
        await guest.call(export, b"")
    assert (caught.value.plugin, caught.value.export) == ("example", export)
    assert "wasm backtrace" in caught.value.trace
    assert not guest.usable
    with pytest.raises(GuestStoppedError):
        await guest.call("echo", b"x")


@pytest.mark.xfail(strict=True, reason="Extism reports WASI's proc_exit(0) as a success without output")
async def test_a_guest_that_exited_with_success_is_discarded_too(make_guest: MakeGuest) -> None:
    guest = make_guest()
    with pytest.raises(PluginTrapError):
        await guest.call("exit_0", b"")


async def test_a_trap_is_told_with_its_cause_or_place(make_guest: MakeGuest) -> None:
    with pytest.raises(PluginTrapError) as caught:
        await make_guest().call("trap", b"")
    assert not str(caught.value).endswith("backtrace:")


@pytest.mark.parametrize("use", ["call", "attempt"])
async def test_what_a_host_function_raises_surfaces_at_the_call_and_discards_the_guest(
    make_guest: MakeGuest, use: str
) -> None:
    def host(_: KernelAccess, __: int) -> int:
        raise KeyError("a bug of the host")

    guest = make_guest(host)
    with pytest.raises(KeyError, match="a bug of the host"):
        await getattr(guest, use)("host_for_ever", b"")
    assert not guest.usable


@pytest.mark.parametrize("use", ["call", "attempt"])
async def test_a_deadline_ends_a_loop_and_discards_the_guest(make_guest: MakeGuest, use: str) -> None:
    guest = make_guest()
    await guest.call("echo", b"")
    begun = time.monotonic()
    with pytest.raises(PluginTimeoutError) as caught:
        await getattr(guest, use)("loop", b"", timeout=0.1)
    assert 0.1 <= time.monotonic() - begun < 0.5
    assert (caught.value.plugin, caught.value.export, caught.value.timeout) == ("example", "loop", 0.1)
    assert not guest.usable
    with pytest.raises(GuestStoppedError):
        await guest.call("echo", b"x")


async def test_a_deadline_counts_from_when_the_call_begins_and_ends_with_it(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile)
    first = asyncio.create_task(guest.call("host", b"first"))
    assert await asyncio.to_thread(turnstile.reached.wait, 5)
    second = asyncio.create_task(guest.call("echo", b"second", timeout=0.1))
    await asyncio.wait([first], timeout=0.2)
    turnstile.open.set()
    assert await first == b"first"
    assert await second == b"second"
    await asyncio.wait([asyncio.create_task(asyncio.sleep(0.15))])  # past the deadline of a call that has ended
    assert guest.usable
    assert await guest.call("echo", b"third") == b"third"


async def test_a_deadline_of_one_guest_leaves_its_siblings_alone(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    looping, other = make_guest(), make_guest(turnstile)
    running = asyncio.create_task(other.call("host", b"x"))
    assert await asyncio.to_thread(turnstile.reached.wait, 5)
    with pytest.raises(PluginTimeoutError):
        await looping.call("loop", b"", timeout=0.05)
    turnstile.open.set()
    assert await running == b"x"
    assert other.usable


async def test_stopping_ends_a_loop_quickly(make_guest: MakeGuest) -> None:
    guest = make_guest()
    await guest.call("echo", b"")
    running = asyncio.create_task(guest.call("loop", b""))
    await asyncio.wait([running], timeout=0.05)
    begun = time.monotonic()
    await guest.aclose()
    assert time.monotonic() - begun < 0.5
    with pytest.raises(GuestStoppedError):
        await running
    assert not guest.lingering


async def test_stopping_ends_a_loop_of_host_calls_quickly(make_guest: MakeGuest) -> None:
    guest = make_guest(echo)
    running = asyncio.create_task(guest.call("host_for_ever", b"x"))
    await asyncio.wait([running], timeout=0.05)
    begun = time.monotonic()
    await guest.aclose()
    assert time.monotonic() - begun < 0.5
    with pytest.raises(GuestStoppedError):
        await running


async def test_stopping_ends_a_host_function_that_looks_at_the_flag_at_once(make_guest: MakeGuest) -> None:
    host = Attentive()
    guest = host.guest = make_guest(host)
    running = asyncio.create_task(guest.call("host", b"x"))
    assert await asyncio.to_thread(host.reached.wait, 5)
    begun = time.monotonic()
    await guest.aclose()
    assert time.monotonic() - begun < 0.2
    with pytest.raises(GuestStoppedError):
        await running


async def test_calls_that_wait_are_refused_when_the_guest_is_stopped(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile)
    running = asyncio.create_task(guest.call("host", b"x"))
    assert await asyncio.to_thread(turnstile.reached.wait, 5)
    waiting = [asyncio.create_task(guest.call("echo", b"x")) for _ in range(3)]
    await asyncio.sleep(0)
    guest.stop()
    guest.stop()
    turnstile.open.set()
    await asyncio.wait([running])  # whether the rest of it was still done nobody can say
    assert running.done()
    for task in waiting:
        with pytest.raises(GuestStoppedError):
            await task
    assert await asyncio.to_thread(guest.wait, 5)
    with pytest.raises(GuestStoppedError):
        await guest.call("echo", b"x")


async def test_a_call_that_nobody_waits_for_any_more_is_not_run(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile)
    running = asyncio.create_task(guest.call("host", b"x"))
    assert await asyncio.to_thread(turnstile.reached.wait, 5)
    given_up = asyncio.create_task(guest.call("count", b""))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.wait([given_up])
    turnstile.open.set()
    await running
    assert await guest.call("count", b"") == b"1"


async def test_a_caller_that_gives_up_a_running_call_does_no_harm(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile)
    running = asyncio.create_task(guest.call("host", b"x"))
    assert await asyncio.to_thread(turnstile.reached.wait, 5)
    running.cancel()
    await asyncio.wait([running])
    turnstile.open.set()
    assert await guest.call("echo", b"next") == b"next"


async def test_a_sleeping_guest_lingers_releases_its_caller_and_is_reaped_when_it_wakes(
    make_guest: MakeGuest, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    guest = make_guest()
    await guest.call("echo", b"")
    running = asyncio.create_task(guest.call("sleep_1600ms", b""))
    waiting = asyncio.create_task(guest.call("echo", b"x"))
    await asyncio.wait([running], timeout=0.05)
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING):
        await guest.aclose()
    assert LINGER_AFTER <= time.monotonic() - begun < 1.2
    with pytest.raises(GuestStoppedError):
        await running
    assert guest.lingering
    assert not guest.usable
    assert lingering_guests() == 1
    assert [record.getMessage() for record in caplog.records if guest.name in record.getMessage()]
    await until(lambda: not guest.lingering)
    assert lingering_guests() == 0
    assert 1.4 < time.monotonic() - begun < 2.5
    with pytest.raises(GuestStoppedError):
        await waiting


async def test_a_guest_that_cannot_be_stopped_at_its_deadline_releases_its_caller_as_timed_out(
    make_guest: MakeGuest, until: Until
) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile)
    await guest.call("echo", b"")
    begun = time.monotonic()
    with pytest.raises(PluginTimeoutError) as caught:
        await guest.call("host", b"x", timeout=0.1)
    assert 0.1 + LINGER_AFTER <= time.monotonic() - begun < 1.4
    assert caught.value.timeout == 0.1
    assert guest.lingering
    assert lingering_guests() == 1
    turnstile.open.set()
    await until(lambda: not guest.lingering)


async def test_a_deadline_interrupts_a_host_function_that_looks_at_the_flag(make_guest: MakeGuest) -> None:
    host = Attentive()
    guest = host.guest = make_guest(host)
    await guest.call("echo", b"")
    begun = time.monotonic()
    with pytest.raises(PluginTimeoutError):
        await guest.call("host", b"x", timeout=0.1)
    assert time.monotonic() - begun < 0.5
    assert not guest.lingering
    assert not guest.usable


async def test_work_that_goes_on_after_a_trap_cannot_enter_the_guest_again(make_guest: MakeGuest) -> None:
    guest = make_guest()

    def work() -> None:
        assert guest.enter("trap", b"").trapped
        guest.enter("echo", b"")

    with pytest.raises(GuestStoppedError):
        await asyncio.wrap_future(guest.submit(work, "work"))


async def test_a_call_that_comes_while_the_guest_is_stopping_is_refused(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile)
    running = guest.submit(lambda: guest.enter("host", b"x"), "host")
    assert await asyncio.to_thread(turnstile.reached.wait, 5)
    guest.stop()
    late = guest.submit(lambda: guest.enter("echo", b"x"), "echo")
    turnstile.open.set()
    with pytest.raises(GuestStoppedError):
        await asyncio.wrap_future(late)
    await asyncio.wait([asyncio.wrap_future(running)])


async def test_the_watch_is_told_when_to_look_again(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile)
    assert guest.check(time.monotonic()) is None  # nothing is due
    before = time.monotonic()
    running = asyncio.create_task(guest.call("host", b"x", timeout=60))
    assert await asyncio.to_thread(turnstile.reached.wait, 5)
    due = guest.check(time.monotonic())
    assert due is not None
    assert before + 60 <= due <= time.monotonic() + 60
    assert guest.usable
    turnstile.open.set()
    assert await running == b"x"
    await guest.aclose()
    assert guest.check(time.monotonic()) is None  # it has ended


async def test_a_guest_that_is_instantiated_for_long_lingers_until_then(
    make_guest: MakeGuest, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    instantiating, go_on = threading.Event(), threading.Event()

    def slow(_: object, __: object) -> None:
        instantiating.set()
        assert go_on.wait(10)
        raise InstantiationError("too late")

    monkeypatch.setattr(room, "Instance", slow)
    guest = make_guest()
    waiting = asyncio.create_task(guest.call("echo", b""))
    assert await asyncio.to_thread(instantiating.wait, 5)
    await guest.aclose()
    assert guest.lingering
    go_on.set()
    with pytest.raises((GuestStoppedError, PluginTrapError)):
        await waiting
    await until(lambda: not guest.lingering)


async def test_closing_while_the_module_is_being_instantiated_ends_the_guest(make_guest: MakeGuest) -> None:
    guest = make_guest()
    await guest.aclose()
    with pytest.raises(GuestStoppedError):
        await guest.call("echo", b"x")
    assert guest.wait(5)


@pytest.mark.parametrize(
    ("wat", "trace"),
    [
        ('(module (import "env" "missing" (func)) (func (export "run") (result i32) (i32.const 0)))', "missing"),
        ('(module (func $s (unreachable)) (start $s) (func (export "run") (result i32) (i32.const 0)))', "unreachable"),
    ],
)
async def test_a_module_that_cannot_be_instantiated_is_told_at_every_call(
    make_guest: MakeGuest, wat: str, trace: str
) -> None:
    guest = make_guest(wasm=bytes(wasmtime.wat2wasm(wat)))
    for _ in range(2):
        with pytest.raises(PluginTrapError) as caught:
            await guest.call("run", b"")
        assert caught.value.export == ""
        assert trace in caught.value.trace
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


async def test_each_call_begins_with_empty_memory(make_guest: MakeGuest) -> None:
    guest = make_guest()
    guest.memory.held = guest.memory.host_calls = 5
    await guest.call("echo", b"x")
    assert (guest.memory.held, guest.memory.host_calls) == (0, 0)


async def test_many_guests_come_and_go_without_leaving_a_thread(make_guest: MakeGuest) -> None:
    guests = [make_guest() for _ in range(20)]
    assert await asyncio.gather(*(guest.call("echo", b"x") for guest in guests)) == [b"x"] * 20
    await asyncio.gather(*(guest.aclose() for guest in guests))
    names = {thread.name for thread in threading.enumerate()}
    for guest in guests:
        guest._thread.join(5)
        assert not guest._thread.is_alive() or guest._thread.name not in names


EXIT = """
    import asyncio, threading, time
    from pathlib import Path
    from adapters.contract import StreamKey
    from adapters.publisher import Gate, Publisher
    from adapters.runtime.engine import HostFunction
    from adapters.runtime.guest import Guest
    from adapters.runtime.hostcalls import Publication
    from adapters.runtime.kernel import KernelLayout
    from adapters.runtime.memory import KernelMemory
    from adapters.stream import AdapterStream

    begun = threading.Event()
    stopping = threading.Event()
    stream = AdapterStream(StreamKey("a", "b", "c"), lambda _: None, capacity=10**9)
    publisher = Publisher(stream, Gate.OPEN)
    publication = Publication(b'{{"type":"a","source":"b","identifier":"c"}}', b"1", "")

    def publish(kernel, argument):
        publisher.publish(publication)
        begun.set()
        return argument

    def attentive(kernel, argument):
        begun.set()
        while not stopping.wait(0.1):
            pass
        raise RuntimeError("stopped")

    def deaf(kernel, argument):
        begun.set()
        time.sleep(30)
        return argument

    host = {{"host_for_ever": publish, "attentive": attentive, "deaf": deaf}}.get({how!r}, publish)
    export = {{"attentive": "host", "deaf": "host"}}.get({how!r}, {how!r})
    guest = Guest(
        Path({wasm!r}).read_bytes(),
        plugin="example",
        functions=[HostFunction(n, "host", ("i64",), ("i64",), host) for n in ("env", "extism:host/user")],
        memory=KernelMemory(reclaim=True, layout=KernelLayout(continues=False)),
        stopping=stopping,
    )

    async def main():
        await guest.call("echo", b"")
        call = asyncio.ensure_future(guest.call(export, b"x"))
        if host is not publish or export == "host_for_ever":
            await asyncio.to_thread(begun.wait, 10)
        await asyncio.wait([call], timeout=0.1)
        call.cancel()

    {run}
    print("end of the script", flush=True)
"""
RUNS = {
    "after the loop": "asyncio.run(main())",
    "without waiting for anything": 'guest.submit(lambda: guest.enter(export, b"x"), export); time.sleep(0.3)',
}


EXITS = [
    ("loops", "loop", "after the loop"),
    ("loops", "loop", "without waiting for anything"),
    ("publishes in a flood", "host_for_ever", "after the loop"),
    ("publishes in a flood", "host_for_ever", "without waiting for anything"),
    ("waits in a host function", "attentive", "after the loop"),
    ("sleeps in WASI", "sleep_20s", "without waiting for anything"),
    ("hangs in a host function", "deaf", "after the loop"),
]


@pytest.mark.parametrize(("how", "run"), [row[1:] for row in EXITS], ids=[f"{row[0]}, {row[2]}" for row in EXITS])
def test_the_interpreter_exits_cleanly_while_a_guest(
    how: str, run: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from tests.adapters.conftest import guest_wasm  # noqa: PLC0415

    wasm = tmp_path_factory.mktemp("exit") / "guest.wasm"
    wasm.write_bytes(guest_wasm())
    script = textwrap.dedent(EXIT).format(wasm=str(wasm), how=how, run=RUNS[run])
    begun = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=20, check=False)
    assert (ended.returncode, ended.stderr.decode()) == (0, "")
    assert ended.stdout == b"end of the script\n"
    assert time.monotonic() - begun < 6
