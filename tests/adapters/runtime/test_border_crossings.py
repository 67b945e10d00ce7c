"""The host's end of the exchange without a guest: what crosses is never taken on trust."""

from __future__ import annotations

import logging
import struct
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.companion.exchange import HOST_OPERATIONS, BorderError, Operation, Record
from adapters.companion.limits import Fault, KernelLimits
from adapters.observe import Crossing, Direction
from adapters.runtime.errors import GuestStoppedError
from adapters.voice import Voice
from tests.adapters.runtime.crossings import AT, SEND, answer_in, crossing, exchanged, record
from tests.adapters.runtime.guests import AN_HOUR, answer_nothing, border_of, echo


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        pytest.param(b"", "a block of 0 bytes", id="no block"),
        pytest.param(crossing(SEND)[:47], "a block of 47 bytes", id="half a head"),
        pytest.param(crossing(SEND, version=1), "version 1 of the exchange, the host version 2", id="version"),
        pytest.param(crossing(SEND, version=0), "version 0 of the exchange", id="no version"),
        pytest.param(crossing(SEND, request_length=1_024 - 47), "does not fit into its block", id="request"),
        pytest.param(crossing(SEND, request_length=2**32 - 1), "does not fit into its block", id="endless request"),
        pytest.param(crossing(SEND, records_length=1_024 - 40), "does not fit into its block", id="records"),
        pytest.param(crossing(SEND, records_length=12), "does not fit into its block", id="records not padded"),
        pytest.param(crossing(0), "the unknown operation 0", id="no operation"),
        pytest.param(crossing(11), "the unknown operation 11", id="between the operations"),
        pytest.param(crossing(65_535), "the unknown operation 65535", id="beyond the operations"),
        pytest.param(
            crossing(HOST_OPERATIONS["ws_close"]), "the unknown operation", id="a host function that nobody answers"
        ),
        pytest.param(crossing(SEND, b"", record(15, b"x")), "unknown kind 15", id="kind of record"),
        pytest.param(crossing(SEND, b"", record(6, bytes(7))), "a return in 7 bytes", id="no return code"),
        pytest.param(crossing(SEND, b"", record(0, b"")), "unknown kind 0", id="no kind of record"),
        pytest.param(
            crossing(SEND, b"", record(3, bytes(16))[:16]), "16 bytes is announced, 8 are left", id="truncated record"
        ),
        pytest.param(
            crossing(SEND, b"", struct.pack("<II", 3, 2**32 - 1)), "4294967295 bytes is announced", id="endless record"
        ),
    ],
)
def test_what_the_protocol_does_not_allow_is_refused_and_reaches_no_host_function(block: bytes, problem: str) -> None:
    asked: list[bytes] = []

    def host(request: bytes) -> bytes:
        asked.append(request)
        return b""

    with pytest.raises(BorderError, match=problem):
        exchanged(border_of(host), block)
    assert asked == []


OPERATIONS = st.sampled_from([*Operation, *HOST_OPERATIONS.values()])
RECORDS = st.lists(st.tuples(st.sampled_from(Record), st.binary(max_size=20)), max_size=4).map(
    lambda items: b"".join(record(kind, data) for kind, data in items)
)


@given(
    st.binary(max_size=200)
    | st.builds(crossing, OPERATIONS, st.binary(max_size=40), RECORDS, one=st.integers(-(2**63), 2**63 - 1))
    | st.builds(crossing, OPERATIONS, st.binary(max_size=40), st.binary(max_size=64))
)
def test_whatever_crosses_is_answered_within_its_block_or_refused(block: bytes) -> None:
    border = border_of(echo)
    border.stopping.set()  # no sleep is slept
    try:
        at, _ = exchanged(border, block)
    except (BorderError, GuestStoppedError):
        at = 0
    assert at in (0, AT, 2 * AT)


