"""How a module becomes an instance: with a deadline, and the same module once at a time."""

from __future__ import annotations

import asyncio
import threading
import uuid
from typing import TYPE_CHECKING

import pytest
import wasmtime

from adapters.runtime import compiling as room
from adapters.runtime.compiling import Turns
from adapters.runtime.engine import Instance, InstantiationError
from adapters.runtime.errors import GuestStoppedError, PluginTimeoutError, PluginTrapError
from adapters.runtime.watch import Watch
from tests.adapters.runtime.guests import Clock, echo, guest_wasm
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapters.runtime.engine import Exchange
    from adapters.runtime.guest import Guest
    from tests.adapters.runtime.conftest import MakeGuest

IN_WORDS = r"plugin 'example': the module was not compiled within 60 s\. .*Bounds\(compile_timeout=\.\.\.\)"


class Compiler:
    """Makes instances as ever, each when it is let through."""

    def __init__(self) -> None:
        self.begun = 0
        self.freed = 0
        self.broken = False  # whether the next one fails
        self._open = threading.Semaphore(0)

    def __call__(self, manifest: bytes, exchange: Exchange) -> Instance:
        self.begun += 1
        assert self._open.acquire(timeout=HANG)
        if self.broken:
            self.broken = False
            raise InstantiationError("it is broken")
        made, compiler = Instance(manifest, exchange), self

        class Counted(Instance):
            def free(self) -> None:
                compiler.freed += 1
                super().free()

        made.__class__ = Counted
        return made

    def open(self, count: int = 1) -> None:
        self._open.release(count)


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Compiler]:
    """What compiles the modules of the test; nobody has compiled any of them before."""
    compiler = Compiler()
    monkeypatch.setattr(room, "Instance", compiler)
    monkeypatch.setattr(room, "TURNS", Turns(at_once=10))
    monkeypatch.setattr("adapters.runtime.guest.TURNS", room.TURNS)
    yield compiler
    compiler.open(100)


async def begun(compiler: Compiler, count: int = 1) -> None:
    await until(lambda: compiler.begun == count, "it compiles")


async def timed_out(*calls: asyncio.Task[bytes]) -> None:
    for call in calls:
        with pytest.raises(PluginTimeoutError, match=IN_WORDS) as caught:
            await asyncio.wait_for(call, HANG)
        assert (caught.value.plugin, caught.value.timeout) == ("example", 60)


def calling(guest: Guest, export: str = "echo") -> asyncio.Task[bytes]:
    return asyncio.create_task(guest.call(export, b"x", timeout=3_600))


async def test_every_call_is_told_that_the_module_was_not_compiled_in_time(
    make_guest: MakeGuest, compiler: Compiler
) -> None:
    clock = Clock()
    watch = Watch(linger_after=0.05, clock=clock)
    guest = make_guest(echo, watch=watch, compile_timeout=60)
    waiting = [calling(guest), calling(guest, "count")]
    await begun(compiler)
    clock.skip(60)
    watch.look(clock())
    clock.skip(1)
    watch.look(clock())
    await timed_out(*waiting)
    await timed_out(calling(guest), calling(guest, "trap"))
    assert (guest.usable, guest.initialised) == (False, False)
    await until(lambda: watch.lingering() == [guest], "it is counted")
    compiler.open()
    assert await asyncio.to_thread(guest.wait, HANG)
    await until(lambda: compiler.freed == 1, "what was made too late is freed")
    assert watch.lingering() == []
    await timed_out(calling(guest))


async def test_one_that_is_compiled_just_after_its_deadline_is_of_no_use(
    make_guest: MakeGuest, compiler: Compiler
) -> None:
    clock = Clock()
    watch = Watch(linger_after=60 * HANG, clock=clock)
    guest = make_guest(echo, watch=watch, compile_timeout=60)
    await begun(compiler)
    clock.skip(60)
    watch.look(clock())
    assert guest.stopping.is_set()
    compiler.open()
    await timed_out(calling(guest), calling(guest))
    await guest.aclose()
    assert (compiler.freed, guest.lingering) == (1, False)


