"""Everything an adapter's user may choose or inject, as one value with working defaults."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import httpx

from adapters.buckets import TokenBuckets
from adapters.contract import MessageEncoding
from adapters.net.policy import NetworkPolicy
from adapters.net.socket import Connector, WebSocketConnector
from adapters.observe import Observer

__all__ = ["TOKEN_BUCKETS", "AdapterSettings", "Backoff"]


@attrs.frozen
class Backoff:
    """How long to wait before another attempt: full jitter under an exponential ceiling.

    Attributes:
        first: Seconds, the ceiling of the first wait.
        highest: Seconds, the ceiling of every wait.
        attempts: Failures in a row, without data in between, after which a stream fails.
    """

    first: float = 0.5
    highest: float = 30.0
    attempts: int = 8

    def wait_after(self, failures: int) -> float:
        """Seconds to wait after ``failures`` failures in a row (from 1)."""
        ceiling = min(self.highest, self.first * 2 ** min(failures - 1, 30))
        return random.uniform(0, ceiling)  # noqa: S311 - jitter, not cryptography


#: Those of this process, so that the same plugin opened twice does not ask its exchange twice as often as it may.
TOKEN_BUCKETS = TokenBuckets()


def _http_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(follow_redirects=False, timeout=httpx.Timeout(15.0))


@attrs.frozen
class AdapterSettings:
    """What an adapter works with.

    Attributes:
        config: The plugin's configuration, given to every new guest. Its values are never shown.
        policy: The operator's decisions about the network.
        connector: Opens WebSockets.
        http: Makes the client for ``http_request``; it must not follow redirects.
        observer: Sees every crossing of a guest's border.
        clock: Nanoseconds since 1970 UTC: for times of receipt, events, and guests that ask for the time.
        logger: Where a plugin's log records go, and its streams' events (at level INFO, states at DEBUG); ``None``: the
            standard library's logger ``compat.plugin.<name>``.
        buffer: Items that may wait for a stream's consumer before the plugin has to wait.
        memory_budget: Bytes of kernel memory that may remain held in one call before the guest is replaced.
        backoff: How long to wait between attempts to recover.
        message_encoding: How legacy plugins of the command dialect want the messages of their sockets; ``None``: find
            out, from the module or by its first messages.
        allow_start_section: Whether a module may run code while it is instantiated. No deadline holds there, and a call
            of a host function from there crashes the process: only for modules that are trusted.
        token_buckets: Where the tokens of plugins' rate limits are; by default those of the process, which all plugins
            share that say they are the same one.
    """

    config: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    policy: NetworkPolicy = attrs.field(factory=NetworkPolicy)
    connector: Connector = attrs.field(factory=WebSocketConnector)
    http: Callable[[], httpx.AsyncClient] = _http_client
    observer: Observer | None = None
    clock: Callable[[], int] = time.time_ns
    logger: logging.Logger | None = None
    buffer: int = 4_096
    memory_budget: int = 64 * 2**20
    backoff: Backoff = Backoff()
    message_encoding: MessageEncoding | None = None
    allow_start_section: bool = False
    token_buckets: TokenBuckets = TOKEN_BUCKETS