def test_a_request_that_fills_its_block_to_the_last_byte_is_read_and_one_beyond_refused() -> None:
    at, window = exchanged(border_of(echo), crossing(SEND, bytes(range(200)) * 4, room=48 + 800))
    assert answer_in(window, at) == bytes(range(200)) * 4
    with pytest.raises(BorderError):
        exchanged(border_of(echo), crossing(SEND, bytes(800), room=48 + 800, request_length=801))


def test_the_request_is_what_stands_behind_the_records() -> None:
    at, window = exchanged(border_of(echo), crossing(SEND, b"request", record(3, b"three") + record(4, b"")))
    assert (at, answer_in(window, at)) == (AT, b"request")


@pytest.mark.parametrize(("length", "where"), [(1_000, AT), (1_001, 2 * AT), (5_000, 2 * AT)])
def test_an_answer_stands_in_the_window_or_in_a_block_of_its_own(length: int, where: int) -> None:
    at, window = exchanged(border_of(lambda _: b"x" * length), crossing(SEND))
    assert (at, answer_in(window, at)) == (where, b"x" * length)
    assert len(window.blocks[at]).bit_count() == 1  # lengths repeat


def test_an_answer_that_there_is_no_room_for_is_the_end_of_the_call() -> None:
    with pytest.raises(BorderError, match="no room for an answer of 5024 bytes"):
        exchanged(border_of(lambda _: b"x" * 5_000), crossing(SEND), room_elsewhere=False)


def test_that_there_is_no_block_means_nothing_while_the_guest_is_stopped() -> None:
    border = border_of(lambda _: b"x" * 5_000)
    border.stopping.set()
    with pytest.raises(GuestStoppedError):
        exchanged(border, b"")
    with pytest.raises(GuestStoppedError):
        exchanged(border, crossing(SEND), room_elsewhere=False)


def test_an_answer_of_no_bytes_is_none() -> None:
    assert exchanged(border_of(answer_nothing), crossing(SEND))[0] == 0


def test_the_greeting_tells_what_is_kept_and_what_is_logged() -> None:
    logger = logging.getLogger("compat.plugin.example")
    logger.setLevel(logging.ERROR)
    try:
        at, window = exchanged(border_of(limits=KernelLimits(1, 2**40, 3, 5, 6, 7)), crossing(Operation.GREET))
    finally:
        logger.setLevel(logging.NOTSET)
    assert struct.unpack("<8Q", answer_in(window, at)) == (1, 2**40, 3, 4, 5, 6, 7, 0)


def test_a_guest_that_is_worn_is_told_of_once() -> None:
    told: list[str] = []
    border = border_of(on_worn=lambda: told.append("worn"))
    exchanged(border, crossing(SEND))
    assert told == []
    for flags in (1, 3, 1):
        exchanged(border, crossing(SEND, flags=flags))
    exchanged(border, crossing(SEND, flags=2))
    assert told == ["worn"]


def test_faults_and_exits_are_kept_until_somebody_asks_and_the_first_fault_counts() -> None:
    border = border_of()
    for handle, reason in ((7, 3), (8, 1)):
        exchanged(border, crossing(Operation.FAULT, one=handle, other=reason))
    exchanged(border, crossing(Operation.EXIT, one=42))
    assert border.fault is not None
    assert (border.fault.reason, border.fault.handle, border.exit_code) == (3, 7, 42)


def test_a_call_begins_without_the_fault_and_the_error_of_the_one_before() -> None:
    border = border_of()
    exchanged(border, crossing(Operation.FAULT, b"", record(Record.ERROR, b"an error"), one=7, other=3))
    assert (border.fault is None, border.error) == (False, b"an error")
    border.begin("hello")
    assert (border.fault is None, border.error) == (True, None)


