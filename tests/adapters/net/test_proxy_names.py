"""Names that only a proxy can resolve: left to it if the operator trusts it, and never those of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from adapters.net.errors import ConnectFailedError, NetworkDeniedError
from compat.demo.exchange import Exchange
from tests.support.doors import door, enter, greet
from tests.support.rogue.proxies import HttpProxy

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("nothing_open")


async def test_a_name_that_only_the_proxy_can_resolve_is_left_to_it_if_the_operator_says_so(
    environment: Callable[..., None], no_names: list[str]
) -> None:
    async with Exchange() as exchange, HttpProxy() as proxy:
        environment(all=proxy.url())
        async with door(allow_private=False) as through:
            with pytest.raises(ConnectFailedError, match=r"exchange\.example cannot be resolved") as caught:
                await greet(through, exchange, "exchange.example")
            assert "--trust-proxy, or NetworkPolicy(trust_proxy=True)" in caught.value.remedy
            assert no_names == ["exchange.example"]
        no_names.clear()
        async with door(allow_private=False, trust_proxy=True) as through:
            await greet(through, exchange, "exchange.example")
        assert no_names == []
        assert proxy.asked == [("exchange.example", exchange.port)] * 2


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.1", "2130706433", "[::1]", "localhost", "localhost.", "A.LocalHost"]
)
async def test_private_addresses_and_this_machine_are_denied_whatever_proxy_is_trusted(
    host: str, environment: Callable[..., None]
) -> None:
    environment(all="http://127.0.0.1:1")
    async with door(allow_private=False, trust_proxy=True, also=f"ws://{host}:*/*") as through:
        with pytest.raises((NetworkDeniedError, ConnectFailedError), match=r"loopback|cannot be resolved"):
            await enter(through, f"ws://{host}:1")


async def test_a_trusted_proxy_is_asked_only_where_there_is_one(
    environment: Callable[..., None], no_names: list[str]
) -> None:
    environment(all="http://127.0.0.1:1", no="a.example")
    async with door(allow_private=False, trust_proxy=True) as through:
        with pytest.raises(ConnectFailedError, match=r"a\.example cannot be resolved") as caught:
            await enter(through, "ws://a.example:1")
    assert no_names == ["a.example"]
    assert "--trust-proxy" not in caught.value.remedy
