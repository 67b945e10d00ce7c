"""Everything an adapter's user may choose or inject, as one value with working defaults."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from adapters.arguments import FUNCTION, MAPPING, at_least, more_than_0, offering, one_of_type, whole
from adapters.bounds import Bounds
from adapters.buckets import TokenBuckets
from adapters.net.http import http_client
from adapters.net.pacing import Pacing
from adapters.net.policy import NetworkPolicy
from adapters.net.socket import Connector, WebSocketConnector
from adapters.net.tls import Tls
from adapters.observe import Observer
from adapters.plugin_info import MessageEncoding
from adapters.progress import Progress
from adapters.shared import PROCESS, Shared
from adapters.speech import Speech
from detectors.bounds import USUAL, InspectionBounds

if TYPE_CHECKING:
    import httpx

__all__ = ["IDLE_LIMIT", "TOKEN_BUCKETS", "AdapterSettings", "Backoff"]


@attrs.frozen
class Backoff:
    """How long to wait before another attempt: full jitter under an exponential ceiling.

    Attributes:
        first: Seconds, the ceiling of the first wait.
        highest: Seconds, the ceiling of every wait.
        attempts: How often a stream may fail by the plugin's fault, or before its first item by anybody's, until it
            fails for good.
        patience: Seconds for which a stream that has delivered puts up with the network's faults until it fails for
            good; ``math.inf``: for ever.
        healthy_after: Seconds over which items must have come until waits and budgets begin anew.

    Raises:
        UsageError: One of them is no such number. 0 is one for each: no wait, no second attempt, at once.
    """

    first: float = attrs.field(default=0.5, validator=at_least(0, "seconds"))
    highest: float = attrs.field(default=30.0, validator=at_least(0, "seconds"))
    attempts: int = attrs.field(default=8, validator=whole(0))
    patience: float = attrs.field(default=86_400.0, validator=at_least(0, "seconds", endless=True))
    healthy_after: float = attrs.field(default=30.0, validator=at_least(0, "seconds", endless=True))

    def wait_after(self, failures: int) -> float:
        """Seconds to wait after ``failures`` failures since the stream was healthy (from 1)."""
        ceiling = min(self.highest, self.first * 2 ** min(failures - 1, 30))
        return random.uniform(0, ceiling)  # noqa: S311 - jitter, not cryptography


#: Those of this process, so that the same plugin opened twice does not ask its exchange twice as often as it may.
TOKEN_BUCKETS = TokenBuckets()

#: What an idle limit has to be, wherever it is given.
IDLE_LIMIT = more_than_0("seconds").or_none()


@attrs.frozen
class AdapterSettings:
    """What an adapter works with.

    Attributes:
        config: The plugin's configuration, given to every new guest. Its values are never shown.
        policy: The operator's decisions about the network.
        tls: Whom to trust and who to be in TLS, for WebSockets and ``http_request`` alike; ``None``: trust whom the
            system trusts.
        connector: Opens WebSockets. One of your own, or a ``WebSocketConnector`` with a context, does not use ``tls``.
        pacing: How fast connections to one host are opened, and how many, over all plugins of this process.
        http: Makes the client for ``http_request``, which must not follow redirects and does not use ``tls``;
            ``None``: one that gives up after 15 s and goes through the proxies of the environment, as WebSockets do.
        observer: Sees every crossing of a guest's border.
        clock: Nanoseconds since 1970 UTC: for times of receipt, events, and guests that ask for the time.
        logger: Where a plugin's log records go, and its streams' events (at level INFO, states at DEBUG); ``None``: the
            standard library's logger ``compat.plugin.<name>``.
        buffer: Items that may wait for a stream's consumer before the plugin has to wait.
        idle_limit: Seconds without an item after which a stream connects anew, or gets a fresh guest; ``None``: never,
            for many a market is quiet by nature. Time in which the consumer is slow does not count.
        guests: How many guests the streams of one legacy plugin share, at the most. One that traps or hangs takes the
            streams with it that are pinned to it.
        memory_budget: Bytes that a guest's blocks of Extism's memory may take, 64 MiB in one block at most. Beyond it
            those that were used longest ago go; the use of one that has gone ends the guest's call.
        retained_memory: Bytes of such blocks that are kept after they have crossed the border, the latest of them, for
            the guest to come back to. The use of one that is gone ends the guest's call; what it held is kept longer
            from then on.
        backoff: How long to wait between attempts to recover.
        message_encoding: How legacy plugins of the command dialect want the messages of their sockets; ``None``: find
            out, from the module or by its first messages.
        token_buckets: Where the tokens of plugins' rate limits are; by default those of the process, which all plugins
            share that say they are the same one.
        inspection: How large a module may be, and how long its validation may take, when it is opened.
        bounds: How long guests and peers may take, and how much they may send.
        progress: How long a guest may stand still, before that is told, and before it is replaced.
        speech: How much a plugin may log and print, with all of its guests together.
        shared: What is known of modules and hosts; by default that of the process.
        monotonic: Seconds, on a clock that never goes back: for rates, lags, idle limits, heartbeats, and what
            ``backoff`` bounds. Waiting itself and the deadlines of guests and peers are on the system's own clock.

    Raises:
        UsageError: One of them makes no sense. Of what is injected, only that it can be called, or has its method, is
            looked at.
    """

    config: Mapping[str, Any] = attrs.field(factory=dict, repr=False, validator=MAPPING)
    policy: NetworkPolicy = attrs.field(factory=NetworkPolicy, validator=one_of_type(NetworkPolicy))
    tls: Tls | None = attrs.field(default=None, validator=one_of_type(Tls).or_none())
    connector: Connector = attrs.field(factory=WebSocketConnector, validator=offering("connect"))
    pacing: Pacing = attrs.field(factory=Pacing, validator=one_of_type(Pacing))
    http: Callable[[], httpx.AsyncClient] | None = attrs.field(default=None, validator=FUNCTION.or_none())
    observer: Observer | None = attrs.field(default=None, validator=FUNCTION.or_none())
    clock: Callable[[], int] = attrs.field(default=time.time_ns, validator=FUNCTION)
    logger: logging.Logger | None = attrs.field(default=None, validator=offering("log").or_none())
    buffer: int = attrs.field(default=4_096, validator=whole(1, "items"))
    idle_limit: float | None = attrs.field(default=None, validator=IDLE_LIMIT)
    guests: int = attrs.field(default=4, validator=whole(1))
    memory_budget: int = attrs.field(default=64 * 2**20, validator=whole(1, "bytes", most=2**40))
    retained_memory: int = attrs.field(default=4 * 2**20, validator=whole(0, "bytes", most=2**40))
    backoff: Backoff = attrs.field(default=Backoff(), validator=one_of_type(Backoff))
    message_encoding: MessageEncoding | None = attrs.field(
        default=None, validator=one_of_type(MessageEncoding).or_none()
    )
    token_buckets: TokenBuckets = attrs.field(default=TOKEN_BUCKETS, validator=one_of_type(TokenBuckets))
    inspection: InspectionBounds = attrs.field(default=USUAL, validator=one_of_type(InspectionBounds))
    bounds: Bounds = attrs.field(default=Bounds(), validator=one_of_type(Bounds))
    progress: Progress = attrs.field(default=Progress(), validator=one_of_type(Progress))
    speech: Speech = attrs.field(default=Speech(), validator=one_of_type(Speech))
    shared: Shared = attrs.field(default=PROCESS, repr=False, validator=one_of_type(Shared))
    monotonic: Callable[[], float] = attrs.field(default=time.monotonic, validator=FUNCTION)

    def websockets(self) -> Connector:
        """What opens WebSockets: the connector, under ``tls`` where that is for it to use."""
        theirs = self.connector
        if self.tls is None or not isinstance(theirs, WebSocketConnector) or theirs.ssl is not None:
            return theirs
        return attrs.evolve(theirs, ssl=self.tls.context)

    def http_client(self) -> httpx.AsyncClient:
        """A client for ``http_request``, under ``tls`` unless it is made by a function of your own."""
        if self.http:
            return self.http()
        return http_client(self.tls.context if self.tls else None, response_timeout=self.bounds.response_timeout)
