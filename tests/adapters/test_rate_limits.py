"""The rate limits that a plugin declares (ABI.md, 2b): how they are read, whom they bind, and what is told."""

from __future__ import annotations

import asyncio
import logging
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.buckets import TokenBuckets
from adapters.errors import RateLimitError
from adapters.rate_limits import Declaration, Limiter, RateLimit, read_rate_limits
from tests.support.clocks import Clock
from tests.support.waiting import until

ROW = {"command": "getOHLCV", "scope": "ip", "rps": 2, "burst": 4, "cost": 2}


def limiter(
    *limits: RateLimit,
    buckets: TokenBuckets,
    config: dict[str, Any] | None = None,
    identity: str = "exchange",
    told: tuple[str, ...] = (),
) -> Limiter:
    async def declaration() -> Declaration:
        return Declaration(identity, limits, told)

    return Limiter("example", declaration, config or {}, buckets, logging.getLogger("compat.plugin.example"))


def still() -> TokenBuckets:
    """Buckets into which nothing flows."""
    return TokenBuckets(Clock())


@pytest.mark.parametrize(
    ("row", "limit"),
    [
        (ROW, RateLimit("getOHLCV", ("ip",), 2, 4, 2)),
        ({**ROW, "scope": ["apikey", "ip"]}, RateLimit("getOHLCV", ("ip", "apikey"), 2, 4, 2)),
        ({**ROW, "cost": 0}, RateLimit("getOHLCV", ("ip",), 2, 4, 1)),
        ({**ROW, "cost": None, "rps": 0.1}, RateLimit("getOHLCV", ("ip",), 0.1, 4, 1)),
    ],
)
def test_a_row_is_read_in_both_forms_of_its_scope_and_costs_one_if_it_does_not_say(
    row: dict[str, Any], limit: RateLimit
) -> None:
    assert read_rate_limits([row]) == ((limit,), ())


def test_nothing_is_limited_twice_by_the_same_row() -> None:
    assert read_rate_limits([ROW, ROW])[0] == (RateLimit("getOHLCV", ("ip",), 2, 4, 2),)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (5, "a row that names no command was left out"),
        ({**ROW, "command": ""}, "a row that names no command was left out"),
        ({**ROW, "rps": 0}, "the row for getOHLCV was left out: its rps is no number from 1e-05 to 1e+09"),
        ({**ROW, "rps": -1}, "the row for getOHLCV was left out: its rps"),
        ({**ROW, "rps": 1e-300}, "the row for getOHLCV was left out: its rps"),
        ({**ROW, "rps": 1e300}, "the row for getOHLCV was left out: its rps"),
        ({**ROW, "rps": 10**400}, "the row for getOHLCV was left out: its rps"),
        ({**ROW, "rps": math.nan}, "the row for getOHLCV was left out: its rps"),
        ({**ROW, "rps": True}, "the row for getOHLCV was left out: its rps"),
        ({**ROW, "rps": "5"}, "the row for getOHLCV was left out: its rps"),
        ({**ROW, "cost": -3}, "the row for getOHLCV was left out: its cost is no number from 0 to 1e+09"),
        ({**ROW, "cost": math.inf}, "the row for getOHLCV was left out: its cost"),
    ],
)
def test_a_row_that_makes_no_sense_limits_nothing_and_is_told(row: object, told: str) -> None:
    limits, problems = read_rate_limits([row, {**ROW, "command": "*"}])
    assert [limit.command for limit in limits] == ["*"]
    assert len(problems) == 1
    assert problems[0].startswith(f"get_rate_limits: {told}")


@pytest.mark.parametrize("burst", [1, 0, -5, None, math.nan, "4"])
def test_a_burst_below_the_cost_of_one_call_is_raised_to_it_and_told(burst: object) -> None:
    limits, told = read_rate_limits([{**ROW, "burst": burst}])
    assert [limit.burst for limit in limits] == [2]
    assert told == (
        "get_rate_limits: the row for getOHLCV has a burst that is less than what one call costs, and is taken as 2",
    )


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        (None, ("ip",)),
        ([], ("ip",)),
        ("user", ("ip",)),
        (["apikey", "account"], ("apikey",)),
        ([["ip"]], ("ip",)),
    ],
)
def test_an_unknown_scope_is_told_and_counted_by_ip_if_there_is_no_other(scope: object, scopes: object) -> None:
    limits, told = read_rate_limits([{**ROW, "scope": scope}])
    assert [limit.scopes for limit in limits] == [scopes]
    assert "a scope that is neither ip nor apikey" in told[0]


def test_of_very_many_rows_the_first_are_used() -> None:
    limits, told = read_rate_limits([{**ROW, "command": f"c{number}"} for number in range(1_000)])
    assert len(limits) == 256
    assert told == ("get_rate_limits: of 1000 rows the first 256 are used",)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
