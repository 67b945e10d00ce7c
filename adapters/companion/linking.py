"""A plugin and its companion as one manifest for Extism: which modules are linked, and in which order."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Hashable

import attrs
import msgspec

from adapters.companion.modules import companion, shim
from adapters.companion.rewriting import Ceilings, rewrite
from adapters.recent import Recent

__all__ = ["Linked", "link"]

_KEPT = 8  # manifests of several MiB


@attrs.frozen
class Linked:
    """What Extism is given.

    Attributes:
        manifest: JSON.
        initialisers: What has to be called before anything else, in order.
        key: The same for what is linked in the same way of the same module.
    """

    manifest: bytes = attrs.field(repr=False)
    initialisers: tuple[str, ...]
    key: Hashable


_linked: Recent[Linked] = Recent(_KEPT)


def link(wasm: bytes, ceilings: Ceilings | None = None) -> Linked:
    """Link a plugin's module with the companion.

    Args:
        wasm: The module; it has to be valid.
        ceilings: How large its memories and tables may become; ``None``: as it says itself.

    Raises:
        CompanionError: It is of a form that cannot have a companion.
    """
    key = hashlib.sha256(wasm).digest(), ceilings
    found = _linked.get(key)
    if found is None:
        found = _link(wasm, ceilings, key)
        _linked.put(key, found)
    return found


def _link(wasm: bytes, ceilings: Ceilings | None, key: Hashable) -> Linked:
    guest = rewrite(wasm, ceilings)
    modules = [("compat", companion()), ("compat:guest", guest.wasm)]
    if guest.shim:
        modules.append(("compat:shim", shim()))
    modules.append(("main", guest.main))
    # No `timeout_ms`: it would cap a start_stream too. `allowed_hosts` stays empty: Extism's own HTTP function would
    # pass the network policy by.
    listed = [{"name": name, "data": base64.b64encode(data).decode()} for name, data in modules]
    return Linked(
        msgspec.json.encode({"wasm": listed, "allowed_hosts": []}),
        guest.initialisers,
        key,
    )
