"""WASI's edges through a whole guest: sleeping, what is printed, and leaving."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from adapters.errors import PluginCallError
from adapters.runtime.errors import GuestStoppedError, PluginExitError, PluginTimeoutError, PluginTrapError
from adapters.runtime.watch import Watch
from tests.adapters.runtime.guests import AN_HOUR, Clock, Turnstile, module
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from tests.adapters.runtime.conftest import MakeGuest

PRINTS = """
  (data (i32.const 0) "one\\ntwo\\nthree")
  (data (i32.const 16) "panic: s3cret\\n")
  (data (i32.const 32) "from error memory")
  ;; two pieces for one write
  (data (i32.const 64) "\\00\\00\\00\\00\\08\\00\\00\\00\\10\\00\\00\\00\\06\\00\\00\\00")

  (func (export "out") (result i32) (call $print (i32.const 1) (i32.const 0) (i32.const 13)) (i32.const 0))
  (func (export "err") (result i32) (call $print (i32.const 2) (i32.const 0) (i32.const 13)) (i32.const 0))
  (func (export "pieces") (result i32)
    (drop (call $fd_write (i32.const 1) (i32.const 64) (i32.const 2) (i32.const 128)))
    (i32.load (i32.const 128)))
  (func (export "elsewhere") (result i32)
    (call $fd_write (i32.const 77) (i32.const 64) (i32.const 2) (i32.const 128)))
  (func (export "much") (result i32)
    (local $i i32)
    (loop $next
      (i32.store8 (i32.add (i32.const 1024) (local.get $i))
        (select (i32.const 10) (i32.const 120) (i32.eq (i32.and (local.get $i) (i32.const 63)) (i32.const 63))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 57344))))
    (call $print (i32.const 1) (i32.const 1024) (i32.const 57344))
    (i32.const 0))
  (func (export "out_host_out") (result i32)
    (call $print (i32.const 1) (i32.const 0) (i32.const 4))
    (drop (call $host (call $input_offset)))
    (call $print (i32.const 1) (i32.const 4) (i32.const 4))
    (i32.const 0))
  (func (export "err_then_host") (result i32)
    (call $print (i32.const 2) (i32.const 0) (i32.const 4))
    (drop (call $host (call $input_offset)))
    (i32.const 0))

  (func $panic (call $print (i32.const 2) (i32.const 16) (i32.const 14)))
  (func (export "panic") (result i32) (call $panic) (unreachable))
  (func (export "out_and_trap") (result i32) (call $print (i32.const 1) (i32.const 0) (i32.const 13)) (unreachable))
  (func (export "exit") (result i32) (call $panic) (call $exit (i32.const 3)) (unreachable))
  (func (export "complain_and_fail") (result i32)
    (call $panic)
    (call $error_set (call $block (i32.const 32) (i32.const 17)))
    (i32.const 1))
  (func (export "trap") (result i32) (unreachable))