ROWS = VALUES | st.fixed_dictionaries(
    {}, optional={name: VALUES | st.just("ip") for name in ("command", "scope", "rps", "burst", "cost")}
)


@given(st.lists(ROWS, max_size=4))
def test_whatever_is_declared_every_limit_can_be_obeyed(rows: list[object]) -> None:
    limits, told = read_rate_limits(rows)
    for limit in limits:
        assert 0 < limit.cost <= limit.burst <= 1e9
        assert 1e-5 <= limit.rps <= 1e9
        assert set(limit.scopes) <= {"ip", "apikey"}
        assert limit.scopes
    alone = [read_rate_limits([row]) for row in rows]
    assert all(limit or problems for limit, problems in alone), "a row that limits nothing is told"
    assert limits == tuple(dict.fromkeys(limit for read, _ in alone for limit in read))
    assert set(told) == {problem for _, problems in alone for problem in problems}
    assert msgspec.json.encode(limits)


async def test_a_command_that_no_row_names_is_not_limited() -> None:
    limits = limiter(RateLimit("getOHLCV", ("ip",), 1, 1), buckets=still())
    for _ in range(100):
        await limits.acquire("getMarkets", 0)


async def test_every_row_that_fits_holds_and_one_that_is_refused_costs_nothing() -> None:
    rows = RateLimit("*", ("ip",), 1, 3), RateLimit("getOHLCV", ("ip",), 0.5, 2, 2)
    limits = limiter(*rows, buckets=still())
    await limits.acquire("getOHLCV", 0)
    with pytest.raises(RateLimitError) as caught:
        await limits.acquire("getOHLCV", 3)
    assert (caught.value.command, caught.value.wait, caught.value.timeout) == ("getOHLCV", 4.0, 3)
    assert "'getOHLCV' through in 4 s, not within 3 s" in str(caught.value)
    await limits.acquire("getMarkets", 0)
    await limits.acquire("getMarkets", 0)
    with pytest.raises(RateLimitError, match="through in 1 s, not within 0 s"):
        await limits.acquire("getMarkets", 0)


@pytest.mark.parametrize(
    ("scope", "other", "shared"),
    [
        ("ip", {"identity": "exchange", "config": {"api_key": "b"}}, True),
        ("ip", {"identity": "another", "config": {"api_key": "a"}}, False),
        ("apikey", {"identity": "exchange", "config": {"api_key": "a"}}, True),
        ("apikey", {"identity": "exchange", "config": {"api_key": "b"}}, False),
        ("apikey", {"identity": "another", "config": {"api_key": "a"}}, False),
    ],
)
async def test_whom_a_scope_takes_together(scope: str, other: dict[str, Any], shared: bool) -> None:
    buckets, row = still(), RateLimit("*", (scope,), 1, 1)
    await limiter(row, buckets=buckets, config={"api_key": "a"}).acquire("getMarkets", 0)
    again = limiter(row, buckets=buckets, **other)
    if shared:
        with pytest.raises(RateLimitError):
            await again.acquire("getOHLCV", 0)
    else:
        await again.acquire("getOHLCV", 0)


async def test_no_configuration_value_is_held_where_the_buckets_are() -> None:
    buckets = still()
    config = {"api_key": "correct-horse", "when": object()}
    await limiter(RateLimit("*", ("apikey",), 1, 1), buckets=buckets, config=config).acquire("getMarkets", 0)
    assert "correct-horse" not in repr(buckets._buckets._kept)


async def test_what_is_wrong_with_the_limits_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    limits = limiter(buckets=still(), told=("get_rate_limits: odd",))
    for _ in range(3):
        await limits.acquire("getMarkets", 0)
    assert caplog.messages == ["get_rate_limits: odd"]


async def test_a_wait_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="compat.plugin.example")
    clock = Clock()
    rows = RateLimit("short", ("ip",), 32, 1), RateLimit("long", ("ip",), 0.1, 1)
    limits = limiter(*rows, buckets=TokenBuckets(clock))
    for command in ("short", "long"):
        await limits.acquire(command, 60)
    assert caplog.messages == []
    waiting = [asyncio.create_task(limits.acquire(command, 60)) for command in ("short", "long")]
    await until(lambda: len(caplog.messages) == 2, "both waits are told")
    clock.now += 1 / 32
    await waiting[0]
    assert not waiting[1].done()
    waiting[1].cancel()
    await asyncio.wait(waiting[1:])
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.DEBUG, "short waits 0.0312 s for the plugin's rate limits"),
        (logging.INFO, "long waits 10 s for the plugin's rate limits"),
    ]
