"""From what a guest publishes to what a stream hands out: checks, gates and their order."""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import EventKind, StreamKey
from adapters.publisher import Gate, Publisher
from adapters.runtime.hostcalls import Publication
from adapters.stream import AdapterStream
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from adapters.contract import StreamData, StreamEvent
    from tests.adapters.conftest import MakeStream, Until

KEY = b'{"type":"ohlcv","source":"example","identifier":"BTC-USDT","parameters":{"timeframe":"1m"}}'


def publication(data: bytes = b"1", key: bytes = KEY, timestamp: object = "") -> Publication:
    return Publication(key, data, timestamp)


async def items(stream: AdapterStream, count: int) -> list[StreamData]:
    async with asyncio.timeout(HANG):
        return [await anext(stream) for _ in range(count)]


def told(stream: AdapterStream, kind: EventKind) -> list[StreamEvent]:
    return [event for event in stream._events if event.kind is kind]


async def test_a_publication_becomes_an_item_with_its_own_key_time_and_payload(make_stream: MakeStream) -> None:
    stream = await make_stream()
    other = StreamKey("trade", "example", "ETH")
    publisher = Publisher(stream, Gate.OPEN)
    key = msgspec.json.encode(other.to_wire())
    assert publisher.publish(publication(b'{"a": 1 }', key, "1970-01-01T00:00:00.000000007Z")) is None
    [item] = await items(stream, 1)
    assert (item.key, item.timestamp, item.data_type, item.data) == (other, 7, "trade", b'{"a": 1 }')


async def test_without_a_time_the_hosts_is_taken(make_stream: MakeStream) -> None:
    stream = await make_stream()
    stream.clock = itertools.count(100).__next__
    publisher = Publisher(stream, Gate.OPEN)
    publisher.publish(publication())
    [item] = await items(stream, 1)
    assert item.timestamp == 100
    assert told(stream, EventKind.PLUGIN_ERROR) == []


async def test_a_time_that_is_none_is_told_once_and_replaced(make_stream: MakeStream) -> None:
    stream = await make_stream()
    publisher = Publisher(stream, Gate.OPEN)
    for _ in range(3):
        assert publisher.publish(publication(timestamp="yesterday")) is None
    await items(stream, 3)
    [event] = told(stream, EventKind.PLUGIN_ERROR)
    assert event.message == "'yesterday' is not an RFC 3339 time; the host's receive time is used instead"


@pytest.mark.parametrize("value", [1_735_689_600, 1_735_689_600.0, 1_735_689_600_000, "1735689600000000"])
async def test_a_time_may_be_a_number(make_stream: MakeStream, value: object) -> None:
    stream = await make_stream()
    Publisher(stream, Gate.OPEN).publish(publication(timestamp=value))
    [item] = await items(stream, 1)
    assert item.timestamp == 1_735_689_600 * 10**9
    assert told(stream, EventKind.PLUGIN_ERROR) == []


@pytest.mark.parametrize("value", [-1, -0.5, 1e300, 10**30, True, [1], {"seconds": 1}, "nan"])
async def test_a_number_that_is_no_time_is_told_and_replaced(make_stream: MakeStream, value: object) -> None:
    stream = await make_stream()
    stream.clock = itertools.repeat(100).__next__
    assert Publisher(stream, Gate.OPEN).publish(publication(timestamp=value)) is None
    [item] = await items(stream, 1)
    assert item.timestamp == 100
    [event] = told(stream, EventKind.PLUGIN_ERROR)
    assert event.message.endswith("; the host's receive time is used instead")


