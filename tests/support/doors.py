"""Gateways as plugins go through them, to servers on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import attrs

from adapters.net.gateway import Gateway, GuardedSocket
from adapters.net.http import http_client
from adapters.net.policy import NetworkPolicy
from adapters.net.socket import Connector, WebSocketConnector

if TYPE_CHECKING:
    import httpx

__all__ = ["HASTY", "QUICK", "SECRET", "door", "enter"]

SECRET = "s3cret"
QUICK = WebSocketConnector(keepalive=0.2, max_message=10_000)
HASTY = attrs.evolve(QUICK, open_timeout=0.3)  # for peers that never answer

_HOSTS = ("127.0.0.1", "localhost", "*.example", "*.invalid")
_ANYWHERE = tuple(f"{scheme}://{host}:*/*" for scheme in ("ws", "wss", "http", "https") for host in _HOSTS)


@contextlib.asynccontextmanager
async def door(
    connector: Connector = QUICK, http: Callable[[], httpx.AsyncClient] = http_client, **policy: object
) -> AsyncIterator[Gateway]:
    """A gateway whose plugin's configuration holds ``SECRET``."""
    rules = NetworkPolicy(**{"also": _ANYWHERE, "allow_private": True, **policy})  # type: ignore[arg-type]
    made = Gateway("p", rules, (), connector, http, redact=lambda text: text.replace(SECRET, "***"))
    try:
        yield made
    finally:
        await made.aclose()


async def enter(through: Gateway, base: str) -> GuardedSocket:
    """Open a WebSocket at a server, with a secret wherever there can be one."""
    headers = {"Authorization": SECRET}
    return await through.connect(f"{base}/x?token={SECRET}", headers=headers, subprotocol=None)
