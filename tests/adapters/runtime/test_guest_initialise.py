"""How a guest initialises its module: once, before the first call, as ordinary calls with a deadline of their own."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from typing import TYPE_CHECKING

import pytest
import wasmtime

from adapters.errors import PluginCallError
from adapters.runtime.errors import GuestStoppedError, PluginExitError, PluginTimeoutError, PluginTrapError
from adapters.runtime.links import check_links
from adapters.runtime.watch import Watch
from detectors.errors import MachineError
from tests.adapters.runtime.guests import AN_HOUR, Turnstile, echo, module
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from pathlib import Path

    from tests.adapters.runtime.conftest import MakeGuest

#: The ways to initialise a module, by what errors call them.
WAYS = {
    "the start section": "(func $begin {body}) (start $begin)",
    "_initialize": '(func (export "_initialize") {body})',
    "__wasm_call_ctors": '(func (export "__wasm_call_ctors") {body})',
    "hs_init": '(func (export "hs_init") (param i32 i32) {body})',
}
TEXTS = """
  (data (i32.const 0) "begun\\n")
  (data (i32.const 16) "broken")
  (global $ran (mut i32) (i32.const 0))
  (func $note (param $digit i32)
    (global.set $ran (i32.add (i32.mul (global.get $ran) (i32.const 10)) (local.get $digit))))
  (func (export "ran") (result i32) (global.get $ran))
  (func (export "empty"))