@pytest.mark.parametrize("value", ["", 0, None])
async def test_an_empty_time_is_none_and_not_told(make_stream: MakeStream, value: object) -> None:
    stream = await make_stream()
    Publisher(stream, Gate.OPEN).publish(publication(timestamp=value))
    await items(stream, 1)
    assert told(stream, EventKind.PLUGIN_ERROR) == []


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"{", "the key is unusable"),
        (b"5", "the key is unusable"),
        (b'{"type":"a","source":"example"}', "the key is unusable"),
        (b'{"type":"","source":"example","identifier":"x"}', "the key is unusable"),
        (b'{"type":"a","source":"example","identifier":"\xff"}', "the key is unusable"),
        pytest.param(b"[" * 100_000, "the key is unusable", id="nested deeper than can be read"),
        (b'{"type":"a","source":"other","identifier":"x"}', r"source 'other' is not this stream's \('example'\)"),
    ],
)
async def test_a_key_that_cannot_be_used_is_refused_and_the_loss_told(
    make_stream: MakeStream, raw: bytes, why: str
) -> None:
    stream = await make_stream()
    refused = Publisher(stream, Gate.OPEN).publish(publication(key=raw))
    assert refused is not None
    assert re.match(why, refused)
    assert [event.lost for event in told(stream, EventKind.GAP)] == [1]
    assert refused in told(stream, EventKind.PLUGIN_ERROR)[0].message
    assert stream.stats.received == 0


async def test_what_is_held_is_passed_on_in_order_when_the_gate_opens(make_stream: MakeStream) -> None:
    stream = await make_stream()
    publisher = Publisher(stream, Gate.HELD)
    for number in range(5):
        assert publisher.publish(publication(b"%d" % number)) is None
    assert stream.stats.received == 0
    publisher.open(skip=2)
    publisher.publish(publication(b"5"))
    assert [item.data for item in await items(stream, 4)] == [b"2", b"3", b"4", b"5"]
    assert [item.data for item in publisher.recent] == [b"2", b"3", b"4", b"5"]
    assert not publisher.held


async def test_a_shut_gate_refuses_and_stays_shut(make_stream: MakeStream) -> None:
    stream = await make_stream()
    publisher = Publisher(stream, Gate.HELD)
    publisher.publish(publication())
    publisher.shut()
    assert publisher.publish(publication()) == "the stream is being closed"
    publisher.open()
    assert publisher.publish(publication()) == "the stream is being closed"
    assert stream.stats.received == 0


async def test_a_stopped_guest_publishes_no_more(make_stream: MakeStream) -> None:
    stream = await make_stream()
    publisher = Publisher(stream, Gate.OPEN)
    publisher.stopping.set()
    assert publisher.publish(publication()) == "the stream is being closed"
    assert not publisher.recent


async def test_settling_waits_for_the_item_that_is_passing(make_stream: MakeStream, until: Until) -> None:
    stream = await make_stream(capacity=1)
    publisher = Publisher(stream, Gate.OPEN)
    publisher.publish(publication(b"0"))
    passing = asyncio.create_task(asyncio.to_thread(publisher.publish, publication(b"1")))
    await until(lambda: stream._producer_waits)
    publisher.shut()

    def settle() -> list[bytes]:
        publisher.settle()
        return [item.data for item in publisher.recent]

    settling = asyncio.create_task(asyncio.to_thread(settle))
    await asyncio.wait([settling], timeout=0.05)  # proves nothing; without it, it could not fail
    assert [item.data for item in await items(stream, 2)] == [b"0", b"1"]
    assert await settling == [b"0", b"1"]
    assert await passing is None


async def test_what_is_published_while_the_gate_opens_comes_after_what_was_held(make_stream: MakeStream) -> None:
    stream = await make_stream(capacity=8)
    publisher = Publisher(stream, Gate.HELD)
    for number in range(100):
        publisher.publish(publication(b"%d" % number))
    opening = threading.Thread(target=publisher.open)
    opening.start()
    first = await items(stream, 1)
    guest = threading.Thread(target=lambda: [publisher.publish(publication(b"%d" % n)) for n in range(100, 200)])
    guest.start()
    rest = await items(stream, 199)
    await asyncio.to_thread(opening.join, HANG)
    await asyncio.to_thread(guest.join, HANG)
    assert [int(item.data) for item in first + rest] == list(range(200))


@given(st.binary(min_size=1, max_size=60), st.text(max_size=20) | st.floats() | st.integers())
def test_any_publication_is_taken_or_refused_with_a_reason(key: bytes, timestamp: object) -> None:
    stream = AdapterStream(StreamKey("a", "example", "x"), lambda _: pytest.fail("it is never opened"))
    publisher = Publisher(stream, Gate.OPEN)
    assert publisher.publish(publication(key=key, timestamp=timestamp))
    assert publisher.publish(publication(timestamp=timestamp)) is None
