"""A guest together with its network, and what whoever made it wants to hear of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import attrs

from adapters.closing import Closing
from adapters.net.gateway import Gateway
from adapters.net.guest_network import GuestNetwork
from adapters.runtime.guest import Guest
from adapters.runtime.hostcalls import Publication

__all__ = ["GuestHooks", "LiveGuest"]


def _refuse_publication(_: Publication) -> str:
    return "nothing is streamed by this guest"


def _ignore(_: str) -> None:
    return None


@attrs.frozen
class GuestHooks:
    """What a guest's maker wants to hear of it. All are called on the guest's thread.

    Attributes:
        publish: Takes what it publishes; returns why it is refused, or ``None``.
        lost: Told why, when a message could not be handed to the guest or read from it.
        reconnected: Told why a connection was lost, when the guest has opened another by itself.
        worn: Told once, when it should be replaced some time.
    """

    publish: Callable[[Publication], str | None] = _refuse_publication
    lost: Callable[[str], None] = _ignore
    reconnected: Callable[[str], None] = _ignore
    worn: Callable[[], None] = lambda: None


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
