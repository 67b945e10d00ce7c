"""Batches inside the border: a guest gets and gives the same in the same order, whether they are there or not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.companion.batching import Batches, Batching, Replies
from adapters.companion.exchange import ACCEPTED
from adapters.companion.pace import Pace

if TYPE_CHECKING:
    from tests.adapters.runtime.conftest import MakeGuest

KEYS = [{"type": "ticker", "source": "s", "identifier": name} for name in "AB"]


def publication(key: Any, data: Any, **more: Any) -> bytes:
    return msgspec.json.encode({"key": key, "data": data, **more})


#: What a guest can be told to do, by letter: a host function, and its request.
DOES: dict[str, tuple[str, bytes]] = {
    "r": ("ws_receive", b'{"connectionId":"ws-1","timeoutMs":0}'),
    "R": ("ws_receive", b'{"connectionId":"ws-1","timeoutMs":5}'),
    "p": ("publish_stream_data", publication(KEYS[0], 1, timestamp="2026-01-01T00:00:00Z")),
    "q": ("publish_stream_data", publication(KEYS[1], {"a": [1.5, "\u00e9\n", None]})),
    "o": ("publish_stream_data", b'{ "data":[2] , "timestamp":null,"key":%s}' % msgspec.json.encode(KEYS[0])),
    "b": ("publish_stream_data", b'{"key":{"type":"ticker"},"data":}'),
    "n": ("publish_stream_data", publication(KEYS[0], "no")),
    "L": ("publish_stream_data", publication(KEYS[0], "x" * 33_000)),
    "l": ("log_record", b'{"message":"said"}'),
    "s": ("ws_send", b'{"connectionId":"ws-1","message":"m"}'),
    "c": ("ws_close", b'{"connectionId":"ws-1"}'),
}


def wat() -> str:
    """A guest that does what its input says, letter by letter, and puts out all replies, a line each."""
    data, cases, at = "", "", 0x10000
    for letter, (function, request) in DOES.items():
        text = "".join(f"\\{byte:02x}" for byte in request)
        data += f'(data (i32.const {at}) "{text}")'
        cases += f"""
          (if (i32.eq (local.get $letter) (i32.const {ord(letter)}))
            (then (call $add (call ${function} (call $block (i32.const {at}) (i32.const {len(request)}))))))"""
        at += len(request) + 8
    imports = "".join(
        f'(import "env" "{name}" (func ${name} (param i64) (result i64)))' for name, _ in dict(DOES.values()).items()
    )
    return f"""(module {imports}
      (import "extism:host/env" "alloc" (func $alloc (param i64) (result i64)))
      (import "extism:host/env" "length" (func $length (param i64) (result i64)))
      (import "extism:host/env" "load_u8" (func $load_u8 (param i64) (result i32)))
      (import "extism:host/env" "store_u8" (func $store_u8 (param i64 i32)))
      (import "extism:host/env" "input_length" (func $input_length (result i64)))
      (import "extism:host/env" "input_load_u8" (func $input_u8 (param i64) (result i32)))
      (import "extism:host/env" "output_set" (func $output_set (param i64 i64)))
      (memory (export "memory") 8) {data}
      (global $out (mut i32) (i32.const 0x40000))
      (func $block (param $from i32) (param $length i32) (result i64) (local $block i64) (local $i i32)
        (local.set $block (call $alloc (i64.extend_i32_u (local.get $length))))
        (loop $next
          (call $store_u8 (i64.add (local.get $block) (i64.extend_i32_u (local.get $i)))
            (i32.load8_u (i32.add (local.get $from) (local.get $i))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $i) (local.get $length))))
        (local.get $block))
      (func $add (param $reply i64) (local $i i64) (local $n i64)
        (local.set $n (call $length (local.get $reply)))
        (block $end (loop $next
          (br_if $end (i64.ge_u (local.get $i) (local.get $n)))
          (i32.store8 (global.get $out) (call $load_u8 (i64.add (local.get $reply) (local.get $i))))
          (global.set $out (i32.add (global.get $out) (i32.const 1)))
          (local.set $i (i64.add (local.get $i) (i64.const 1)))
          (br $next)))
        (i32.store8 (global.get $out) (i32.const 10))
        (global.set $out (i32.add (global.get $out) (i32.const 1))))
      (func (export "run") (result i32) (local $i i64) (local $letter i32)
        (global.set $out (i32.const 0x40000))
        (block $end (loop $next
          (br_if $end (i64.ge_u (local.get $i) (call $input_length)))
          (local.set $letter (call $input_u8 (local.get $i)))
          {cases}
          (if (i32.eq (local.get $letter) (i32.const 33)) (then (unreachable)))
          (local.set $i (i64.add (local.get $i) (i64.const 1)))
          (br $next)))
        (call $output_set (call $block (i32.const 0x40000) (i32.sub (global.get $out) (i32.const 0x40000)))
          (i64.extend_i32_u (i32.sub (global.get $out) (i32.const 0x40000))))
        (i32.const 0)))"""


GUEST = bytes(wasmtime.wat2wasm(wat()))


class Host:
    """Answers a guest, batched or not, and notes in which order it gives and asks."""

    def __init__(self, most: int) -> None:
        self.journal: list[str] = []
        self.calls: list[int] = []  # messages handed out at once
        self.next = 0
        self.left = 0
        self.given = 0
        self.quiet = False
        self.pace = Pace()
        self.pace.most = most
        self.pace.took = lambda *_: None  # type: ignore[method-assign]
        self.batches = Batches(self.receive, self.publish, self.log, self.untaken, self.take_back)
        self.handlers = {
            "ws_receive": lambda request: self.receive(request, 1)[0][0],
            "publish_stream_data": self.publish,
            "log_record": self.log,
            "ws_send": lambda _: self.note("send"),
            "ws_close": lambda _: self.note("close"),
        }

    def note(self, what: str) -> bytes:
        self.journal.append(what)
        return b"done"

    def receive(self, request: bytes, most: int) -> Replies:
        assert self.left == 0 or self.given == 1, "what was handed out before is not accounted for"
        first, self.next = self.next, self.next + most
        self.given, self.left = most, most - 1
        self.calls.append(most)
        replies = [b"message %d for %s" % (number, request[-2:-1]) for number in range(first, first + most)]
        return (replies, most) if not self.quiet else ([b"nothing has come"], 0)

    def untaken(self, count: int) -> None:
        assert count < self.left
        self.left = count

    def take_back(self, count: int) -> None:
        assert count <= self.left
        self.next -= count
        self.left = 0

    def publish(self, request: bytes) -> bytes:
        if b'"no"' in request or b'"data":}' in request:
            self.note("refuse")
            return b'{"success":false,"error":"no"}'
        self.note(f"publish {len(request)}")
        return ACCEPTED

    def log(self, _: bytes) -> bytes:
        self.note("log")
        return b""


def play(make_guest: MakeGuest, most: int, *scripts: str) -> tuple[Host, list[list[bytes]]]:
    """Let a guest do what the scripts say, a call each. Returns the host, and the replies of each call."""
    host = Host(most)

    async def scenario() -> list[list[bytes]]:
        guest = make_guest(wasm=GUEST, handlers=host.handlers, batches=host.batches if most else None)
        if guest.border._batching is not None:
            guest.border._batching = Batching(host.batches, host.pace)
        try:
            return [(await guest.call("run", script.encode())).split(b"\n")[:-1] for script in scripts]
        finally:
            await guest.aclose()

    return host, asyncio.run(scenario())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text("rrrrrRppppqoblsc", min_size=1, max_size=60), min_size=1, max_size=3), st.sampled_from([2, 5, 64])
)
def test_a_guest_gets_and_gives_the_same_in_the_same_order(make_guest: MakeGuest, calls: list[str], most: int) -> None:
    alone, expected = play(make_guest, 0, *calls)
    batched, replies = play(make_guest, most, *calls)
    assert replies == expected
    assert batched.journal == alone.journal
    assert batched.next == alone.next  # what the guest did not take went back


def test_messages_are_handed_out_together_and_publications_wait_for_the_next_crossing(make_guest: MakeGuest) -> None:
    host, [replies] = play(make_guest, 5, "p" + "rp" * 10)
    assert host.calls == [5, 5]
    assert replies.count(ACCEPTED) == 11
    assert [reply for reply in replies if reply != ACCEPTED] == [b"message %d for 0" % n for n in range(10)]


def test_a_publication_that_is_refused_hears_why_and_so_does_the_next_of_a_key_that_was_granted(
    make_guest: MakeGuest,
) -> None:
    refused = b'{"success":false,"error":"no"}'
    _, [replies] = play(make_guest, 5, "nppn" + "sn" + "p")
    # The first crosses by itself. One of a granted key is refused after it was answered; the next hears of it.
    assert replies == [refused, ACCEPTED, ACCEPTED, ACCEPTED, b"done", refused, ACCEPTED]


def test_what_is_too_long_for_a_record_crosses_by_itself_in_its_place(make_guest: MakeGuest) -> None:
    host, _ = play(make_guest, 5, "ppLp")
    lengths = {letter: len(DOES[letter][1]) for letter in "pL"}
    assert host.journal == [f"publish {lengths[letter]}" for letter in "ppLp"]


def test_what_was_published_before_a_trap_arrives(make_guest: MakeGuest) -> None:
    host = Host(5)

    async def scenario() -> None:
        guest = make_guest(wasm=GUEST, handlers=host.handlers, batches=host.batches)
        guest.border._batching = Batching(host.batches, host.pace)
        with pytest.raises(Exception, match="run trapped"):
            await guest.call("run", b"prppl!")
        await guest.aclose()

    asyncio.run(scenario())
    assert [what.split()[0] for what in host.journal] == ["publish", "publish", "publish", "log"]


def test_what_a_guest_did_counts_the_same(make_guest: MakeGuest) -> None:
    counted = []
    for most in (0, 5):
        host = Host(most)

        async def scenario(host: Host = host, most: int = most) -> tuple[int, int]:
            guest = make_guest(wasm=GUEST, handlers=host.handlers, batches=host.batches if most else None)
            if guest.border._batching is not None:
                guest.border._batching = Batching(host.batches, host.pace)
            await guest.call("run", b"prprprplrprprs")
            await guest.aclose()
            return guest.border.calls, guest.border.moves

        counted.append(asyncio.run(scenario()))
    (calls, moves), (batched_calls, batched_moves) = counted
    assert batched_calls == calls - 4  # four of five messages were taken from the inbox
    assert abs(batched_moves - moves) <= 2  # the call's end, where there is something to say


def test_a_slow_guest_is_given_one_message_and_its_publications_cross_at_once() -> None:
    host, now = Host(1), [0.0]
    batching = Batching(host.batches, Pace(), lambda: now[0])
    for _ in range(20):
        assert len(batching.receive(b"r")) == 1
        batching.note_left(0, dropped=False)
        now[0] += 0.01
        assert not batching.grants(ACCEPTED)
    for _ in range(40):
        now[0] += 0.0001 * max(len(batching.receive(b"r")), 1)
        batching.note_left(0, dropped=False)
    assert host.calls[-1] > 5
    assert batching.grants(ACCEPTED)
    assert not batching.withdraw()
    now[0] += 10
    batching.receive(b"r")
    assert host.calls[-1] == 1
    assert batching.withdraw()
    assert not batching.withdraw()


def test_polls_that_bring_nothing_do_not_make_a_slow_guest_look_fast() -> None:
    host, now = Host(1), [0.0]
    batching = Batching(host.batches, Pace(), lambda: now[0])
    for quiet in [False] * 20 + [True] * 100:
        host.quiet = quiet
        batching.receive(b"r")
        batching.note_left(0, dropped=False)
        now[0] += 0.00001 if quiet else 0.02
    assert not batching.grants(ACCEPTED)
    host.quiet = False
    assert len(batching.receive(b"r")) == 1