"""


async def test_what_is_printed_reaches_the_plugins_logger_line_by_line(
    make_guest: MakeGuest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    guest = make_guest(wasm=module(PRINTS))
    for export, level in (("out", logging.INFO), ("err", logging.WARNING)):
        caplog.clear()
        await guest.call(export, b"")
        assert [(record.name, record.levelno, record.getMessage()) for record in caplog.records] == [
            ("compat.plugin.example", level, line) for line in ("one", "two", "three")
        ]


async def test_a_write_in_several_pieces_is_one_and_its_length_is_told(
    make_guest: MakeGuest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert (await make_guest(wasm=module(PRINTS)).attempt("pieces", b"")).code == 14
    assert [record.getMessage() for record in caplog.records] == ["one", "two", "panic:"]


async def test_other_files_are_left_to_wasi(make_guest: MakeGuest) -> None:
    bad_file = 8  # WASI preview 1, errno
    assert (await make_guest(wasm=module(PRINTS)).attempt("elsewhere", b"")).code == bad_file


async def test_what_is_longer_than_a_record_arrives_whole(
    make_guest: MakeGuest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await make_guest(wasm=module(PRINTS)).call("much", b"")
    assert [record.getMessage() for record in caplog.records] == ["x" * 63] * (57_344 // 64)


@pytest.mark.parametrize(("export", "told"), [("out_host_out", ["one", "two"]), ("err_then_host", ["one"])])
async def test_what_is_printed_before_a_host_call_is_told_before_it(
    make_guest: MakeGuest, caplog: pytest.LogCaptureFixture, export: str, told: list[str]
) -> None:
    caplog.set_level(logging.INFO)
    before: list[str] = []

    def host(_: bytes) -> bytes:
        before.extend(record.getMessage() for record in caplog.records)
        return b""

    await make_guest(host, wasm=module(PRINTS)).call(export, b"x")
    assert before == ["one"]
    assert [record.getMessage() for record in caplog.records] == told


async def test_what_a_guest_wrote_to_stderr_before_a_trap_is_in_the_error_without_secrets(
    make_guest: MakeGuest, caplog: pytest.LogCaptureFixture
) -> None:
    guest = make_guest(wasm=module(PRINTS), redact=lambda text: text.replace("s3cret", "***"))
    with pytest.raises(PluginTrapError) as caught:
        await guest.call("panic", b"")
    assert caught.value.said == "panic: ***"
    assert "panic trapped: " in caught.value.message
    assert caught.value.message.endswith("; it said: panic: ***")
    assert [record.getMessage() for record in caplog.records] == ["panic: ***"]


async def test_what_it_wrote_in_earlier_calls_is_not_in_the_error(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=module(PRINTS))
    for _ in range(40):
        await guest.call("err", b"")
    with pytest.raises(PluginTrapError) as caught:
        await guest.call("panic", b"")
    assert caught.value.said == "panic: s3cret"


async def test_what_it_printed_before_a_trap_is_told_although_it_had_not_crossed(
    make_guest: MakeGuest, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(PluginTrapError) as caught:
        await make_guest(wasm=module(PRINTS)).call("out_and_trap", b"")
    assert [record.getMessage() for record in caplog.records] == ["one", "two", "three"]
    assert caught.value.said == ""


async def test_the_last_words_of_one_that_leaves_are_in_the_error(make_guest: MakeGuest) -> None:
    with pytest.raises(PluginExitError, match=r"proc_exit with code 3; it said: panic: s3cret\.") as caught:
        await make_guest(wasm=module(PRINTS)).call("exit", b"")
    assert (caught.value.code, caught.value.said) == (3, "panic: s3cret")


async def test_the_reason_of_a_failure_is_what_is_in_error_memory_and_not_what_was_printed(
    make_guest: MakeGuest,
) -> None:
    with pytest.raises(PluginCallError) as caught:
        await make_guest(wasm=module(PRINTS)).call("complain_and_fail", b"")
    assert caught.value.reason == "from error memory"


SLEEPS = f"""
  (func (export "nap") (result i32)
    (drop (call $host (call $input_offset)))
    (call $sleep (i64.const 1000000))
    (i32.load (i32.const 0xf0c0)))  ;; so many events
  (func (export "hour") (result i32)
    (drop (call $host (call $input_offset)))
    (call $sleep (i64.const {AN_HOUR}))
    (i32.const 0))
  ;; An hour, or until something can be read from stdin.
  (func (export "hour_or_file") (result i32)
    (i64.store (i32.const 0xf018) (i64.const {AN_HOUR}))
    (i32.store8 (i32.const 0xf038) (i32.const 1))
    (drop (call $host (call $input_offset)))
    (drop (call $poll (i32.const 0xf000) (i32.const 0xf200) (i32.const 2) (i32.const 0xf0c0)))
    (i64.ne (i64.load (i32.const 0xf018)) (i64.const {AN_HOUR})))
"""


async def test_a_nap_ends_by_itself_with_its_one_event(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=module(SLEEPS))
    assert (await guest.attempt("nap", b"")).code == 1
    assert guest.usable


async def test_a_wait_for_a_clock_or_a_file_ends_with_the_file_and_leaves_the_question_as_it_was(
    make_guest: MakeGuest,
) -> None:
    assert await asyncio.wait_for(make_guest(wasm=module(SLEEPS)).call("hour_or_file", b""), HANG) == b""


async def test_a_guest_asleep_for_an_hour_ends_when_it_is_stopped_and_never_lingers(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()
    watch = Watch(linger_after=60 * HANG)
    guest = make_guest(turnstile, wasm=module(SLEEPS), watch=watch)
    asleep = asyncio.create_task(guest.call("hour", b"x"))
    await turnstile.reached()
    turnstile.open()
    guest.stop()
    with pytest.raises(GuestStoppedError):
        await asyncio.wait_for(asleep, HANG)
    assert await asyncio.to_thread(guest.wait, HANG)
    assert (guest.lingering, watch.lingering()) == (False, [])


async def test_a_sleep_is_ended_by_the_flag_alone(make_guest: MakeGuest) -> None:
    """No cancel is needed, nor would it help."""
    clock = Clock()
    asleep = threading.Event()

    def host(_: bytes) -> bytes:
        asleep.set()
        return b""

    guest = make_guest(host, wasm=module(SLEEPS), watch=Watch(clock=clock))
    running = asyncio.create_task(guest.call("hour", b"x"))
    assert await asyncio.to_thread(asleep.wait, HANG)
    guest.stopping.set()
    with pytest.raises(GuestStoppedError, match="a sleep"):
        await asyncio.wait_for(running, HANG)
    assert not guest.usable


async def test_a_deadline_ends_a_sleep(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=module(SLEEPS))
    with pytest.raises(PluginTimeoutError) as caught:
        await asyncio.wait_for(guest.call("hour", b"", timeout=0.05), HANG)
    assert caught.value.export == "hour"
    assert not guest.lingering
    assert not guest.usable
