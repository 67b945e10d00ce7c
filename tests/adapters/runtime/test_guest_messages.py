"""Several messages in one call of Extism's: the same outcomes, in the same order, as one call for each has."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from typing import TYPE_CHECKING

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.answers import judged
from adapters.companion.limits import KernelLimits
from adapters.companion.trampoline import HANDLER
from adapters.observe import Crossing, Direction
from adapters.runtime.errors import GuestFaultError, GuestStoppedError, PluginExitError, PluginTrapError
from adapters.voice import Voice
from tests.adapters.runtime.guests import LIBRARY
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.runtime.engine import CallOutcome
    from adapters.runtime.guest import Guest
    from tests.adapters.runtime.conftest import MakeGuest

#: How each letter's function is written, in WAT; ``$rest`` is a block with the input behind its first letter.
WAYS = {
    "o": "(call $answer (call $rest))",
    "l": "(call $log_info (call $rest)) (call $answer (call $rest))",
    "h": "(drop (call $host (call $rest))) (call $answer (call $rest))",
    "p": "(call $print (i32.const 1) (i32.const 1) (call $copied)) (call $answer (call $rest))",
    "2": "(call $output_set (call $input_offset) (call $input_length)) (call $answer (call $rest))",
    "0": "(call $answer (call $rest)) (call $output_set (call $input_offset) (i64.const 0))",
    "n": "",
    "k": "(drop (call $alloc (i64.const 16384))) (call $answer (call $rest))",
    "c": "(call $answer (call $rest)) (return (i32.const -7))",
    "e": "(call $error_set (call $rest)) (call $answer (call $rest))",
    "r": "(call $error_set (call $rest)) (return (i32.const 1))",
    "b": "(call $error_set (call $rest)) (call $error_set (i64.const 0)) (call $answer (call $rest))",
    "L": "(call $answer (call $block (i32.const 0) (i32.const 32769)))",
    "S": "(call $answer (call $block (i32.const 0) (i32.const 32769))) (call $answer (call $rest))",
    "T": "(call $answer (call $rest)) (call $answer (call $block (i32.const 0) (i32.const 32769)))",
    "8": """
        (i64.store (i32.const 0x8000) (call $input_u64 (i64.const 0)))
        (i64.store (i32.const 0x8008) (call $input_u64 (i64.sub (call $input_length) (i64.const 8))))
        (i64.store (i32.const 0x8010) (call $input_u64 (i64.sub (call $input_length) (i64.const 7))))
        (i64.store (i32.const 0x8018) (call $input_u64 (i64.const -8)))
        (i32.store8 (i32.const 0x8020) (call $input_u8 (call $input_length)))
        (call $log_info (call $block (i32.const 0x8000) (i32.const 33))) (call $answer (call $rest))""",
    "t": "(call $print (i32.const 2) (i32.const 1) (call $copied)) (unreachable)",
    "x": "(call $exit (i32.const 3))",
    "f": "(drop (call $load_u8 (i64.const 12345678901234)))",
}
CASES = "".join(
    f"(if (i32.eq (call $input_u8 (i64.const 0)) (i32.const {ord(letter)})) (then {way}))"
    for letter, way in WAYS.items()
)
WAT = f"""(module
  (import "extism:host/env" "input_load_u8" (func $input_u8 (param i64) (result i32)))
  (import "extism:host/env" "input_load_u64" (func $input_u64 (param i64) (result i64)))
  {LIBRARY}
  (func $copied (result i32)
    (local $i i64)
    (loop $next
      (i32.store8 (i32.wrap_i64 (local.get $i)) (call $input_u8 (local.get $i)))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br_if $next (i64.lt_u (local.get $i) (call $input_length))))
    (i32.sub (i32.wrap_i64 (call $input_length)) (i32.const 1)))
  (func $rest (result i64) (call $block (i32.const 1) (call $copied)))
  (func (export "{HANDLER}") (result i32) {CASES} (i32.const 0))
  (func (export "other") (result i32) (call $answer (call $input_offset)) (i32.const 0)))"""
DATA = b'{"success":true,"action":"data","data":1}'
IGNORE = b'{"success":true,"action":"ignore"}'


@functools.cache
def wasm(text: str = WAT) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


class Told(logging.Logger):
    """What a guest has told, in order: its log, its prints, and its calls of the host function."""

    def __init__(self) -> None:
        super().__init__("told")
        self.told: list[str] = []

    def handle(self, record: logging.LogRecord) -> None:
        self.told.append(record.getMessage())

    def host(self, request: bytes) -> bytes:
        self.told.append(f"host {request!r}")
        return b"reply"


@pytest.fixture
def handling(make_guest: MakeGuest) -> Guest:
    """One guest for all examples of a test."""
    return make_guest(wasm=wasm())


async def entered(guest: Guest, inputs: Sequence[bytes], export: str = HANDLER) -> list[CallOutcome]:
    """The outcomes of one ``enter_many``."""
    work = lambda: guest.enter_many(export, inputs)  # noqa: E731 - it is handed over, not named
    return await asyncio.wait_for(asyncio.wrap_future(guest.submit(work, export)), HANG)


async def batched(guest: Guest, inputs: Sequence[bytes]) -> list[CallOutcome]:
    """The outcomes of all inputs, in as few calls as may be."""
    outcomes: list[CallOutcome] = []
    while len(outcomes) < len(inputs):
        outcomes += await entered(guest, inputs[len(outcomes) :])
    return outcomes


async def test_messages_are_handled_in_one_call_and_each_has_its_outcome(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=wasm())
    inputs = [b"o" + DATA, b"o" + IGNORE, b'o{"data":"%s"}' % (b"x" * 32_000), b"o{}", b"o" + DATA]
    crossings = guest.border.moves
    outcomes = await entered(guest, inputs)
    assert [outcome.output for outcome in outcomes] == [data[1:] for data in inputs]
    assert all(outcome.ok for outcome in outcomes)
    assert guest.border.moves - crossings < 2 * len(inputs)


@pytest.mark.parametrize(
    "answer",
    [
        b"c" + DATA,
        b"e" + DATA,
        b"r" + DATA,
        b"n",
        b"0" + DATA,
        b"L",
        b"T" + DATA,
        b"o[1]",
        b"onothing that is JSON",
        b'o{"success":false,"action":"data","data":1}',
        b'o{"success":null}',
        b'o{"success":"true"}',
        b'o{"success":true,"success":true}',
        b'o{"succes\\u0073":false}',
        b'o{"success":true,"action":"send","sendMessage":"x"}',
        b'o{"success":true,"action":"close"}',
        b'o{"success":true,"action":"reconnect"}',
        b'o{"success":true,"action":"d\\u0061ta","data":1}',
        b'o{"success":true,"action":"Data","data":1}',
        b'o{"success":true,"action":null}',
        b'o{"success":true,"action":"data"}',
        b'o{"success":true,"action":"ignore","action":"close"}',
        b'o{"success":true,"sendMessage":5}',
        b'o{"success":true,"dataType":[]}',
    ],
)
async def test_nothing_follows_an_answer_that_somebody_has_to_look_at(make_guest: MakeGuest, answer: bytes) -> None:
    guest = make_guest(wasm=wasm())
    inputs = [b"o" + DATA, answer, b"o" + IGNORE]
    outcomes = await entered(guest, inputs)
    assert outcomes == [(await entered(guest, [data]))[0] for data in inputs[:2]]
    assert [outcome.output for outcome in await entered(guest, inputs[2:])] == [IGNORE]


@pytest.mark.parametrize("way", ["2", "S", "b", "8", "l", "h", "p"])
async def test_what_does_not_fail_is_followed(make_guest: MakeGuest, way: str) -> None:
    guest = make_guest(wasm=wasm())
    outcomes = await entered(guest, [way.encode() + DATA, b"o" + IGNORE])
    assert [(outcome.ok, outcome.output) for outcome in outcomes] == [(True, DATA), (True, IGNORE)]


VALUES = st.sampled_from(
    [
        b"true",
        b"false",
        b"null",
        b"1",
        b'"true"',
        b'"data"',
        b'"ignore"',
        b'"send"',
        b'"Data"',
        b'"d\\u0061ta"',
        b"[]",
        b"{}",
    ]
)
NAMES = st.sampled_from([b"success", b"action", b"data", b"dataType", b"sendMessage", b"error", b"acti\\u006fn"])
ANSWERS = st.lists(st.tuples(NAMES, VALUES), max_size=5).map(
    lambda members: b"{%b}" % b",".join(b'"%b":%b' % member for member in members)
)


@given(answers=st.lists(ANSWERS, min_size=2, max_size=10))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_followed_asks_for_nothing_as_the_host_reads_it(handling: Guest, answers: list[bytes]) -> None:
    work = lambda: handling.enter_many(HANDLER, [b"o" + answer for answer in answers])  # noqa: E731 - it is handed over
    *followed, _ = handling.submit(work, HANDLER).result(HANG)
    assert all(judged(outcome, handling.reason_of, str, silence_fails=True).plain for outcome in followed)


INPUTS = st.lists(
    st.tuples(
        st.sampled_from([way.encode() for way in WAYS if way not in "txf"]),
        st.sampled_from([DATA, IGNORE, b"{}", b'{"success":false}', b"1", b"a\nb", b'{"action":"close"}']),
    ).map(b"".join),
    max_size=30,
)


@given(INPUTS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_it_does_the_outcomes_and_what_is_told_are_those_of_single_calls(
    make_guest: MakeGuest, inputs: list[bytes]
) -> None:
    async def everything() -> list[tuple[list[CallOutcome], list[str]]]:
        alone, together = Told(), Told()
        guests = [make_guest(told.host, wasm=wasm(), voice=Voice(told)) for told in (alone, together)]
        one = [(await entered(guests[0], [data]))[0] for data in inputs]
        return [(one, alone.told), (await batched(guests[1], inputs), together.told)]

    one, other = asyncio.run(everything())
    assert one == other


@pytest.mark.parametrize(
    ("way", "error", "said"),
    [
        (b"tpanic: first", PluginTrapError, "panic: first"),
        (b"x", PluginExitError, "code 3"),
        (b"f", GuestFaultError, "never given"),
    ],
)
async def test_a_trap_keeps_what_was_handled_before(
    make_guest: MakeGuest, way: bytes, error: type[Exception], said: str
) -> None:
    told = Told()
    guest = make_guest(told.host, wasm=wasm(), voice=Voice(told))
    *handled, broken = await entered(guest, [b"o" + DATA, b"l" + IGNORE, way, b"o" + DATA])
    assert [(outcome.ok, outcome.output) for outcome in handled] == [(True, DATA), (True, IGNORE)]
    assert IGNORE.decode() in told.told
    assert broken.trapped
    assert not guest.usable
    with pytest.raises(error, match=said):
        guest.require_whole(HANDLER, broken)


async def test_what_a_host_function_raises_is_the_last_outcome(make_guest: MakeGuest) -> None:
    def host(request: bytes) -> bytes:
        raise ZeroDivisionError(request)

    guest = make_guest(host, wasm=wasm())
    handled, broken = await entered(guest, [b"o" + DATA, b"h" + DATA, b"o" + DATA])
    assert handled.ok
    with pytest.raises(ZeroDivisionError):
        guest.require_whole(HANDLER, broken)
    with pytest.raises(GuestStoppedError):
        await entered(guest, [b"o" + DATA])


async def test_a_guest_that_is_stopped_between_messages_has_no_more_outcomes_than_messages(
    make_guest: MakeGuest,
) -> None:
    stopping = threading.Event()

    def host(_: bytes) -> bytes:
        stopping.set()
        return b""

    guest = make_guest(host, wasm=wasm(), stopping=stopping)
    work = lambda: guest.enter_many(HANDLER, [b"o" + DATA, b"h" + DATA])  # noqa: E731 - it is handed over, not named
    first, second = await asyncio.wait_for(asyncio.wrap_future(guest.submit(work, HANDLER)), HANG)
    assert first.ok
    with pytest.raises(GuestStoppedError):
        guest.require_whole(HANDLER, second)


async def test_more_than_the_outbox_holds_is_handled_in_one_call(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=wasm())
    data = b'{"data":"%s"}' % (b"x" * 3_000)
    outcomes = await entered(guest, [b"o" + data] * 50)
    assert [outcome.output for outcome in outcomes] == [data] * 50


async def test_an_output_that_is_too_long_for_a_record_ends_the_batch_and_is_whole(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=wasm())
    longest, longer = (b'{"data":"%s"}' % (b"x" * (length - 11)) for length in (32_768, 32_769))
    inputs = [b"o" + DATA, b"o" + longest, b"o" + longer, b"o" + DATA]
    outcomes = await entered(guest, inputs)
    assert [outcome.output for outcome in outcomes] == [DATA, longest, longer]


async def test_what_a_message_leaves_in_memory_is_taken_back_within_a_batch(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=wasm(), limits=KernelLimits(retained=2**16))
    outcomes = await entered(guest, [b"k" + IGNORE] * 100)
    assert len(outcomes) == 100
    assert guest.border.blocks < 70  # the latest 64 always stay, and what the last message made


async def test_words_of_one_message_do_not_stand_at_the_failure_of_another(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=wasm())
    *_, broken = await entered(guest, [b"p" + DATA, b"o" + DATA, b"tno reason"])
    with pytest.raises(PluginTrapError, match="no reason") as caught:
        guest.require_whole(HANDLER, broken)
    assert DATA.decode() not in str(caught.value)


async def test_other_exports_take_one_input_and_so_does_a_guest_without_that_export(make_guest: MakeGuest) -> None:
    guest = make_guest(wasm=wasm())
    assert [outcome.output for outcome in await entered(guest, [b"1", b"2"], "other")] == [b"1"]
    guest = make_guest(wasm=wasm(WAT.replace(f'"{HANDLER}"', '"another"')))
    assert [outcome.output for outcome in await entered(guest, [b"o1", b"o2"], "another")] == [b"1"]
    (missing,) = await entered(guest, [b"o1", b"o2"])
    assert HANDLER in str(missing.error)


async def test_an_observer_sees_one_call_for_one_message(make_guest: MakeGuest) -> None:
    seen: list[Crossing] = []
    guest = make_guest(wasm=wasm(), observer=seen.append)
    assert len(await entered(guest, [b"o" + DATA, b"o" + DATA])) == 1
    assert [(crossing.direction, crossing.data) for crossing in seen] == [
        (Direction.CALL, b"o" + DATA),
        (Direction.RETURN, DATA),
    ]


async def test_a_handler_without_a_return_code_has_succeeded(make_guest: MakeGuest) -> None:
    text = f"""(module {LIBRARY}
      (func (export "{HANDLER}") (call $output_set (call $input_offset) (call $input_length))))"""
    outcomes = await entered(make_guest(wasm=wasm(text)), [DATA, IGNORE])
    assert [(outcome.code, outcome.output) for outcome in outcomes] == [(0, DATA), (0, IGNORE)]
