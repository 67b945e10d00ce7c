"""How a stream ends: closed by its consumer, ended or failed by its driver, at any time and any number of times."""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import TYPE_CHECKING

import pytest

from adapters import stream as room
from adapters.channel import Channel
from adapters.contract import StreamState, StreamStats
from adapters.net.errors import ConnectionLostError
from adapters.stream import AdapterStream

if TYPE_CHECKING:
    from tests.adapters.conftest import MakeStream, Until
from tests.support.adapter_streams import KEY, Producer, counters, history, offer, offer_here, read, read_to_the_end

State = StreamState


async def test_closing_lets_a_waiting_thread_go_with_a_refusal(make_stream: MakeStream, until: Until) -> None:
    stream = await make_stream(capacity=2)
    producer = Producer(stream, 50)
    await until(lambda: stream._channel.backed_up)
    await stream.aclose()
    await producer.join()  # it would wait for ever: nobody reads
    assert producer.refused
    assert producer.offered == 2
    assert not offer(stream, b"late")


async def test_closing_ends_a_driver_that_waits(make_stream: MakeStream, until: Until) -> None:
    async def run(channel: Channel) -> None:
        await offer_here(stream, *range(50))

    stream = await make_stream(run, capacity=2)
    await until(lambda: stream._channel.backed_up)
    await stream.aclose()  # the driver would wait for ever: nobody reads
    assert stream.state is State.STOPPED
    assert stream.stats.received == 2


async def test_a_stopped_guest_does_not_wait_for_room(make_stream: MakeStream, until: Until) -> None:
    stream = await make_stream(capacity=1)
    producer = Producer(stream, 5)
    await until(lambda: stream._channel.backed_up)
    producer.stopping.set()
    await producer.join()
    assert producer.refused
    assert await read(stream, 1) == [0]


async def test_after_closing_nothing_is_delivered_that_was_waiting(make_stream: MakeStream) -> None:
    stream = await make_stream()
    offer(stream, b"1")
    await stream.aclose()
    assert await read_to_the_end(stream) == []
    assert counters(stream) == StreamStats(received=1, payload_bytes=1)


async def test_closing_ends_a_waiting_consumer(make_stream: MakeStream) -> None:
    stream = await make_stream()
    reading = asyncio.create_task(read_to_the_end(stream))
    await asyncio.sleep(0)
    await stream.aclose()
    assert await reading == []


async def test_a_driver_that_ends_ends_the_iteration_after_the_last_item(make_stream: MakeStream) -> None:
    async def run(channel: Channel) -> None:
        await offer_here(stream, 1, 2, 3)

    stream = await make_stream(run)
    assert await read_to_the_end(stream) == [1, 2, 3]
    assert await read_to_the_end(stream) == []
    assert [event.message for event in await history(stream)][-1] == "the plugin ended the stream"


async def test_a_driver_that_fails_ends_the_iteration_with_its_error_after_the_last_item(
    make_stream: MakeStream, caplog: pytest.LogCaptureFixture
) -> None:
    error = ConnectionLostError("wss://a/", "it broke off")

    async def run(channel: Channel) -> None:
        await offer_here(stream, 1, 2)
        raise error

    with caplog.at_level(logging.INFO):
        stream = await make_stream(run)
        assert await read(stream, 2) == [1, 2]
        for _ in range(2):
            with pytest.raises(ConnectionLostError) as caught:
                await anext(stream)
            assert str(caught.value) == f"stream {stream.key}: {error}"
            assert (caught.value.url, caught.value.__cause__) == (error.url, error.__cause__)
    assert str(error) == "the connection to wss://a/ was lost: it broke off"  # others may have it as well
    assert stream.state is State.FAILED
    assert f"item 2: failed: {error}" in caplog.text
    await stream.aclose()
    assert stream.state is State.FAILED
    assert await read_to_the_end(stream) == []  # whoever closed it has seen enough


@pytest.mark.parametrize("how", ["ends", "fails", "waits"])
async def test_the_driver_is_closed_once_however_its_run_ended(how: str) -> None:
    class Noting:
        closed = 0

        def __init__(self) -> None:
            self.begun = asyncio.Event()

        async def run(self) -> None:
            self.begun.set()
            if how == "fails":
                raise KeyError(how)
            if how == "waits":
                await asyncio.Event().wait()

        async def aclose(self) -> None:
            self.closed += 1

    driver, ended = Noting(), list[AdapterStream]()
    async with AdapterStream(Channel(KEY), lambda _: driver, ended=ended.append) as stream:
        await driver.begun.wait()
        if how != "waits":
            with pytest.raises(KeyError if how == "fails" else StopAsyncIteration):
                await anext(stream)
            assert driver.closed == 1
    assert driver.closed == 1
    assert ended == [stream]


async def test_a_driver_that_cannot_be_closed_fails_the_stream() -> None:
    class Stuck:
        async def run(self) -> None:
            return

        async def aclose(self) -> None:
            raise KeyError("a bug")

    async with AdapterStream(Channel(KEY), lambda _: Stuck()) as stream:
        with pytest.raises(KeyError, match="a bug"):
            await anext(stream)
        assert stream.state is State.FAILED


async def test_a_stream_closed_before_its_driver_began_never_makes_one() -> None:
    stream = AdapterStream(Channel(KEY), lambda _: pytest.fail("no driver is needed"))
    async with stream:
        pass
    assert stream.state is State.STOPPED


async def test_a_driver_that_cannot_be_made_fails_the_stream() -> None:
    def make(_: Channel) -> room.Driver:
        raise KeyError("a bug")

    async with AdapterStream(Channel(KEY), make) as stream:
        with pytest.raises(KeyError, match="a bug"):
            await anext(stream)
        assert stream.state is State.FAILED


async def test_closing_is_safe_at_any_time_and_any_number_of_times(make_stream: MakeStream) -> None:
    unopened = AdapterStream(Channel(KEY), lambda _: pytest.fail("it is never opened"))
    await unopened.aclose()
    assert unopened.state is State.STOPPED
    stream = await make_stream()
    await asyncio.gather(*(stream.aclose() for _ in range(5)))
    await stream.aclose()
    assert [event.state for event in await history(stream)] == [State.STARTING, State.STOPPED]


async def test_closing_goes_on_when_whoever_waits_for_it_is_cancelled(make_stream: MakeStream) -> None:
    begun, cut_short, release = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(_: Channel) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut_short.set()
            await release.wait()

    stream = await make_stream(run)
    await begun.wait()
    closing = asyncio.create_task(stream.aclose())
    await cut_short.wait()
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    release.set()
    await stream.aclose()
    assert stream.state is State.STOPPED


async def test_a_logger_that_raises_at_the_end_leaves_nobody_waiting() -> None:
    class Full(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            if "ended" in record.getMessage():
                raise OSError(errno.ENOSPC, "No space left on device")
            return True

    class Ends:
        async def run(self) -> None:
            return None

        async def aclose(self) -> None:
            return None

    logger = logging.Logger("of a full disk", logging.DEBUG)  # noqa: LOG001 - for this test alone
    logger.addHandler(Full())
    stream = AdapterStream(Channel(KEY, logger=logger), lambda _: Ends())
    async with stream:
        assert await read_to_the_end(stream) == []
    assert stream.state is State.STOPPED
