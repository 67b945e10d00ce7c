"""The time that a guest is told without a crossing is written as the host writes it."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.companion.exchange import HOST_OPERATIONS, greeting
from adapters.times import rfc3339
from tests.adapters.companion.standing_in import Companion, Crossing


@pytest.fixture(scope="module")
def companion() -> Companion:
    made = Companion(begun=False)
    made.greeting = greeting(retained=2**20, budget=2**26, generations=9, log_level=0, own_clock=True)
    made.begin()
    return made


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**63 - 1)
    | st.datetimes(datetime(1970, 1, 1), datetime(2262, 1, 1)).map(  # noqa: DTZ001
        lambda moment: int(moment.replace(tzinfo=UTC).timestamp()) * 10**9
    )
)
def test_any_time_is_written_as_the_host_does(companion: Companion, now: int) -> None:
    companion.now = now
    handle = companion.call("host.time_now", 0)
    assert companion.take_crossings() == []
    length = companion.call("env.length", handle)
    told = bytes(companion.call("env.load_u8", handle + at) for at in range(length))
    assert msgspec.json.decode(told) == rfc3339(now)


def test_without_leave_it_crosses() -> None:
    companion = Companion()
    assert companion.call("host.time_now", 0) == 0
    assert companion.take_crossings() == [Crossing(HOST_OPERATIONS["time_now"], b"")]
