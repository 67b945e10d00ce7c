"""What a guest prints is a record, in the order of everything else; other files are WASI's."""

from __future__ import annotations

import struct

import pytest
import wasmtime

from adapters.companion.exchange import Record
from tests.adapters.companion.shim_guest import COUNT, END, IN, Guest


@pytest.fixture
def guest() -> Guest:
    return Guest()


def test_what_is_printed_is_a_record_and_crosses_with_what_comes_next(guest: Guest) -> None:
    assert guest.print(1, b"one, ", b"", b"two") == 0
    assert guest.number(COUNT) == 8
    assert guest.companion.crossings == []
    guest.companion.call("end")
    assert guest.said() == [(Record.STDOUT, b"one, "), (Record.STDOUT, b"two")]


def test_what_is_printed_as_an_error_crosses_at_once_and_in_order(guest: Guest) -> None:
    guest.print(1, b"out")
    assert guest.print(2, b"err", b"or") == 0
    assert guest.said() == [(Record.STDOUT, b"out"), (Record.STDERR, b"err"), (Record.STDERR, b"or")]


@pytest.mark.parametrize("fd", [1, 2])
def test_nothing_printed_is_no_record(guest: Guest, fd: int) -> None:
    assert guest.print(fd) == guest.print(fd, b"") == 0
    assert guest.number(COUNT) == 0
    guest.companion.call("end")
    assert guest.companion.crossings == []


def test_many_vectors_keep_their_order(guest: Guest) -> None:
    texts = [str(number).encode() for number in range(500)]
    assert guest.print(1, *texts, at=0x6000) == 0
    guest.companion.call("end")
    assert guest.said() == [(Record.STDOUT, text) for text in texts]


@pytest.mark.parametrize("length", [32_767, 32_768, 32_769, 45_000])
def test_much_is_printed_in_pieces_and_nothing_is_lost(guest: Guest, length: int) -> None:
    text = bytes(number * 7 % 251 for number in range(length))
    guest.write(0x5000, text)
    vectors = struct.pack("<II", 0x5000, length) * 3  # more than 64 KiB together
    guest.write(IN, vectors)
    assert guest.companion.call("wasi.fd_write", 1, IN, 3, COUNT) == 0
    assert guest.number(COUNT) == 3 * length
    guest.companion.call("end")
    said = guest.said()
    assert b"".join(body for _, body in said) == text * 3
    assert {kind for kind, _ in said} == {Record.STDOUT}


@pytest.mark.parametrize("fd", [0, 3, 2**31 - 1, -1])
def test_other_files_are_left_to_wasi(guest: Guest, fd: int) -> None:
    assert guest.print(fd, b"text") == 8
    assert guest.written == [(fd, IN, 1, COUNT)]
    guest.companion.call("end")
    assert guest.companion.crossings == []


@pytest.mark.parametrize(
    ("vectors", "text", "length", "written"),
    [
        (END - 7, 0x5000, 4, COUNT),
        (-8, 0x5000, 4, COUNT),
        (IN, END - 3, 4, COUNT),
        (IN, 0, END + 1, COUNT),
        (IN, 0xFFFF_FFFF, 4, COUNT),
        (IN, 0x5000, 0xFFFF_FFFF, COUNT),
        (IN, 0x5000, 0xFFFF_B001, COUNT),  # the sum overflows
    ],
)
def test_what_is_printed_from_outside_of_the_memory_traps_and_says_nothing(
    guest: Guest, vectors: int, text: int, length: int, written: int
) -> None:
    guest.print(1, b"said before")
    guest.companion.call("end")
    assert guest.said() == [(Record.STDOUT, b"said before")]
    guest.write(IN, struct.pack("<II", text, length))
    with pytest.raises(wasmtime.Trap):
        guest.companion.call("wasi.fd_write", 1, vectors, 1, written)
    guest.companion.call("end")
    assert guest.said() == []


def test_a_count_of_bytes_outside_of_the_memory_traps(guest: Guest) -> None:
    with pytest.raises(wasmtime.Trap):
        guest.print(1, b"text", written=END - 3)


def test_the_shim_shows_wasi_the_guests_memory(guest: Guest) -> None:
    guest.write(0x100, b"mark")
    assert bytes(guest.shim["memory"].read(guest.companion.store, 0x100, 0x104)) == b"mark"
    assert guest.shim["ready"](guest.companion.store) is None
