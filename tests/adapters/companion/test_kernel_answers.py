"""The companion does not trust the host either: what is no answer ends the call, and never reaches the guest."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest
import wasmtime

from adapters.companion.exchange import HOST_OPERATIONS, STOP, Operation, Record, encode_answer, greeting
from tests.adapters.companion.standing_in import Companion, Crossing, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

    Forge = Callable[[Companion, int, int], int]

_HEAD = struct.Struct("<IIQII")  # of an answer, and of the first one in it
_WINDOW = 4_096


def in_the_window(answers: int, flags: int, length: int) -> Forge:
    def forge(companion: Companion, at: int, _: int) -> int:
        companion.write(at, _HEAD.pack(answers, flags, 0, length, 0))
        return at

    return forge


def in_a_block(size: int, answers: int, flags: int, length: int) -> Forge:
    def forge(companion: Companion, _: int, __: int) -> int:
        at = int(companion.kernel["alloc"](companion.store, size))
        companion.write(at, _HEAD.pack(answers, flags, 0, length, 0)[:size])
        return at

    return forge


def with_the_level(level: int) -> Forge:
    def forge(companion: Companion, at: int, _: int) -> int:
        companion.write(at, _HEAD.pack(1, 0, level, 8, 0))
        return at

    return forge


def nowhere(at: int) -> Forge:
    return lambda _, __, ___: at


def within_the_window(companion: Companion, at: int, _: int) -> int:
    companion.write(at + 8, encode_answer(b"no block begins here", own_block=True))
    return at + 8


FORGED: dict[str, Forge] = {
    "two answers": in_the_window(2, 0, 8),
    "very many answers": in_the_window(2**32 - 1, 0, 8),
    "two answers in a block": in_a_block(64, 2, 2, 8),
    "one byte longer than the window": in_the_window(1, 0, _WINDOW - 24 + 1),
    "2 GiB in the window": in_the_window(1, 0, 2**31),
    "4 GiB less a byte in the window": in_the_window(1, 0, 2**32 - 1),
    "4 GiB less 24 bytes in the window": in_the_window(1, 0, 2**32 - 24),
    "longer than its block": in_a_block(40, 1, 2, 17),
    "without room for what it is padded with": in_a_block(35, 1, 2, 11),
    "much longer than its block": in_a_block(40, 1, 2, 2**20),
    "4 GiB in a block": in_a_block(40, 1, 2, 2**32 - 24),
    "a flag that is not known": in_the_window(1, 16, 8),
    "a flag that is not known, without an answer": in_the_window(0, 2**31, 0),
    "the window as a block of its own": in_the_window(1, 2, 8),
    "a block as the window": in_a_block(64, 1, 0, 8),
    "a flag too many in a block": in_a_block(64, 1, 18, 8),
    "cut off in its head": in_a_block(8, 1, 2, 8),
    "cut off before its length": in_a_block(16, 1, 2, 8),
    "cut off after its length": in_a_block(24, 1, 2, 1),
    "a log level that there is not": with_the_level(6),
    "something beside the log level": with_the_level(2**32 + 1),
    "within a block": within_the_window,
    "beyond the memory": nowhere(2**40),
    "before the memory": nowhere(-8),
    "in no block": nowhere(4),
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
@pytest.mark.parametrize("name", ["host.ws_send", "env.var_get", "flush"])
def test_what_is_no_answer_is_a_fault_and_nothing_reaches_the_guest(name: str, forge: Forge) -> None:
    companion = Companion()
    request = companion.make(b"request")
    companion.call("env.log_info", request)
    before = companion.stats()
    companion.forge = lambda at, room: forge(companion, at, room)
    with pytest.raises(Fault) as caught:
        companion.call(name, *([] if name == "flush" else [request]))
    assert caught.value.reason == 6
    assert companion.dishonest() == 0
    assert companion.stats() == before


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED.keys())
def test_what_is_no_greeting_is_a_fault(forge: Forge) -> None:
    companion = Companion(begun=False)
    companion.forge = lambda at, room: forge(companion, at, room)
    with pytest.raises(Fault) as caught:
        companion.begin()
    assert caught.value.reason == 6
    assert companion.dishonest() == 0


@pytest.mark.parametrize("data", [b"", bytes(24), bytes(40)], ids=["nothing", "too short", "too long"])
def test_a_greeting_of_another_length_is_a_fault(data: bytes) -> None:
    companion = Companion(begun=False)
    companion.greeting = data
    with pytest.raises(Fault) as caught:
        companion.begin()
    assert caught.value.reason == 6


def test_no_greeting_is_a_fault() -> None:
    companion = Companion(begun=False)
    companion.forge = lambda _, __: 0
    with pytest.raises(Fault) as caught:
        companion.begin()
    assert caught.value.reason == 6


def test_the_guest_is_greeted_once_if_it_is_understood() -> None:
    companion = Companion(begun=False)
    companion.forge = lambda _, __: 0
    with pytest.raises(Fault):
        companion.begin()
    companion.forge = None
    companion.greeting = greeting(retained=1, budget=2**20, generations=9, log_level=3)
    companion.begin()
    assert companion.call("env.get_log_level") == 3
    companion.greeting = greeting(retained=1, budget=2**20, generations=9, log_level=4)
    companion.begin()
    assert companion.call("env.get_log_level") == 3


@pytest.mark.parametrize("reply", [b"", b"reply", bytes(_WINDOW)], ids=["empty", "in the window", "in a block"])
def test_every_answer_brings_the_log_level_and_without_one_it_stays(reply: bytes) -> None:
    companion = Companion(log_level=3)
    text = companion.make(b"a detail")
    for told, level in ((None, 3), (0, 0), (None, 0), (4, 4), (1, 1)):
        companion.log_level = told
        companion.reply = None
        companion.call("host.ws_send", text)
        companion.reply = reply
        companion.call("host.ws_send", 0)
        companion.take_crossings()
        assert companion.call("env.get_log_level") == level
        for number in range(5):
            companion.call(f"env.log_{('trace', 'debug', 'info', 'warn', 'error')[number]}", text)
        companion.call("flush")
        logged = [kind for crossing in companion.take_crossings() for kind, _ in crossing.records]
        assert logged == [Record.LOG_TRACE + number for number in range(level, 5)]


def test_a_crossing_without_an_answer_leaves_the_log_level() -> None:
    companion = Companion(log_level=3)
    companion.log_level = 0
    companion.call("host.ws_send", companion.make(b"request"))
    companion.call("sleep", 1)
    assert companion.call("env.get_log_level") == 3


@pytest.mark.parametrize("length", [1, _WINDOW - 24 - 8, _WINDOW - 24, _WINDOW - 23, 2**20 + 1, 3 * 2**20])
def test_an_answer_arrives_whole_whatever_its_length(length: int) -> None:
    companion = Companion()
    companion.reply = bytes(number * 7 % 251 for number in range(length))
    for _ in range(2):  # the second time the window has room for it
        handle = companion.call("host.ws_send", 0)
        assert companion.call("env.length", handle) == length
        assert companion.read(handle, min(length, 100)) == companion.reply[:100]
        assert companion.read(handle + length - 1, 1) == companion.reply[-1:]
        found = companion.own(0, int(companion.exports["own"].data_len(companion.store)))
        assert companion.reply in found
        assert companion.living() == 1  # the window
    assert companion.answered_beside == (length > _WINDOW - 24)
    assert companion.dishonest() == 0


@pytest.mark.parametrize("length", [1, _WINDOW - 48 - 1, _WINDOW - 48, _WINDOW - 47, 2**20 + 1, 3 * 2**20])
def test_a_request_crosses_whole_whatever_its_length(length: int) -> None:
    companion = Companion()
    block = companion.call("env.alloc", length)
    companion.call("fill", block, length, 2**60)
    words = b"".join(number.to_bytes(8, "little") for number in range(2**60, 2**60 + length // 8 + 1))
    for _ in range(2):
        companion.call("host.ws_send", block)
        assert companion.take_crossings() == [Crossing(HOST_OPERATIONS["ws_send"], words[:length])]
        assert companion.living() == 1  # the window
    assert companion.dishonest() == 0


def test_a_block_that_the_answer_fills_to_its_last_byte_is_understood() -> None:
    companion = Companion()
    companion.forge = lambda _, __: in_a_block(40, 1, 2, 16)(companion, 0, 0)
    assert companion.call("env.length", companion.call("host.ws_send", 0)) == 16
    companion.forge = lambda _, __: in_a_block(40, 1, 2, 11)(companion, 0, 0)
    assert companion.call("env.length", companion.call("host.ws_send", 0)) == 11
    assert companion.dishonest() == 0


@pytest.mark.parametrize("forge", [in_the_window(0, 0, 99), in_a_block(64, 0, 2, 99)], ids=["window", "block"])
def test_an_answer_without_an_answer_is_none(forge: Forge) -> None:
    companion = Companion()
    companion.forge = lambda at, room: forge(companion, at, room)
    assert companion.call("host.ws_send", 0) == 0
    assert companion.stats().blocks == 0


def test_answers_in_blocks_of_their_own_are_given_back() -> None:
    companion = Companion()
    companion.forge = lambda _, __: in_a_block(2**20, 1, 2, 2**20 - 24)(companion, 0, 0)
    for _ in range(20):
        companion.call("host.ws_send", 0)
        assert companion.living() == 1  # the window


@pytest.mark.parametrize("name", ["host.ws_send", "env.config_get", "flush", "sleep"])
def test_the_answer_that_ends_the_call_ends_it(name: str) -> None:
    companion = Companion()
    text = companion.make(b"said before")
    companion.call("env.log_info", text)
    companion.forge = companion.stop
    with pytest.raises(wasmtime.Trap):
        companion.call(name, *([] if name == "flush" else [0]))
    assert companion.take_crossings()[0].records == ((Record.LOG_INFO, b"said before"),)
    companion.call("env.log_warn", text)
    companion.forge = None
    companion.call("end")
    assert companion.take_crossings() == [Crossing(Operation.FLUSH, records=((Record.LOG_WARN, b"said before"),))]


def test_a_stopped_greeting_ends_the_call() -> None:
    companion = Companion(begun=False)
    companion.forge = companion.stop
    with pytest.raises(wasmtime.Trap):
        companion.begin()
    assert companion.crossings == []


def test_the_end_of_a_guest_crosses_with_its_code() -> None:
    companion = Companion()
    with pytest.raises(wasmtime.Trap):
        companion.call("wasi.proc_exit", 7)
    assert companion.take_crossings() == [Crossing(Operation.EXIT, one=7)]


def test_extisms_own_http_client_is_a_fault() -> None:
    companion = Companion()
    with pytest.raises(Fault) as caught:
        companion.call("env.http_request", 0, 0)
    assert caught.value.reason == 5
    assert companion.call("env.http_status_code") == companion.call("env.http_headers") == 0


def test_every_host_function_crosses_under_its_own_number_and_signature() -> None:
    companion = Companion()
    companion.reply = b"reply"
    request = companion.make(b"request")
    for name, number in HOST_OPERATIONS.items():
        assert companion.call(f"host.{name}", request) != 0
        asked = b"" if name == "time_now" else b"request"
        assert companion.take_crossings() == [Crossing(number, asked)]
    assert companion.call("host.log_record.1", request) is None
    assert companion.take_crossings() == [Crossing(HOST_OPERATIONS["log_record"], b"request")]


def test_stop_is_what_the_companion_takes_for_it() -> None:
    assert _HEAD.pack(0, 1, 0, 0, 0)[: len(STOP)] == STOP
