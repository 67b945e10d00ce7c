"""The sources of a manager: registering and unregistering, closing the manager, and misuse."""

from __future__ import annotations

import asyncio
from pathlib import Path

import attrs
import pytest

from compat import (
    AdapterSettings,
    DetectionError,
    KeyFormatError,
    PluginKind,
    SourceTakenError,
    StreamManager,
    StreamState,
    StreamUsageError,
    UnknownSourceError,
    UsageError,
)
from compat.demo.exchange import Exchange
from tests.support.managers import Gate, by_hand, key, register, rest, several, take
from tests.support.plugins import BOTH_KINDS, GENERIC, LEGACY, MISBUILT, PluginFixture
from tests.support.waiting import HANG, until

pytestmark = pytest.mark.usefixtures("nothing_left")


@BOTH_KINDS
async def test_unregistering_ends_the_streams_of_that_source_only(
    manager: StreamManager, fixture: PluginFixture
) -> None:
    async with by_hand() as exchange:
        await register(manager, exchange, fixture, "going")
        await register(manager, exchange, LEGACY, "staying")
        async with manager.subscribe(key("going")) as going, manager.subscribe(key("staying")) as staying:
            await asyncio.gather(take(going, 1), take(staying, 1))
            await manager.unregister("going")
            await rest(going)
            assert going.stream.state is StreamState.STOPPED
            await until(lambda: exchange.connections == 1, "its connection is closed")
            exchange.flood(3)
            assert [item.sequence for item in await take(staying, 3)] == [1, 2, 3]
        assert manager.sources == ("staying",)
        with pytest.raises(UnknownSourceError):
            manager.subscribe(key("going"))


@BOTH_KINDS
async def test_a_source_that_is_registered_anew_while_it_closes_serves_the_next_subscriber(
    manager: StreamManager, fixture: PluginFixture
) -> None:
    gate = Gate()
    async with several(4) as exchange:
        await register(manager, exchange, fixture, connector=gate)
        async with manager.subscribe(key()) as before:
            await take(before, 1)
            unregistering = asyncio.create_task(manager.unregister("simex"))
            await asyncio.sleep(0)
            assert manager.sources == ()
            await register(manager, exchange, fixture)
            async with manager.subscribe(key()) as after:
                assert (await take(after, 1))[0].sequence == 0
                assert not unregistering.done()
                gate.opens.set()
                await unregistering
                await take(after, 3)
            await rest(before)


async def test_closing_the_manager_ends_subscriptions_and_connections() -> None:
    async with several(1) as exchange:
        manager = StreamManager()
        await register(manager, exchange, LEGACY, "old")
        await register(manager, exchange, GENERIC, "new")
        async with manager.subscribe(key("old")) as old, manager.subscribe(key("new")) as new:
            await asyncio.gather(take(old, 1), take(new, 1))
            waiting = asyncio.gather(rest(old), rest(new))
            await manager.aclose()
            await waiting
            assert manager.sources == ()
            assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("pump of")]
            await exchange.wait_for_disconnect(HANG)
            await manager.aclose()


async def test_a_closed_manager_refuses_everything_else(manager: StreamManager) -> None:
    async with Exchange() as exchange:
        await register(manager, exchange, LEGACY)
        begun_too_late = manager.subscribe(key())
        await manager.aclose()
        with pytest.raises(StreamUsageError, match="closed"):
            await begun_too_late.__aenter__()
        with pytest.raises(StreamUsageError, match="closed"):
            manager.subscribe(key())
        with pytest.raises(StreamUsageError, match="closed"):
            await register(manager, exchange, LEGACY)
        with pytest.raises(UnknownSourceError):
            await manager.unregister("simex")


async def test_a_source_is_taken_from_when_its_plugin_begins_to_be_opened(manager: StreamManager) -> None:
    first = asyncio.create_task(manager.register("simex", LEGACY.path))
    await asyncio.sleep(0)  # it has begun, and waits for its thread
    with pytest.raises(SourceTakenError):
        await manager.register("simex", GENERIC.path)
    assert (await first).report.kind is PluginKind.LEGACY
    assert manager.sources == ("simex",)


async def test_a_source_whose_plugin_could_not_be_opened_is_free(manager: StreamManager, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await manager.register("simex", tmp_path / "missing.wasm")
    assert (await manager.register("simex", GENERIC.path)).report.kind is PluginKind.GENERIC


async def test_a_manager_that_was_closed_meanwhile_registers_nothing() -> None:
    async with StreamManager() as manager:
        registering = asyncio.create_task(manager.register("simex", LEGACY.path))
        await asyncio.sleep(0)
    with pytest.raises(StreamUsageError, match="the stream manager has been closed"):
        await registering
    assert manager.sources == ()


async def test_a_source_can_be_registered_once(manager: StreamManager) -> None:
    plugin = await manager.register("simex", LEGACY.path)
    with pytest.raises(SourceTakenError) as caught:
        await manager.register("simex", GENERIC.path)
    assert caught.value.source == "simex"
    assert manager.sources == ("simex",)
    assert plugin.report.kind is PluginKind.LEGACY
    await manager.unregister("simex")
    assert (await manager.register("simex", GENERIC.path)).report.kind is PluginKind.GENERIC


async def test_an_unknown_source_is_refused_with_the_names_that_are_known(manager: StreamManager) -> None:
    await manager.register("a", LEGACY.path)
    await manager.register("b", GENERIC.path.read_bytes())
    with pytest.raises(UnknownSourceError, match=r"'c'.*a, b") as caught:
        manager.subscribe(key("c"))
    assert (caught.value.source, caught.value.known) == ("c", ("a", "b"))
    with pytest.raises(UnknownSourceError):
        await manager.unregister("c")


async def test_a_source_that_is_gone_when_the_subscription_begins_is_unknown(manager: StreamManager) -> None:
    await manager.register("simex", LEGACY.path)
    subscription = manager.subscribe(key())
    await manager.unregister("simex")
    with pytest.raises(UnknownSourceError):
        await subscription.__aenter__()


@pytest.mark.parametrize("text", ["ohlcv:simex", "", "ohlcv::BTC-USDT"])
async def test_a_text_that_is_no_key_is_refused(manager: StreamManager, text: str) -> None:
    await manager.register("simex", LEGACY.path)
    with pytest.raises(KeyFormatError):
        manager.subscribe(text)


async def test_a_module_that_cannot_run_is_refused_and_its_name_stays_free(manager: StreamManager) -> None:
    with pytest.raises(DetectionError, match="go-command-module"):
        await manager.register("simex", MISBUILT)
    with pytest.raises(FileNotFoundError):
        await manager.register("simex", MISBUILT.with_name("missing.wasm"))
    assert manager.sources == ()
    await manager.register("simex", LEGACY.path)


async def test_settings_that_are_given_apply_to_the_streams(manager: StreamManager) -> None:
    async with several(2) as exchange:
        settings = attrs.evolve(AdapterSettings(), clock=lambda: 42)
        await manager.register(
            "simex", LEGACY.path, rewrite=exchange.rewrites, allow_private=True, settings=settings, kind="legacy"
        )
        async with manager.subscribe(key()) as subscription:
            assert [item.timestamp for item in await take(subscription, 2)] == [42, 42]


async def test_what_is_no_key_at_all_is_refused() -> None:
    async with StreamManager() as manager:
        for wrong in (5, None, b"ohlcv:simex:BTC-USDT"):
            with pytest.raises(UsageError, match=r"key must be a StreamKey.* Correct subscribe\(key=...\)"):
                manager.subscribe(wrong)  # type: ignore[arg-type]