async def test_the_deadlines_of_calls_begin_after_that(make_guest: MakeGuest, compiler: Compiler) -> None:
    clock = Clock()
    watch = Watch(linger_after=60 * HANG, clock=clock)
    guest = make_guest(echo, watch=watch, compile_timeout=60)
    waiting = asyncio.create_task(guest.call("echo", b"x", timeout=30))
    await begun(compiler)
    clock.skip(59)
    watch.look(clock())
    compiler.open()
    assert [await waiting, await guest.call("echo", b"y")] == [b"x", b"y"]
    clock.skip(60)
    watch.look(clock())
    assert await guest.call("echo", b"z") == b"z"


async def test_a_module_that_really_compiles_for_long_is_given_up_and_found_compiled_later(
    make_guest: MakeGuest,
) -> None:
    watch, wasm = Watch(linger_after=0.05), slow_module()
    guest = make_guest(wasm=wasm, watch=watch, compile_timeout=0.01)
    with pytest.raises(PluginTimeoutError, match=r"the module was not compiled within 0\.01 s"):
        await asyncio.wait_for(guest.call("run", b""), HANG)
    later = make_guest(wasm=wasm)  # behind it
    assert await later.call("run", b"") == b""
    await asyncio.wait_for(guest.aclose(), HANG)
    assert await asyncio.to_thread(guest.wait, HANG)
    assert watch.lingering() == []


def slow_module() -> bytes:
    """A module that takes about a second to be compiled, and that nobody has compiled before."""
    seed = uuid.uuid4().int % 2**31
    step = "(local.set 1 (i32.rotl (i32.mul (local.get 1) (i32.const {})) (i32.add (local.get 1) (i32.const {}))))"
    body = "".join(step.format(seed ^ number, number) for number in range(2_000))
    function = f"(func (param i32) (local i32) {body} (i32.store (local.get 0) (local.get 1)))"
    run = '(func (export "run") (result i32) (i32.const 0))'
    return bytes(wasmtime.wat2wasm(f'(module (memory (export "memory") 1) {run} {function * 100})'))


async def test_guests_of_one_module_wait_for_the_first_of_them(make_guest: MakeGuest, compiler: Compiler) -> None:
    guests = [make_guest(echo) for _ in range(4)]
    calls = [calling(guest) for guest in guests]
    other = calling(make_guest(echo, wasm=b"".join((guest_wasm(), b"\0\2\1x"))))  # with a custom section
    await begun(compiler, 2)  # and it is not told apart from others by its code
    await until(lambda: room.TURNS.waiting == 3, "the others wait")
    compiler.open(2)
    await begun(compiler, 5)
    compiler.open(3)
    assert await asyncio.gather(*calls, other) == [b"x"] * 5
    compiler.open()
    assert await calling(make_guest(echo)) == b"x"


async def test_one_that_fails_gives_the_turn_to_the_next(make_guest: MakeGuest, compiler: Compiler) -> None:
    calls = [calling(make_guest(echo)) for _ in range(3)]
    await until(lambda: room.TURNS.waiting == 2, "the others wait")
    compiler.broken = True
    compiler.open()
    await begun(compiler, 2)
    assert room.TURNS.waiting == 1
    compiler.open(2)
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(map(str, ended))[:2] == ["b'x'"] * 2
    assert [type(one) for one in ended if not isinstance(one, bytes)] == [PluginTrapError]


async def test_one_that_is_stopped_while_it_waits_for_its_turn_lets_go(
    make_guest: MakeGuest, compiler: Compiler
) -> None:
    first = calling(make_guest(echo))
    await begun(compiler)
    second = make_guest(echo)
    waiting = calling(second)
    await until(lambda: room.TURNS.waiting == 1, "it waits")
    async with asyncio.timeout(HANG):
        await second.aclose()
    assert not second.lingering
    with pytest.raises(GuestStoppedError):
        await waiting
    compiler.open()
    assert await first == b"x"
    assert compiler.begun == 1


