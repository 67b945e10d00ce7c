"""The hot way from bytes to messages: in no way other than the library's, and a share at a time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.exceptions import TooManyFragments
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import State
from websockets.uri import parse_uri

from adapters.net.frames import FrameReader
from adapters.net.inbox import Inbox
from tests.support.rogue.wire import CLOSE, frame

BINARY, PING, PONG = 2, 9, 10
MOST = 2**20  # of frames, and of what they hold: everything
LONGEST = 100_000


class End:
    """The library's end of a connection that takes the bytes which are not read on the way."""

    def __init__(self) -> None:
        self.protocol = ClientProtocol(parse_uri("ws://x/"), state=State.OPEN, max_size=LONGEST)
        self.inbox = Inbox(lambda: None)
        self.sent: list[bytes] = []

    def take(self, data: bytes) -> bool:
        """Take bytes; whether the connection is open after them."""
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode in DATA_OPCODES:
                self.inbox.put(event)
        self.sent += self.protocol.data_to_send()
        return self.protocol.state is State.OPEN

    def messages(self) -> list[Any]:
        """What has come out; of an exception, its type."""
        return [type(one) if isinstance(one, Exception) else one for one in self.inbox.messages]

    def ended(self) -> tuple[Any, ...]:
        """How it has ended, if it has; and how much was answered, which is masked by chance."""
        protocol = self.protocol
        answers = [len(answer) for answer in self.sent]
        return protocol.close_sent, protocol.close_rcvd, protocol.close_rcvd_then_sent, answers


PAYLOADS = st.one_of(st.binary(max_size=9), st.sampled_from([0, 125, 126, 65_535, 65_536]).map(lambda n: b"x" * n))
TEXTS = st.one_of(st.text(max_size=9).map(str.encode), PAYLOADS)
WHOLE = st.one_of(st.builds(frame, TEXTS), st.builds(frame, PAYLOADS, opcode=st.just(BINARY)))
CONTROL = st.builds(frame, st.binary(max_size=125), opcode=st.sampled_from([PING, PONG]))
BEGUN = st.builds(frame, TEXTS, opcode=st.sampled_from([1, 2]), fin=st.just(False))
CONTINUED = st.builds(frame, TEXTS, opcode=st.just(0), fin=st.booleans())
WRONG = st.one_of(
    st.builds(frame, st.binary(max_size=3), opcode=st.integers(0, 15), rsv=st.integers(0, 7), masked=st.booleans()),
    st.builds(frame, st.just(b"\x03\xe8bye"), opcode=st.just(CLOSE)),
    st.builds(frame, st.just(b"x"), length=st.sampled_from([LONGEST + 1, 2**62])),
    st.binary(max_size=12),
)
FRAMES = st.lists(st.one_of(WHOLE, WHOLE, WHOLE, CONTROL, BEGUN, CONTINUED, WRONG), max_size=30).map(b"".join)


@given(FRAMES, st.lists(st.tuples(st.integers(1, 70_000), st.integers(1, 9), st.integers(1, 200)), min_size=1))
def test_what_comes_out_is_what_the_library_makes_of_it(data: bytes, pieces: list[tuple[int, int, int]]) -> None:
    library, ours = End(), End()
    library.take(data)
    reader, rest = FrameReader(LONGEST, ours.inbox, ours.take), data
    while rest:
        for length, frames, size in pieces:
            reader.feed(rest[:length])
            reader.read(frames, size)
            rest = rest[length:]
            if not rest:
                break
    assert not reader.read(MOST, MOST * MOST)
    assert ours.messages() == library.messages()
    if UnicodeDecodeError not in ours.messages():  # the connection is closed for that when the reader comes to it
        assert ours.ended() == library.ended()


def test_no_more_frames_are_read_at_once_than_are_asked_for() -> None:
    end = End()
    reader = FrameReader(LONGEST, end.inbox, end.take)
    reader.feed(frame(b"") * 3 + frame(b"", opcode=PING) * 3 + frame(b"last"))
    assert [(reader.read(2, MOST), len(end.messages()), len(end.sent)) for _ in range(4)] == [
        (True, 2, 0),
        (True, 3, 1),
        (True, 3, 3),
        (False, 4, 3),
    ]


def test_nothing_is_read_while_enough_waits() -> None:
    end = End()
    reader = FrameReader(LONGEST, end.inbox, end.take)
    reader.feed(frame(b"x" * 10) * 6)
    assert reader.read(MOST, 25)
    assert len(end.messages()) == 3
    assert reader.read(MOST, 25)
    assert end.inbox.take(2) == ["x" * 10] * 2
    assert reader.read(MOST, 25)
    assert len(end.messages()) == 3
    assert end.inbox.size == 30


def test_a_message_of_too_many_fragments_ends_the_messages_after_those_before() -> None:
    end = End()
    reader = FrameReader(LONGEST, end.inbox, end.take)
    reader.feed(frame(b"before") + frame(b"", fin=False) + frame(b"", opcode=0, fin=False) * 4_096)
    reader.read(MOST, MOST)
    reader.feed(frame(b"", opcode=0) + frame(b"after"))
    reader.read(MOST, MOST)
    assert end.messages() == ["before", TooManyFragments]
    assert end.inbox.take(9) == ["before"]
    assert end.inbox.take(9) == []


@pytest.mark.parametrize("length", [3, 300, 70_000])
def test_a_frame_that_comes_byte_by_byte_is_read_once_it_is_there(length: int) -> None:
    end = End()
    reader = FrameReader(LONGEST, end.inbox, end.take)
    whole = frame(b"x" * length)
    for byte in whole[:20]:
        reader.feed(bytes([byte]))
        assert not reader.read(MOST, MOST)
    if whole[20:]:
        reader.feed(whole[20:])
    assert not reader.read(MOST, MOST)
    assert end.messages() == ["x" * length]


@pytest.mark.parametrize("length", [0, 125, 126, 65_535])
def test_a_length_that_takes_more_bytes_than_it_has_to_stops_nothing(length: int) -> None:
    end = End()
    reader = FrameReader(LONGEST, end.inbox, end.take)
    wide = b"\x81\x7f" + length.to_bytes(8) + b"x" * length
    reader.feed(wide + frame(b"after"))
    reader.read(MOST, MOST)
    assert end.messages() == ["x" * length, "after"]