CUT = 32 * 1024  # bytes; the companion cuts records off there


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"x" * (CUT - 1), b"x" * (CUT - 1)),
        (b"x" * CUT, b"x" * (CUT - 4_096) + b" [cut]"),
        (b"one\ntwo\n" + b"x" * (CUT - 8), b"one\ntwo\n[cut]"),
        (b"x" * (CUT - 9) + b"\n3456789\n", b"x" * (CUT - 9) + b"\n3456789\n[cut]"),
    ],
    ids=["whole", "one line", "lines", "ended"],
)
def test_of_a_record_that_was_cut_off_the_last_line_is_dropped(body: bytes, told: bytes) -> None:
    heard: list[str] = []

    class Heard(Voice):
        def say(self, level: int, text: str) -> None:
            heard.append(text)

    border = border_of(voice=Heard(logging.getLogger("compat.plugin.example")))
    exchanged(border, crossing(Operation.FLUSH, b"", record(Record.LOG_ERROR, body), room=2 * CUT))
    assert heard == [told.decode()]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([], None),
        ([b""], None),
        ([b"an error"], "an error"),
        ([b"x" * CUT, b"y"], "x" * CUT + "y"),
        ([b"x" * CUT, b"y" * CUT], "x" * CUT + "y" * CUT),
        ([b"x" * CUT, b"y" * CUT, b"z"], "x" * CUT + "y" * (CUT - 4_096) + " [cut at 64.0 KiB]"),
        ([b"x" * CUT, b"y" * (CUT - 6) + b"\ncut in", b"two"], "x" * CUT + "y" * (CUT - 6) + "\n[cut at 64.0 KiB]"),
        ([b"x" * CUT] * 100, "x" * (2 * CUT - 4_096) + " [cut at 64.0 KiB]"),
    ],
    ids=["none", "empty", "short", "two", "just as much", "a byte more", "lines", "endless"],
)
def test_an_errors_text_comes_in_parts_and_is_cut_where_it_is_too_long(parts: list[bytes], told: str | None) -> None:
    border = border_of()
    exchanged(border, crossing(Operation.FLUSH, b"", record(Record.ERROR, b"of before")))
    border.begin("hello")
    for number, part in enumerate(parts):
        kind = Record.ERROR_GOES_ON if number else Record.ERROR
        exchanged(border, crossing(Operation.FLUSH, b"", record(kind, part), room=2 * CUT))
    assert border.reason() == told
    assert len(border.error or b"") <= 2 * CUT + 1