async def test_a_deadline_ends_the_waiting_for_a_turn_and_nobody_compiles_beside_the_one_that_hangs(
    make_guest: MakeGuest, compiler: Compiler
) -> None:
    clock = Clock()
    watch = Watch(linger_after=60 * HANG, clock=clock)
    first = make_guest(echo)
    await begun(compiler)
    for _ in range(2):
        second = make_guest(echo, watch=watch, compile_timeout=60)
        waiting = calling(second)
        await until(lambda: room.TURNS.waiting == 1, "it waits")
        clock.skip(60)
        watch.look(clock())
        await timed_out(waiting, calling(second))
        await second.aclose()
        assert not second.lingering
    assert compiler.begun == 1
    compiler.open()
    assert await calling(first) == b"x"


class Loading:
    """Guests of one compiled module, each on a thread, that load until they are let go."""

    def __init__(self, turns: Turns) -> None:
        self.order: list[int] = []  # those whose turn came
        self.stopping = threading.Event()
        self._turns = turns
        self._go_on = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []

    def begin(self) -> None:
        self._threads.append(threading.Thread(target=self._load, args=(len(self._threads),), daemon=True))
        self._threads[-1].start()

    def _load(self, number: int) -> None:
        with self._turns.turn("module", self.stopping) as go_on:
            if go_on:
                self.order.append(number)
                assert self._go_on.acquire(timeout=HANG)

    def let_go(self, count: int = 1) -> None:
        self._go_on.release(count)

    def end(self) -> None:
        for thread in self._threads:
            thread.join(HANG)
            assert not thread.is_alive()


async def loading(count: int, at_once: int) -> tuple[Turns, Loading]:
    """So many guests, of which as many load as may, while the others wait."""
    turns = Turns(at_once)
    with turns.turn("module", threading.Event()):
        pass  # now it has been compiled
    guests = Loading(turns)
    for number in range(count):
        guests.begin()
        waiting = max(0, number + 1 - at_once)
        await until(lambda: (len(guests.order), turns.waiting) == (number + 1 - waiting, waiting), "it loads or waits")  # noqa: B023 - called at once
    return turns, guests


async def test_of_what_is_compiled_only_so_many_are_loaded_at_once_and_in_order() -> None:
    turns, guests = await loading(5, at_once=2)
    guests.let_go()
    await until(lambda: (len(guests.order), turns.waiting) == (3, 2), "one more loads")
    guests.let_go(4)
    guests.end()
    assert (sorted(guests.order[:2]), guests.order[2], turns.waiting) == ([0, 1], 2, 0)
    assert sorted(guests.order) == list(range(5))


async def test_a_module_that_is_compiled_first_waits_for_none_that_are_loaded() -> None:
    turns, guests = await loading(2, at_once=1)
    with turns.turn("another", threading.Event()) as go_on:
        assert go_on
        guests.let_go()
        await until(lambda: (len(guests.order), turns.waiting) == (2, 0), "nor do they wait for it")
        guests.let_go()
        guests.end()


async def test_those_who_are_stopped_while_others_load_leave_the_turn_to_the_next() -> None:
    turns, guests = await loading(1, at_once=1)
    stopped = Loading(turns)
    stopped.begin()
    await until(lambda: turns.waiting == 1, "it waits")
    guests.begin()
    await until(lambda: turns.waiting == 2, "it waits, too")
    stopped.stopping.set()
    turns.wake()
    stopped.end()
    assert (stopped.order, turns.waiting) == ([], 1)
    guests.let_go(2)
    guests.end()
    assert guests.order == [0, 1]


def test_a_process_that_is_forked_begins_with_no_turn_taken() -> None:
    turns, stopping = Turns(), threading.Event()
    with turns.turn("module", stopping):
        turns.begin_anew()
        with turns.turn("module", stopping) as go_on:
            assert go_on
