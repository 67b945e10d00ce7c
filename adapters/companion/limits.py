"""How much is kept for a guest in its own kernel, and what it did that nobody could make good."""

from __future__ import annotations

import attrs

__all__ = ["Fault", "KernelLimits"]


@attrs.frozen
class KernelLimits:
    """How much the companion's kernel keeps for a guest.

    Attributes:
        retained: Bytes of used blocks that the guest may come back to.
        budget: Bytes that its blocks may take.
        generations: How often the slot of a handle is used before the guest counts as worn.
        request: Bytes of a request to a host function, of what is published, for example.
        output: Bytes of the output of a call.
        error: Bytes of the text that it puts into error memory; of a longer one, so many are kept.
    """

    retained: int = 4 * 2**20
    budget: int = 64 * 2**20
    generations: int = 31 * 2**16
    request: int = 16 * 2**20
    output: int = 16 * 2**20
    error: int = 2**16


@attrs.frozen
class Fault:
    """What a guest did that nobody could make good.

    Attributes:
        reason: As the companion numbers them.
        handle: The handle that it used, or the bytes that it asked for.
    """

    reason: int
    handle: int