"""
NOTE = "(call $note (i32.const 1))"
ASK = "(drop (call $host (call $block (i32.const 0) (i32.const 5))))"
PRINT = "(call $print (i32.const 2) (i32.const 0) (i32.const 6))"
LOOP = "(loop $for_ever (br $for_ever))"
SLEEP = f"(call $sleep (i64.const {AN_HOUR}))"

every_way = pytest.mark.parametrize("way", WAYS)


def beginning(way: str, body: str) -> bytes:
    """A module that does this while it is initialised."""
    return module(TEXTS + WAYS[way].replace("{body}", body))


@every_way
async def test_a_module_is_initialised_once_before_its_first_call(make_guest: MakeGuest, way: str) -> None:
    guest = make_guest(wasm=beginning(way, NOTE))
    assert [(await guest.attempt("ran", b"")).code for _ in range(3)] == [1, 1, 1]
    assert guest.initialised


@pytest.mark.parametrize(
    ("ways", "order"),
    [
        (("the start section", "_initialize"), 12),
        (("the start section", "__wasm_call_ctors"), 13),
        (("_initialize", "__wasm_call_ctors"), 2),  # the first calls the other where it is meant to
        (("__wasm_call_ctors", "hs_init"), 34),
    ],
)
async def test_several_ways_are_taken_in_their_order(make_guest: MakeGuest, ways: tuple[str, str], order: int) -> None:
    digits = {way: number for number, way in enumerate(WAYS, 1)}
    body = "".join(WAYS[way].replace("{body}", f"(call $note (i32.const {digits[way]}))") for way in ways)
    assert (await make_guest(wasm=module(TEXTS + body)).attempt("ran", b"")).code == order


async def test_work_that_waits_from_the_first_moment_on_finds_the_module_initialised(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile, wasm=beginning("_initialize", ASK + NOTE))
    waiting = asyncio.create_task(guest.attempt("ran", b""))
    await turnstile.reached()
    turnstile.open()
    assert (await waiting).code == 1


@every_way
async def test_it_may_call_the_host_and_print(
    make_guest: MakeGuest, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    caplog.set_level(logging.INFO)
    asked: list[bytes] = []

    def host(request: bytes) -> bytes:
        asked.append(request)
        return b"reply"

    guest = make_guest(host, wasm=beginning(way, PRINT + ASK + NOTE))
    assert (await guest.attempt("ran", b"")).code == 1
    assert asked == [b"begun"]
    assert [record.getMessage() for record in caplog.records] == ["begun"]


@every_way
async def test_a_trap_names_what_trapped_at_every_call(make_guest: MakeGuest, way: str) -> None:
    guest = make_guest(wasm=beginning(way, PRINT + "(unreachable)"))
    for export in ("ran", "empty"):
        with pytest.raises(PluginTrapError, match=f"plugin 'example': {way} trapped: .*; it said: begun") as caught:
            await guest.call(export, b"")
        assert (caught.value.export, caught.value.said) == (way, "begun")
        assert "wasm backtrace" in caught.value.trace
    assert not guest.usable


async def test_what_follows_a_trap_does_not_run(make_guest: MakeGuest) -> None:
    asked: list[bytes] = []

    def host(request: bytes) -> bytes:
        asked.append(request)
        return b""

    body = WAYS["the start section"].replace("{body}", "(unreachable)") + WAYS["_initialize"].replace("{body}", ASK)
    with pytest.raises(PluginTrapError, match="the start section"):
        await make_guest(host, wasm=module(TEXTS + body)).call("ran", b"")
    assert asked == []


async def test_one_that_leaves_or_fails_while_it_is_initialised_is_unusable(make_guest: MakeGuest) -> None:
    leaving = make_guest(wasm=beginning("_initialize", "(call $exit (i32.const 0))"))
    with pytest.raises(PluginExitError, match="_initialize ended the plugin, by proc_exit with code 0"):
        await leaving.call("ran", b"")
    fails = "(call $error_set (call $block (i32.const 16) (i32.const 6)))"
    failing = make_guest(wasm=beginning("_initialize", fails))
    for _ in range(2):
        with pytest.raises(PluginCallError, match="_initialize failed: broken"):
            await failing.call("ran", b"")
    assert (leaving.usable, failing.usable) == (False, False)


@every_way
@pytest.mark.parametrize("body", [LOOP, SLEEP], ids=["loop", "sleep"])
async def test_one_that_hangs_is_ended_at_its_deadline(make_guest: MakeGuest, way: str, body: str) -> None:
    guest = make_guest(wasm=beginning(way, body), initialise_timeout=0.05)
    messages: set[str] = set()
    for export in ("ran", "empty", "ran"):
        with pytest.raises(PluginTimeoutError) as caught:
            await asyncio.wait_for(guest.call(export, b"", timeout=3_600), HANG)
        assert (caught.value.plugin, caught.value.export, caught.value.timeout) == ("example", way, 0.05)
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert not guest.usable
    assert not guest.lingering


async def test_every_call_is_told_of_a_deadline_at_which_it_cannot_be_stopped(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    wasm = beginning("_initialize", ASK)
    guest = make_guest(turnstile, wasm=wasm, initialise_timeout=0.05, watch=Watch(linger_after=0.05))
    waiting = [asyncio.create_task(guest.call("ran", b"")) for _ in range(2)]
    await turnstile.reached()
    await asyncio.wait(waiting, timeout=HANG)
    late = asyncio.create_task(guest.call("empty", b""))
    for task in (*waiting, late):
        with pytest.raises(PluginTimeoutError, match=r"initialisation did not return within 0\.05 s"):
            await asyncio.wait_for(task, HANG)
    assert guest.lingering
    assert not guest.initialised
    turnstile.open()


async def test_its_deadline_is_none_of_the_calls_that_follow(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    guest = make_guest(turnstile, wasm=module(TEXTS + WAYS["_initialize"].replace("{body}", NOTE) + ASKS))
    running = asyncio.create_task(guest.attempt("ask", b""))
    await turnstile.reached()
    assert guest.check(float("inf")) is None
    turnstile.open()
    assert (await running).code == 7


ASKS = f'(func (export "ask") (result i32) {ASK} (i32.const 7))'


@pytest.mark.parametrize("body", [LOOP, SLEEP], ids=["loop", "sleep"])
async def test_stopping_ends_it_meanwhile(make_guest: MakeGuest, body: str) -> None:
    begun = threading.Event()

    def host(_: bytes) -> bytes:
        begun.set()
        return b""

    guest = make_guest(host, wasm=beginning("_initialize", ASK + body))
    waiting = asyncio.create_task(guest.call("ran", b""))
    assert await asyncio.to_thread(begun.wait, HANG)
    async with asyncio.timeout(HANG):
        await guest.aclose()
    assert not guest.lingering
    with pytest.raises(GuestStoppedError):
        await waiting


@every_way
async def test_what_a_host_function_raises_surfaces_at_every_call(make_guest: MakeGuest, way: str) -> None:
    asked: list[bytes] = []

    def host(request: bytes) -> bytes:
        asked.append(request)
        raise KeyError("a bug of the host")

    guest = make_guest(host, wasm=beginning(way, ASK + LOOP))
    for _ in range(2):
        with pytest.raises(KeyError, match="a bug of the host"):
            await asyncio.wait_for(guest.call("ran", b""), HANG)
    assert asked == [b"begun"]
    assert not guest.usable


async def test_a_cache_that_cannot_be_used_is_told_in_extisms_words_without_blaming_the_plugin(
    make_guest: MakeGuest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    check_links()  # from here on it is the guest's own instantiation that fails
    monkeypatch.setenv("EXTISM_CACHE_CONFIG", str(tmp_path / "missing.toml"))
    guest = make_guest()
    with pytest.raises(MachineError) as caught:
        await guest.call("echo", b"")
    assert re.fullmatch(
        "plugin 'example': the cache of compiled plugins cannot be used: .*No such file or directory.*",
        caught.value.message,
    )
    assert "EXTISM_CACHE_CONFIG" in caught.value.remedy
    assert (guest.usable, guest.initialised) == (False, False)


async def test_a_module_that_has_nothing_to_initialise_is_ready(make_guest: MakeGuest) -> None:
    guest = make_guest(echo, wasm=bytes(wasmtime.wat2wasm('(module (func (export "run")))')))
    assert await guest.call("run", b"") == b""
    empty = make_guest(wasm=bytes(wasmtime.wat2wasm("(module)")))
    assert await asyncio.wrap_future(empty.submit(lambda: empty.usable, "work"))