@pytest.mark.parametrize("kind", [Record.STDOUT, Record.STDERR])
def test_of_a_stream_nothing_is_dropped_however_long_its_pieces_are(
    kind: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    border = border_of()
    for piece in ((b"x" * 63 + b"\n") * (CUT // 64), b"the end\n"):
        exchanged(border, crossing(Operation.FLUSH, b"", record(kind, piece), room=2 * CUT))
    assert [item.getMessage() for item in caplog.records] == ["x" * 63] * (CUT // 64) + ["the end"]


def test_records_are_taken_before_the_request_although_it_is_refused() -> None:
    border = border_of()
    with pytest.raises(BorderError, match="unknown operation"):
        exchanged(border, crossing(0, b"", record(Record.ERROR, b"an error")))
    assert border.error == b"an error"


@pytest.mark.parametrize("operation", [Operation.FLUSH, Operation.VAR_GET, Operation.SLEEP, SEND])
def test_every_crossing_of_a_guest_that_is_stopping_ends_its_call(operation: int) -> None:
    border = border_of()
    border.begin("hello")
    border.stopping.set()
    named = {Operation.SLEEP: "a sleep", SEND: "ws_send"}.get(operation, "hello")
    with pytest.raises(GuestStoppedError, match=f"{named} was not completed"):
        exchanged(border, crossing(operation, b"{}", record(Record.ERROR, b"before it ended")))
    assert border.error == b"before it ended"


def test_how_a_guest_that_is_stopping_ends_by_itself_is_noted() -> None:
    border = border_of()
    border.stopping.set()
    exchanged(border, crossing(Operation.EXIT, one=3))
    exchanged(border, crossing(Operation.FAULT, one=7, other=1))
    assert (border.exit_code, border.fault) == (3, Fault(1, 7))


def test_what_a_guest_that_is_stopping_has_left_is_collected() -> None:
    border = border_of()
    border.stopping.set()
    border.collect(lambda: exchanged(border, crossing(Operation.FLUSH, b"", record(Record.ERROR, b"left"))))
    assert border.error == b"left"
    with pytest.raises(ValueError, match="invalid literal"):
        border.collect(lambda: int("nothing"))
    with pytest.raises(GuestStoppedError):
        exchanged(border, crossing(Operation.FLUSH))


@pytest.mark.parametrize("nanoseconds", [AN_HOUR, -1, 2**63 - 1], ids=["an hour", "for ever", "290 years"])
def test_a_sleep_ends_when_the_guest_is_stopped(nanoseconds: int) -> None:
    border = border_of()
    stopped = threading.Timer(0.02, border.stopping.set)
    stopped.start()
    with pytest.raises(GuestStoppedError, match="plugin 'example': a sleep"):
        exchanged(border, crossing(Operation.SLEEP, one=nanoseconds))
    stopped.join()


def test_a_sleep_lasts_as_long_as_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    border = border_of()
    waited: list[float | None] = []

    def wait(timeout: float | None = None) -> bool:
        waited.append(timeout)
        return False

    monkeypatch.setattr(border.stopping, "wait", wait)
    for nanoseconds in (0, 20_000_000, AN_HOUR, -1):
        assert exchanged(border, crossing(Operation.SLEEP, one=nanoseconds))[0] == 0
    assert waited == [0, 0.02, 3_600, 10**7]


def test_host_calls_are_observed_with_what_crosses_and_counted() -> None:
    seen: list[Crossing] = []
    border = border_of(bytes.upper, guest="example#7", observer=seen.append)
    exchanged(border, crossing(SEND, b"request"))
    exchanged(border, crossing(Operation.FLUSH))
    assert [(item.guest, item.direction, item.name, item.data) for item in seen] == [
        ("example#7", Direction.HOST_CALL, "ws_send", b"request"),
        ("example#7", Direction.HOST_RETURN, "ws_send", b"REQUEST"),
    ]
    assert border.calls == 1


def test_to_set_a_variable_takes_no_longer_among_ten_thousand() -> None:
    border = border_of()

    def steps(name: int) -> int:
        """Python functions and generators that are entered while a variable is set."""
        entered: list[str] = []
        sys.setprofile(lambda frame, event, _: entered.append(frame.f_code.co_name) if event == "call" else None)
        try:
            exchanged(border, crossing(Operation.VAR_SET, b"value", record(Record.NAME, name.to_bytes(8, "little"))))
        finally:
            sys.setprofile(None)
        return len(entered)

    first = [steps(name) for name in range(2)]
    for name in range(2, 10_000):
        exchanged(border, crossing(Operation.VAR_SET, b"value", record(Record.NAME, name.to_bytes(8, "little"))))
    assert steps(10_000) <= max(first)
    assert steps(0) <= max(first)  # once more


def test_where_a_guest_is_can_be_seen_from_outside() -> None:
    seen: list[tuple[str, str, int]] = []

    def host(_: bytes) -> bytes:
        seen.append((border.running, border.inside, border.moves))
        raise RuntimeError

    border = border_of(host)
    assert (border.running, border.inside, border.moves) == ("", "", 0)
    border.begin("start_stream")
    assert (border.running, border.inside, border.moves) == ("start_stream", "", 1)
    with pytest.raises(RuntimeError):
        exchanged(border, crossing(SEND))
    assert seen == [("start_stream", "ws_send", 2)]
    assert (border.running, border.inside, border.moves) == ("start_stream", "", 2)
    exchanged(border, crossing(Operation.FLUSH))
    border.end()
    assert (border.running, border.inside, border.moves) == ("", "", 3)


def test_a_sleep_is_seen_as_one() -> None:
    border = border_of()
    border.begin("start_stream")
    seen: list[str] = []

    class Stopping(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            seen.append(border.inside)
            return False

    border.stopping = Stopping()
    exchanged(border, crossing(Operation.SLEEP, one=10**9))
    assert seen == ["a sleep"]
