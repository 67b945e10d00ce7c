"""When a connection has its turn at a host: by the account of attempts and connections, and by the host's own wish."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from adapters.net.errors import ConnectFailedError
from adapters.net.gateway import Gateway
from adapters.net.pacing import Pacer, Pacing
from adapters.net.policy import NetworkPolicy
from tests.support.sockets import Connector as LocalConnector
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from adapters.net.gateway import GuardedSocket
    from adapters.net.socket import Socket


class Clock:
    """Time that passes at once when somebody sleeps; and what was slept."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Refusing:
    """A connector for a server that refuses every handshake."""

    def __init__(self, *, status: int, retry_after: float | None = None) -> None:
        self.asked = 0
        self._facts: dict[str, Any] = {"status": status, "retry_after": retry_after}

    async def connect(self, url: str, *, headers: Mapping[str, str], subprotocol: str | None) -> Socket:
        self.asked += 1
        raise ConnectFailedError(url, "refused with s3cret", remedy="Wait", **self._facts)


def anywhere(
    connector: Any,
    pacing: Pacing | None = None,
    pacer: Pacer | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Gateway:
    rules = NetworkPolicy(also=("wss://*.example", "wss://*.example:*"), allow_private=True)
    return Gateway(
        "p",
        rules,
        (),
        connector,
        lambda: pytest.fail("no HTTP client is needed"),
        pacing=pacing or Pacing(),
        pacer=pacer,
        redact=lambda text: text.replace("s3cret", "***"),
        sleep=sleep,
    )


async def connect(through: Gateway, url: str = "wss://api.example/x") -> GuardedSocket:
    return await through.connect(url, headers={}, subprotocol=None)


async def refused(through: Gateway, url: str = "wss://api.example/x") -> ConnectFailedError:
    with pytest.raises(ConnectFailedError) as caught:
        await connect(through, url)
    return caught.value


async def test_what_a_refused_handshake_said_is_kept_without_its_secrets() -> None:
    error = await refused(anywhere(Refusing(status=403)), "wss://api.example/x?token=t")
    assert (error.url, error.problem, error.remedy) == ("wss://api.example/x", "refused with ***", "Wait")
    assert (error.status, error.retry_after) == (403, None)


async def test_a_host_that_wants_to_be_left_alone_is_not_asked_again_by_anybody() -> None:
    connector, clock = Refusing(status=429, retry_after=60), Clock()
    pacer = Pacer(clock)
    await refused(anywhere(connector, pacer=pacer))
    for url in ("wss://api.example/y", "wss://api.example:443/z"):
        error = await refused(anywhere(connector, pacer=pacer), url)
        assert error.problem == "the server has asked to be left alone for another 60 s"
        assert (error.status, error.retry_after) == (429, 60)
    assert connector.asked == 1
    assert (await refused(anywhere(connector, pacer=pacer), "wss://api.example:8443/x")).problem == "refused with ***"
    assert connector.asked == 2
    clock.now += 59
    assert (await refused(anywhere(connector, pacer=pacer))).retry_after == 1
    clock.now += 1
    assert (await refused(anywhere(connector, pacer=pacer))).problem == "refused with ***"
    assert connector.asked == 3


async def test_attempts_at_one_host_are_spread_over_time() -> None:
    connector, pacing, clock = Refusing(status=500), Pacing(rate=20, burst=2), Clock()
    pacer = Pacer(clock)
    for _ in range(5):
        await refused(anywhere(connector, pacing, pacer, clock.sleep))
    assert clock.slept == pytest.approx([0.05, 0.05, 0.05])
    assert connector.asked == 5


async def test_who_gives_up_waiting_leaves_its_turn_to_the_next() -> None:
    connector, pacing, clock = Refusing(status=500), Pacing(rate=1, burst=1), Clock()
    pacer, waits = Pacer(clock), list[float]()

    async def sleep_for_ever(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.Event().wait()

    await refused(anywhere(connector, pacing, pacer))
    for _ in range(2):
        waiting = asyncio.create_task(refused(anywhere(connector, pacing, pacer, sleep_for_ever)))
        await until(lambda: waits, "it waits for its turn")
        waiting.cancel()
        await asyncio.wait([waiting])
        assert (waiting.cancelled(), waits) == (True, [1.0])
        waits.clear()
    assert connector.asked == 1


async def test_a_host_that_asks_for_patience_while_others_wait_is_not_asked_by_them() -> None:
    connector, pacing, clock = Refusing(status=500), Pacing(rate=1, burst=1), Clock()
    pacer = Pacer(clock)
    await refused(anywhere(connector, pacing, pacer))

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        pacer.shut("api.example:443", 30)

    assert (await refused(anywhere(connector, pacing, pacer, sleep))).retry_after == 30
    assert connector.asked == 1


async def test_only_so_many_connections_to_a_host_are_open_at_once() -> None:
    through = anywhere(LocalConnector(), Pacing(connections=2))
    first, second = [await connect(through, "wss://a.example/") for _ in range(2)]
    error = await refused(through, "wss://a.example/")
    assert error.problem == "2 connections to this host are open, which is the limit"
    await connect(through, "wss://b.example/")
    await first.close()
    await first.close()  # counts once
    await connect(through, "wss://a.example/")
    await refused(through, "wss://a.example/")
    await second.close()


async def test_a_connection_that_did_not_come_to_be_does_not_count() -> None:
    connector = Refusing(status=500)
    through = anywhere(connector, Pacing(connections=1))
    for asked in (1, 2):
        assert (await refused(through)).problem == "refused with ***"
        assert connector.asked == asked
