"""A guest together with its network, and what whoever made it wants to hear of it."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Any

import attrs

from adapters.closing import Closing
from adapters.companion.batching import Batches
from adapters.companion.border import Handler
from adapters.net.gateway import Gateway
from adapters.net.guest_network import GuestNetwork
from adapters.publisher import CLOSING
from adapters.runtime.guest import Guest
from adapters.runtime.hostcalls import Publication, handlers_for, receiving
from adapters.runtime.malformed import Malformed
from detectors.wording import shown

__all__ = ["NOT_STREAMING", "GuestHooks", "HostCalls", "LiveGuest", "Publishing", "host_calls"]

#: The answer to a publication of a guest that serves no stream. It is no fault: plugins of both kinds publish there.
NOT_STREAMING = "nothing is streamed by this guest"

_SHOWN = 500  # characters of a reason


def _refuse_publication(_: Publication) -> str:
    return NOT_STREAMING


def _ignore(_: str) -> None:
    return None


@attrs.frozen
class GuestHooks:
    """What a guest's maker wants to hear of it, on the guest's thread but for ``undeliverable``.

    Attributes:
        publish: Takes what it publishes; returns why it is refused, or ``None``.
        crossed: Told when all that a crossing publishes has been handed over.
        lost: Told why, when something that it published could not be read.
        undeliverable: Told why, on the event loop, when a message could not be handed to it.
        misused: Told how it misuses host functions: by requests that nobody can read (of the 1st, 10th, 100th, ... to
            each function), by more connections than it may have; ``None``: the plugin's logger is.
        reconnected: Told why a connection was lost, when the guest has opened another by itself.
        worn: Told once, when it should be replaced some time.
    """

    publish: Callable[[Publication], str | None] = _refuse_publication
    crossed: Callable[[], None] = lambda: None
    lost: Callable[[str], None] = _ignore
    undeliverable: Callable[[str], None] = _ignore
    misused: Callable[[str], None] | None = None
    reconnected: Callable[[str], None] = _ignore
    worn: Callable[[], None] = lambda: None


class Publishing:
    """Takes the publications of a guest, for ``hostcalls.handlers_for``.

    Args:
        hooks: Those of its maker, who takes or refuses them.
        network: Told when the guest hears that its stream is being closed.
        counting: Makes what counts those of one kind.
        redact: Takes secrets out of a text.
    """

    def __init__(
        self,
        hooks: GuestHooks,
        network: GuestNetwork,
        counting: Callable[..., Malformed],
        redact: Callable[[str], str],
    ) -> None:
        self._hooks = hooks
        self._network = network
        self._redact = redact
        self._refusals = counting(kind="refused", tell=_ignore)  # whoever refuses tells
        self._dropped = counting(kind="dropped")  # of a guest that serves no stream
        self._closing = False

    def publish(self, publication: Publication) -> str | None:
        """Take one. Returns why it is refused, or ``None``."""
        refused = self._hooks.publish(publication)
        if refused is None:
            self._refusals.in_a_row = 0
        elif refused == CLOSING:
            self._closing = True
        elif refused == NOT_STREAMING:
            self._dropped.note(refused)
        else:
            self._refusals.answer(shown(self._redact(refused), _SHOWN))
        return refused

    def crossed(self) -> None:
        """All that one crossing publishes has been handed over."""
        self._hooks.crossed()
        if self._closing:  # the first that the guest hears of it
            self._closing = False
            self._network.drain()
            self._network.linger()


@attrs.frozen
class HostCalls:
    """What a guest with a network calls, by the names of ``Border``'s arguments."""

    handlers: dict[str, Handler]
    batches: Batches
    on_published: Callable[[], None]


def host_calls(
    hooks: GuestHooks,
    network: GuestNetwork,
    log: Callable[[str, str, Any], None],
    malformed: Callable[..., Malformed],
    *,
    redact: Callable[[str], str],
    clock: Callable[[], int],
) -> HostCalls:
    """What a guest calls.

    Args:
        hooks: Those of its maker.
        network: Its own.
        log: Takes a log record's event type, message and data.
        malformed: Makes what counts the malformed requests to a host function.
        redact: Takes secrets out of a text.
        clock: Nanoseconds since 1970 UTC.
    """
    publishing = Publishing(hooks, network, functools.partial(malformed, "publish_stream_data"), redact)
    receive = receiving(network, malformed)
    handlers = handlers_for(network, publishing.publish, log, malformed, receive=receive, lost=hooks.lost, clock=clock)
    batches = Batches(
        receive,
        handlers["publish_stream_data"],
        handlers["log_record"],
        network.untaken,
        network.take_back,
        own_clock=clock is time.time_ns,
    )
    return HostCalls(handlers, batches, publishing.crossed)


@attrs.frozen
class LiveGuest:
    """A guest and its network."""

    guest: Guest
    network: GuestNetwork
    gateway: Gateway
    _closing: Closing = attrs.field(init=False, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_closing", Closing(self._close, f"close of guest {self.guest.name}"))

    async def aclose(self) -> None:
        """Stop the guest and close its connections, within about a second; a sleeping guest is left lingering."""
        await self._closing()

    async def _close(self) -> None:
        self.guest.stop()
        self.network.wake()
        await asyncio.gather(self.guest.aclose(), self.network.aclose(), self.gateway.aclose())
