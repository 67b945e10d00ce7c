"""A guest together with its network, and what whoever made it wants to hear of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import attrs

from adapters.closing import Closing
from adapters.net.gateway import Gateway
from adapters.net.guest_network import GuestNetwork
from adapters.publisher import CLOSING
from adapters.runtime.guest import Guest
from adapters.runtime.hostcalls import Publication
from adapters.runtime.malformed import Malformed
from detectors.wording import shown

__all__ = ["NOT_STREAMING", "GuestHooks", "LiveGuest", "publishing"]

#: The answer to a publication of a guest that serves no stream. It is no fault: plugins of both kinds publish there.
NOT_STREAMING = "nothing is streamed by this guest"

_SHOWN = 500  # characters of a reason


def _refuse_publication(_: Publication) -> str:
    return NOT_STREAMING


def _ignore(_: str) -> None:
    return None


@attrs.frozen
class GuestHooks:
    """What a guest's maker wants to hear of it. All are called on the guest's thread.

    Attributes:
        publish: Takes what it publishes; returns why it is refused, or ``None``.
        lost: Told why, when a message could not be handed to the guest or read from it.
        misused: Told how it misuses host functions: by requests that nobody can read (of the 1st, 10th, 100th, ... to
            each function), by more connections than it may have; ``None``: the plugin's logger is.
        reconnected: Told why a connection was lost, when the guest has opened another by itself.
        worn: Told once, when it should be replaced some time.
    """

    publish: Callable[[Publication], str | None] = _refuse_publication
    lost: Callable[[str], None] = _ignore
    misused: Callable[[str], None] | None = None
    reconnected: Callable[[str], None] = _ignore
    worn: Callable[[], None] = lambda: None


def publishing(
    hooks: GuestHooks, network: GuestNetwork, counting: Callable[..., Malformed], redact: Callable[[str], str]
) -> Callable[[Publication], str | None]:
    """What takes the publications of a guest, for ``hostcalls.handlers_for``.

    Args:
        hooks: Those of its maker, who takes or refuses them.
        network: Told when the guest hears that its stream is being closed.
        counting: Makes what counts those of one kind.
        redact: Takes secrets out of a text.
    """
    refusals = counting(kind="refused", tell=_ignore)  # whoever refuses tells
    dropped = counting(kind="dropped")  # of a guest that serves no stream

    def publish(publication: Publication) -> str | None:
        refused = hooks.publish(publication)
        if refused is None:
            refusals.in_a_row = 0
        elif refused == CLOSING:  # the first that the guest hears of it
            network.drain()
            network.linger()
        elif refused == NOT_STREAMING:
            dropped.note(refused)
        else:
            refusals.answer(shown(redact(refused), _SHOWN))
        return refused

    return publish


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
