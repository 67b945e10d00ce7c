"""From what a guest publishes to what a stream hands out: checks, gates and their order."""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.channel import Channel
from adapters.contract import EventKind, StreamKey
from adapters.feed import Feed
from adapters.publisher import CLOSING, Publisher
from adapters.runtime.hostcalls import Publication
from adapters.stream import AdapterStream
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from adapters.contract import StreamData, StreamEvent
    from tests.adapters.conftest import MakeStream

KEY = b'{"type":"ohlcv","source":"example","identifier":"BTC-USDT","parameters":{"timeframe":"1m"}}'


def publication(data: bytes = b"1", key: bytes = KEY, timestamp: object = "") -> Publication:
    return Publication(key, data, timestamp)


def publishing_to(stream: AdapterStream) -> Publisher:
    return Publisher(Feed(stream._channel))


async def items(stream: AdapterStream, count: int) -> list[StreamData]:
    async with asyncio.timeout(HANG):
        return [await anext(stream) for _ in range(count)]


def told(stream: AdapterStream, kind: EventKind) -> list[StreamEvent]:
    return [event for event in stream._channel.events if event.kind is kind]


async def test_a_publication_becomes_an_item_with_its_own_key_time_and_payload(make_stream: MakeStream) -> None:
    stream = await make_stream()
    other = StreamKey("trade", "example", "ETH")
    publisher = publishing_to(stream)
    key = msgspec.json.encode(other.to_wire())
    assert publisher.publish(publication(b'{"a": 1 }', key, "1970-01-01T00:00:00.000000007Z")) is None
    publisher.write()
    [item] = await items(stream, 1)
    assert (item.key, item.timestamp, item.data_type, item.data) == (other, 7, "trade", b'{"a": 1 }')


async def test_without_a_time_the_hosts_is_taken(make_stream: MakeStream) -> None:
    stream = await make_stream()
    stream._channel.clock = itertools.count(100).__next__
    publisher = publishing_to(stream)
    publisher.publish(publication())
    publisher.write()
    [item] = await items(stream, 1)
    assert item.timestamp == 100
    assert told(stream, EventKind.PLUGIN_ERROR) == []


async def test_a_time_that_is_none_is_told_once_and_replaced(make_stream: MakeStream) -> None:
    stream = await make_stream()
    publisher = publishing_to(stream)
    for _ in range(3):
        assert publisher.publish(publication(timestamp="yesterday")) is None
    publisher.write()
    await items(stream, 3)
    [event] = told(stream, EventKind.PLUGIN_ERROR)
    assert event.message == "'yesterday' is not an RFC 3339 time; the host's receive time is used instead"


@pytest.mark.parametrize("value", [1_735_689_600, 1_735_689_600.0, 1_735_689_600_000, "1735689600000000"])
async def test_a_time_may_be_a_number(make_stream: MakeStream, value: object) -> None:
    stream = await make_stream()
    publisher = publishing_to(stream)
    publisher.publish(publication(timestamp=value))
    publisher.write()
    [item] = await items(stream, 1)
    assert item.timestamp == 1_735_689_600 * 10**9
    assert told(stream, EventKind.PLUGIN_ERROR) == []


@pytest.mark.parametrize("value", [-1, -0.5, 1e300, 10**30, True, [1], {"seconds": 1}, "nan"])
async def test_a_number_that_is_no_time_is_told_and_replaced(make_stream: MakeStream, value: object) -> None:
    stream = await make_stream()
    stream._channel.clock = itertools.repeat(100).__next__
    publisher = publishing_to(stream)
    assert publisher.publish(publication(timestamp=value)) is None
    publisher.write()
    [item] = await items(stream, 1)
    assert item.timestamp == 100
    [event] = told(stream, EventKind.PLUGIN_ERROR)
    assert event.message.endswith("; the host's receive time is used instead")


@pytest.mark.parametrize("value", ["", 0, None])
async def test_an_empty_time_is_none_and_not_told(make_stream: MakeStream, value: object) -> None:
    stream = await make_stream()
    publisher = publishing_to(stream)
    publisher.publish(publication(timestamp=value))
    publisher.write()
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
    refused = publishing_to(stream).publish(publication(key=raw))
    assert refused is not None
    assert re.match(why, refused)
    assert [event.lost for event in told(stream, EventKind.GAP)] == [1]
    assert refused in told(stream, EventKind.PLUGIN_ERROR)[0].message
    assert stream.stats.received == 0


async def test_a_batch_is_written_as_one_and_what_is_told_between_stands_at_its_place(make_stream: MakeStream) -> None:
    stream = await make_stream()
    publisher = publishing_to(stream)
    for data, key in ((b"0", KEY), (b"1", KEY), (b"2", b"{"), (b"3", KEY)):
        publisher.publish(publication(data, key))
    assert stream.stats.received == 2
    publisher.write()
    assert [item.data for item in await items(stream, 3)] == [b"0", b"1", b"3"]
    assert [event.sequence for event in told(stream, EventKind.GAP)] == [2]


async def test_a_guest_whose_stream_is_being_closed_hears_of_it(make_stream: MakeStream) -> None:
    stream = await make_stream(capacity=1)
    publisher = publishing_to(stream)
    publisher.feed.stopping.set()
    for data in (b"0", b"1"):
        assert publisher.publish(publication(data)) is None
        publisher.write()
    assert publisher.publish(publication(b"2")) == CLOSING
    assert stream.stats.received == 1
    publisher = publishing_to(stream)
    publisher.feed.shut()
    assert publisher.publish(publication()) == CLOSING


@given(st.binary(min_size=1, max_size=60), st.text(max_size=20) | st.floats() | st.integers())
def test_any_publication_is_taken_or_refused_with_a_reason(key: bytes, timestamp: object) -> None:
    stream = AdapterStream(Channel(StreamKey("a", "example", "x")), lambda _: pytest.fail("it is never opened"))
    publisher = publishing_to(stream)
    assert publisher.publish(publication(key=key, timestamp=timestamp))
    assert publisher.publish(publication(timestamp=timestamp)) is None
