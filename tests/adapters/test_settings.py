"""What a user may choose: working defaults, no secret shown, waits under their ceiling."""

from __future__ import annotations

import time

import httpx
from hypothesis import given
from hypothesis import strategies as st

from adapters.bounds import Bounds
from adapters.net.policy import NetworkPolicy
from adapters.net.socket import WebSocketConnector
from adapters.runtime.watch import LINGER_AFTER
from adapters.settings import AdapterSettings, Backoff


@given(st.floats(0.001, 10), st.floats(0.001, 100), st.integers(1, 10_000))
def test_no_wait_is_longer_than_its_ceiling(first: float, highest: float, failures: int) -> None:
    wait = Backoff(first=first, highest=highest).wait_after(failures)
    assert 0 <= wait <= min(highest, first * 2 ** min(failures - 1, 100))


def test_waits_grow_and_are_spread() -> None:
    backoff = Backoff(first=1, highest=64)
    early = [backoff.wait_after(1) for _ in range(200)]
    late = [backoff.wait_after(7) for _ in range(200)]
    assert max(early) <= 1 < sum(late) / 200
    assert len(set(late)) == 200


def test_the_defaults_deny_the_network_and_tell_real_time() -> None:
    settings = AdapterSettings()
    assert settings.policy == NetworkPolicy()
    assert settings.connector == WebSocketConnector()
    assert settings.observer is None
    assert settings.clock is time.time_ns
    assert settings.monotonic is time.monotonic


async def test_the_http_client_follows_no_redirect_and_gives_up_after_15_seconds() -> None:
    async with AdapterSettings().http_client() as client:
        assert not client.follow_redirects
        assert client.timeout == httpx.Timeout(15.0)


def test_what_is_waited_for_when_a_stream_is_closed_fits_into_two_seconds() -> None:
    bounds = Bounds()
    assert bounds.leave_timeout >= 0.1  # or no guest could leave by itself
    assert LINGER_AFTER >= 0.5  # or one that is only slow would count as one that cannot be stopped
    assert bounds.leave_timeout + LINGER_AFTER < 2
    assert bounds.farewell_timeout + LINGER_AFTER < 2


def test_the_configuration_is_not_shown() -> None:
    assert "s3cret" not in repr(AdapterSettings(config={"key": "s3cret"}))
