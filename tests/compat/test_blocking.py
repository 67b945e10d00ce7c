"""The blocking face beyond the common suite: deadlines, interruption, threads, the manager, and misuse."""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from anyio.from_thread import start_blocking_portal

from compat import (
    AdapterSettings,
    EventKind,
    KeyFormatError,
    MachineError,
    SourceTakenError,
    StreamData,
    StreamRejectedError,
    StreamState,
    StreamUsageError,
    SubscriberTooSlowError,
    UnknownExportError,
    UnknownSourceError,
    blocking,
)
from compat.background import BackgroundLoop
from compat.demo.exchange import Exchange
from tests.support.plugins import FIXTURES, PluginFixture, candle_key
from tests.support.processes import hearing_ctrl_c, python
from tests.support.simex import QUICK, candle_of, candles
from tests.support.waiting import HANG, guest_threads, wait_until

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal

PLUGINS = {fixture.id: fixture for fixture in FIXTURES}
LEGACY, GENERIC = PLUGINS["legacy-callback"], PLUGINS["generic-blocking"]
BOTH_KINDS = pytest.mark.parametrize("fixture", [LEGACY, GENERIC], ids=["legacy", "generic"])


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """A test fails if a thread outlives it."""
    before = set(threading.enumerate())
    yield

    def left() -> list[str]:
        threads = set(threading.enumerate()) - before - {threading.main_thread()}
        return [thread.name for thread in threads if thread.name != "plugin-compat watch"]  # one for the whole process

    wait_until(lambda: not left(), "the threads end")


@pytest.fixture
def portal() -> Iterator[BlockingPortal]:
    """Where the exchange runs."""
    with start_blocking_portal() as portal:
        yield portal


@contextlib.contextmanager
def opened(portal: BlockingPortal, exchange: Exchange) -> Iterator[Exchange]:
    with portal.wrap_async_context_manager(exchange):
        yield exchange


@contextlib.contextmanager
def streaming(
    portal: BlockingPortal, exchange: Exchange, fixture: PluginFixture = LEGACY, symbol: str = "BTC-USDT"
) -> Iterator[blocking.Stream]:
    settings = AdapterSettings(backoff=QUICK)
    with (
        opened(portal, exchange),
        blocking.open_plugin(fixture.path, rewrite=exchange.rewrites, allow_private=True, settings=settings) as plugin,
        plugin.stream(candle_key(symbol)) as stream,
    ):
        yield stream


@BOTH_KINDS
def test_whoever_waits_no_longer_than_so_long_loses_nothing(portal: BlockingPortal, fixture: PluginFixture) -> None:
    exchange = Exchange(mode="replay", rate=200, limit=40)
    with streaming(portal, exchange, fixture) as stream:
        items: list[StreamData] = []
        while len(items) < 40:  # its patience ends before an item comes, after, and in that very moment
            with contextlib.suppress(TimeoutError):
                item = stream.get(timeout=0.001)
                assert item is not None
                items.append(item)
        assert [candle_of(item) for item in items] == candles(exchange, range(40))
        for timeout in (0.1, 0, -1):  # the exchange says nothing more
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                stream.get(timeout=timeout)
            assert time.monotonic() - began >= timeout
        assert stream.state is StreamState.STREAMING
        assert (stream.stats.received, stream.stats.delivered, stream.stats.buffered) == (40, 40, 0)


def test_what_was_fetched_and_not_yet_handed_out_counts_as_buffered(portal: BlockingPortal) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=30)
    began = time.monotonic()
    with streaming(portal, exchange) as stream:
        wait_until(lambda: stream.stats.received == 30, "all candles arrive")
        received = time.monotonic()
        next(stream)
        time.sleep(0.01)
        waited = time.monotonic() - received
        stats = stream.stats
        assert (stats.received, stats.delivered, stats.buffered) == (30, 1, 29)
        assert waited <= stats.lag < time.monotonic() - began
        stream.close()
        assert list(stream) == []
        assert stream.get() is None
        stream.close()


