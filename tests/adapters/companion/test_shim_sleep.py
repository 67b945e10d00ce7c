"""A guest that sleeps does so at the host, which can wake it; where files are waited for, too, WASI waits."""

from __future__ import annotations

import pytest
import wasmtime

from adapters.companion.exchange import Operation, Record
from tests.adapters.companion.shim_guest import COUNT, END, EVENT, IN, INVALID, OUT, Clock, File, Guest
from tests.adapters.companion.standing_in import Crossing

_SLICE = 20_000_000  # nanoseconds; files are waited for in pieces of it


@pytest.fixture
def guest() -> Guest:
    return Guest()


@pytest.mark.parametrize("nanoseconds", [0, 1, 5_000_000, 10**9, 2**63 - 1, 2**63, 2**64 - 1])
def test_a_guest_that_waits_for_one_clock_sleeps_at_the_host(guest: Guest, nanoseconds: int) -> None:
    assert guest.wait(Clock(0xFEDC_BA98_7654_3210, nanoseconds)) == 0
    assert guest.slept() == [nanoseconds]
    assert guest.number(COUNT) == 1
    assert guest.read(OUT, 32) == EVENT.pack(0xFEDC_BA98_7654_3210, 0, 0, 0, 0)
    assert guest.polled == []


@pytest.mark.parametrize(
    ("clock", "until", "left"),
    [
        (1, 5_000_000_700, 700),
        (1, 5_000_000_000, 0),
        (1, 4_999_999_999, 0),
        (1, 0, 0),
        (1, 2**64 - 1, 2**64 - 1 - 5_000_000_000),
        (0, 1_000_009, 9),
    ],
)
def test_an_absolute_time_is_waited_for_by_its_own_clock(guest: Guest, clock: int, until: int, left: int) -> None:
    assert guest.wait(Clock(3, until, absolute=True, id=clock)) == 0
    assert guest.slept() == [left]
    assert guest.read(OUT, 32) == EVENT.pack(3, 0, 0, 0, 0)


def test_a_time_of_a_clock_that_there_is_not_has_come(guest: Guest) -> None:
    assert guest.wait(Clock(3, 2**64 - 1, absolute=True, id=2)) == 0
    assert guest.slept() == [0]


@pytest.mark.parametrize("turn", range(3))
def test_of_several_clocks_the_one_that_is_due_first_is_told(guest: Guest, turn: int) -> None:
    clocks = [Clock(1, 900), Clock(2, 5_000_000_300, absolute=True), Clock(3, 2**64 - 1)]
    assert guest.wait(*clocks[turn:], *clocks[:turn]) == 0
    assert guest.slept() == [300]
    assert guest.number(COUNT) == 1
    assert guest.read(OUT, 8) == (2).to_bytes(8, "little")


def test_of_clocks_that_are_due_at_once_the_first_is_told(guest: Guest) -> None:
    assert guest.wait(Clock(1, 2**64 - 1), Clock(2, 2**64 - 1)) == 0
    assert guest.slept() == [2**64 - 1]
    assert guest.read(OUT, 8) == (1).to_bytes(8, "little")


def test_no_subscription_is_invalid(guest: Guest) -> None:
    assert guest.wait() == INVALID
    assert guest.slept() == []
    assert guest.polled == []


def test_a_sleep_that_the_host_ends_ends_the_call(guest: Guest) -> None:
    guest.companion.forge = guest.companion.stop
    with pytest.raises(wasmtime.Trap):
        guest.wait(Clock(1, 10**18))


def test_what_was_said_crosses_before_a_sleep(guest: Guest) -> None:
    guest.print(1, b"good night")
    guest.wait(Clock(1, 7))
    assert guest.companion.take_crossings() == [
        Crossing(Operation.SLEEP, records=((Record.STDOUT, b"good night"),), one=7)
    ]


def test_files_alone_are_left_to_wasi(guest: Guest) -> None:
    event = EVENT.pack(4, 0, 1, 12, 0)
    guest.poll = lambda: (0, [event])
    assert guest.wait(File(4), File(5)) == 0
    assert guest.polled == [[File(4).packed(), File(5).packed()]]
    assert guest.read(OUT, 32) == event
    assert guest.slept() == []


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize(
    ("left", "slices"),
    [(0, [0]), (1, [1]), (_SLICE, [_SLICE]), (2 * _SLICE + 5, [_SLICE, _SLICE, 5])],
)
def test_files_and_a_clock_are_waited_for_in_slices(
    guest: Guest, left: int, slices: list[int], *, absolute: bool
) -> None:
    clock = Clock(9, left + (5_000_000_000 if absolute else 0), absolute=absolute)
    event = EVENT.pack(9, 0, 0, 0, 0)
    guest.poll = lambda: (0, [event])
    assert guest.wait(File(4), clock, Clock(10, 2**62)) == 0
    assert guest.polled == [[File(4).packed(), Clock(9, piece).packed(), Clock(10, 2**62).packed()] for piece in slices]
    assert guest.slept() == [0] * len(slices)  # the host is asked between
    assert guest.read(IN + 48, 48) == clock.packed()  # as the guest wrote it
    assert guest.read(OUT, 32) == event
    assert guest.number(COUNT) == 1


@pytest.mark.parametrize("with_the_clock", [False, True])
def test_a_file_that_is_ready_ends_the_wait(guest: Guest, *, with_the_clock: bool) -> None:
    file, clock = EVENT.pack(4, 0, 1, 12, 0), EVENT.pack(9, 0, 0, 0, 0)
    turns = [[clock], [clock, file] if with_the_clock else [file]]
    guest.poll = lambda: (0, turns.pop(0))
    assert guest.wait(Clock(9, 2**64 - 1), File(4)) == 0
    assert turns == []
    assert guest.number(COUNT) == 1 + with_the_clock
    assert file in guest.read(OUT, 64)
    assert guest.slept() == [0, 0]


def test_an_error_of_wasis_ends_the_wait(guest: Guest) -> None:
    guest.poll = lambda: (8, [])
    assert guest.wait(File(4), Clock(9, 2**60)) == 8
    assert len(guest.polled) == 1
    assert guest.read(IN + 48, 48) == Clock(9, 2**60).packed()


def test_a_guest_that_is_stopped_between_slices_waits_no_longer(guest: Guest) -> None:
    guest.companion.forge = guest.companion.stop
    with pytest.raises(wasmtime.Trap):
        guest.wait(File(4), Clock(9, 2**60))
    assert len(guest.polled) == 1


@pytest.mark.parametrize(
    ("at", "out", "count"),
    [(END - 41, OUT, COUNT), (-48, OUT, COUNT), (IN, END - 31, COUNT), (IN, OUT, END - 3), (IN, OUT, -1)],
)
def test_a_poll_outside_of_the_memory_traps(guest: Guest, at: int, out: int, count: int) -> None:
    guest.write(IN, Clock(1, 7).packed())
    with pytest.raises(wasmtime.Trap):
        guest.companion.call("wasi.poll_oneoff", at, out, 1, count)