def test_a_closed_stream_hands_out_nothing_and_one_that_broke_raises_what_broke_it(portal: BlockingPortal) -> None:
    exchange = Exchange()
    with streaming(portal, exchange, symbol="NOPE-USDT") as stream:
        for _ in range(2):
            with pytest.raises(StreamRejectedError):
                next(stream)
        assert stream.state is StreamState.FAILED
        assert [event.state for event in stream.events() if event.kind is EventKind.STATE][-1] is StreamState.FAILED
        with pytest.raises(StreamUsageError, match="has been opened before"):
            stream.__enter__()


def test_events_can_be_read_on_another_thread_while_items_are(portal: BlockingPortal) -> None:
    told: list[EventKind] = []
    exchange = Exchange(rate=100)
    with streaming(portal, exchange) as stream:
        listener = threading.Thread(target=lambda: told.extend(event.kind for event in stream.events()))
        listener.start()
        next(stream)
        portal.call(exchange.drop_all)
        while EventKind.GAP not in told or stream.state is not StreamState.STREAMING:
            next(stream)
        stream.close()
        listener.join(HANG)
        assert not listener.is_alive()
    assert told.count(EventKind.GAP) == told.count(EventKind.RECONNECT) == 1


def test_calls_and_metadata_and_errors_cross_the_border() -> None:
    with blocking.open_plugin(LEGACY.path, name="woox") as plugin:
        assert (plugin.name, str(plugin.kind), plugin.report.dialect) == ("woox", "legacy", "callback")
        assert plugin.info().name == "SimEx"
        assert plugin.call("get_name") == b"SimEx"
        with pytest.raises(UnknownExportError, match="exports no function 'nope'"):
            plugin.call("nope")
        with pytest.raises(KeyFormatError):
            plugin.stream("nonsense")


def test_what_is_waited_for_is_cancelled_when_the_wait_is_interrupted() -> None:
    main = threading.main_thread().ident
    assert main is not None
    begun, cancelled = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def interrupt() -> None:
        wait_until(lambda: begun.is_set() and sys._current_frames()[main].f_code.co_name == "wait", "it waits")
        signal.pthread_kill(main, signal.SIGINT)

    loop, interrupting = BackgroundLoop("it"), threading.Thread(target=interrupt)
    loop.start()
    interrupting.start()
    with hearing_ctrl_c(), pytest.raises(KeyboardInterrupt):
        loop.run(work)
    wait_until(cancelled.is_set, "it is cancelled")
    interrupting.join()
    loop.stop(lambda: asyncio.sleep(0))


def test_a_plugin_is_used_inside_its_with_block_only() -> None:
    plugin = blocking.open_plugin(LEGACY.path, name="woox")
    with pytest.raises(StreamUsageError, match=r"plugin 'woox' is not open\. Use it inside its with block"):
        plugin.info()
    with pytest.raises(StreamUsageError, match="is not open"):
        plugin.stream(candle_key()).__enter__()
    plugin.close()
    with plugin:
        assert plugin.info().name == "SimEx"
    plugin.close()
    with pytest.raises(StreamUsageError, match="has been closed"):
        plugin.call("get_name")
    with pytest.raises(StreamUsageError, match="has been entered before"):
        plugin.__enter__()


def test_it_can_be_used_where_an_event_loop_runs_already() -> None:
    async def notebook() -> str:
        with blocking.open_plugin(LEGACY.path) as plugin:
            return plugin.info().name

    assert asyncio.run(notebook()) == "SimEx"


@BOTH_KINDS
def test_the_manager_shares_one_stream_among_all_who_subscribe(portal: BlockingPortal, fixture: PluginFixture) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=50)
    with opened(portal, exchange), blocking.StreamManager() as manager:
        portal.call(exchange.silence)  # until all have subscribed
        plugin = manager.register("simex", fixture.path, rewrite=exchange.rewrites, allow_private=True)
        assert (manager.sources, plugin.name) == (("simex",), "simex")
        with pytest.raises(SourceTakenError):
            manager.register("simex", fixture.path)
        with pytest.raises(UnknownSourceError):
            manager.subscribe("ohlcv:nobody:BTC-USDT")
        with manager.subscribe(candle_key()) as one, manager.subscribe(candle_key(), buffer=2_000) as two:
            portal.call(exchange.resume)
            ones = [one.get(timeout=HANG) for _ in range(50)]
            assert [next(two) for _ in range(50)] == ones
            (status,) = manager.status().plugins
            assert len(status.streams[0].subscriptions) == 2
            assert one.stats.delivered == 50
            assert one.stream.state is StreamState.STREAMING
            assert one.key == two.key == candle_key()
        assert len(exchange.journal.connections) == 1
        manager.unregister("simex")
        assert manager.sources == ()
    wait_until(lambda: not guest_threads(), "the guests' threads end")


def test_a_subscriber_that_is_too_slow_is_ended_after_its_last_item(portal: BlockingPortal) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=12)
    with opened(portal, exchange), blocking.StreamManager() as manager:
        manager.register("simex", LEGACY.path, rewrite=exchange.rewrites, allow_private=True)
        with manager.subscribe(candle_key(), buffer=10) as subscription:
            numbers = [next(subscription).sequence]
            wait_until(lambda: subscription.stream.state is StreamState.STOPPED, "its stream ends")
            with pytest.raises(SubscriberTooSlowError):
                numbers.extend(item.sequence for item in subscription)
            assert len(numbers) in (10, 11)  # of which one may have been taken in time
            assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("overflow", ["block", "drop-oldest", "conflate"])
@BOTH_KINDS
def test_a_subscriber_that_is_too_slow_gets_what_its_policy_says_and_hears_of_the_rest(
    portal: BlockingPortal, fixture: PluginFixture, overflow: str
) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=300)
    with opened(portal, exchange), blocking.StreamManager() as manager:
        manager.register("simex", fixture.path, rewrite=exchange.rewrites, allow_private=True)
        with manager.subscribe(candle_key(), buffer=10, overflow=overflow) as subscription:
            wait_until(lambda: subscription.stream.stats.received == 300, "all candles arrive")
            numbers: list[int] = []
            while not numbers or numbers[-1] < 299:
                numbers.append(next(subscription).sequence)
        events = list(subscription.events())
    gaps = [event for event in events if event.kind is EventKind.GAP]
    assert sorted(
        [*numbers, *(n for gap in gaps for n in range(gap.sequence - (gap.lost or 0), gap.sequence))]
    ) == list(range(300))
    assert (not gaps) == (overflow == "block")
    assert [event.sequence for event in events] == sorted(event.sequence for event in events)
    assert events[-1].message == "closed"
    assert list(subscription.events()) == events  # now that the manager has been closed, too


SCRIPT = """
import os, signal, sys, threading, time
import compat.blocking
plugin, ws, http, leave = sys.argv[1:]
rewrite = {"wss://stream.simex.example": ws, "https://api.simex.example": http}

def interrupt():
    main = threading.main_thread().ident
    while sys._current_frames()[main].f_code.co_name != "wait":  # for the next item
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

with compat.blocking.open_plugin(plugin, rewrite=rewrite, allow_private=True) as plugin:
    with plugin.stream("ohlcv:simex:BTC-USDT?timeframe=1m") as stream:
        for item in stream:
            print(item.sequence)
            if leave == "raise":
                raise SystemExit(3)
            threading.Thread(target=interrupt).start()
"""


@BOTH_KINDS
@pytest.mark.parametrize("leave", ["interrupt", "raise"])
def test_a_script_ends_when_it_is_interrupted_or_leaves(
    portal: BlockingPortal, fixture: PluginFixture, leave: str
) -> None:
    exchange = Exchange(mode="replay", rate=math.inf, limit=1)  # there is no second item
    with opened(portal, exchange):
        end = python("-c", SCRIPT, fixture.path, exchange.ws_url, exchange.http_url, leave)
        assert (end.code, end.out) == (3 if leave == "raise" else -signal.SIGINT, b"0\n")
        assert end.err.rstrip().endswith("" if leave == "raise" else "KeyboardInterrupt")
        assert end.err.count("Traceback") == (0 if leave == "raise" else 1)
        portal.call(exchange.wait_for_disconnect, HANG)


def test_a_loop_that_cannot_begin_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(_: asyncio.Runner) -> asyncio.AbstractEventLoop:
        raise MemoryError

    monkeypatch.setattr(asyncio.Runner, "get_loop", no_memory)
    with pytest.raises(MachineError, match="it cannot begin: there is no memory left"):
        BackgroundLoop("it").start()
