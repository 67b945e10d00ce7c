"""A plugin and its companion as one manifest for Extism: which modules are linked, and in which order.

The manifest names the plugin by the path of a file in memory, where the system has such files. A path spares each
opening the base64 and JSON of several MiB. It spares each guest memory as well: Extism keeps a manifest as long as its
guest lives, with every module that stands in it (3.4 MiB for a Go plugin).
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import weakref
from collections.abc import Hashable
from pathlib import Path

import attrs
import msgspec

from adapters.companion.modules import companion, shim
from adapters.companion.rewriting import Ceilings, rewrite
from adapters.recent import Recent
from detectors.errors import MachineError
from detectors.machine import machine_error

__all__ = ["Linked", "MemoryFile", "link"]

_KEPT = 8  # plugins of several MiB


class MemoryFile:
    """A file in memory, with the bytes of a module. It exists as long as this object.

    Attributes:
        path: Where this process reads it.

    Raises:
        OSError: The system has no such files (only Linux does), no descriptor left, or does not show them in ``/proc``.
    """

    def __init__(self, data: bytes) -> None:
        if not hasattr(os, "memfd_create"):
            raise OSError("this system has no files in memory")
        descriptor = os.memfd_create("plugin-compat")
        self.path = f"/proc/self/fd/{descriptor}"
        self._identity = _identity(descriptor)
        weakref.finalize(self, _close, descriptor, self._identity)
        self._descriptor = descriptor
        Path(self.path).write_bytes(data)

    @property
    def intact(self) -> bool:
        """Whether the path still leads here: a process that becomes a daemon closes all descriptors."""
        return _identity(self._descriptor) == self._identity


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _close(descriptor: int, identity: tuple[int, int] | None) -> None:
    if identity is not None and _identity(descriptor) == identity:
        os.close(descriptor)


@attrs.frozen
class Linked:
    """What Extism is given.

    Attributes:
        manifest: JSON. It may name a file that exists as long as this object.
        initialisers: What has to be called before anything else, in order.
        key: The same for what is linked in the same way of the same module.
    """

    manifest: bytes = attrs.field(repr=False)
    initialisers: tuple[str, ...]
    key: Hashable
    _file: MemoryFile | None = attrs.field(repr=False, eq=False)

    @property
    def intact(self) -> bool:
        """Whether all that the manifest names is there."""
        return self._file is None or self._file.intact

    def fault(self, text: str) -> MachineError | None:
        """What the machine lacked, if Extism could not read the file; ``None`` if it failed for another reason.

        Args:
            text: What Extism says. It names the file, and leaves out why.
        """
        if self._file is None or self._file.path not in text:
            return None
        found = OSError(errno.EMFILE, "no descriptor was left for a moment")
        try:
            with Path(self._file.path).open("rb"):
                pass
        except OSError as error:
            found = error
        return machine_error(found) or MachineError(
            f"the plugin's file in memory cannot be read: {found}", "Close no file descriptors while plugins open"
        )


# By the module itself, not its digest: Python keeps the hash of a `bytes`, so that each further guest looks it up
# without reading 3.5 MB.
_linked: Recent[Linked] = Recent(_KEPT)


def link(wasm: bytes, ceilings: Ceilings | None = None) -> Linked:
    """Link a plugin's module with the companion.

    Args:
        wasm: The module; it has to be valid.
        ceilings: How large its memories and tables may become; ``None``: as it says itself.

    Raises:
        CompanionError: It is of a form that cannot have a companion.
    """
    found = _linked.get((wasm, ceilings))
    if found is None or not found.intact:
        found = _link(wasm, ceilings)
        _linked.put((wasm, ceilings), found)
    return found


def _link(wasm: bytes, ceilings: Ceilings | None) -> Linked:
    guest = rewrite(wasm, ceilings)
    file = _in_memory(guest.wasm)
    plugin = _inline("compat:guest", guest.wasm) if file is None else {"name": "compat:guest", "path": file.path}
    modules = [_inline("compat", companion()), plugin]
    if guest.shim:
        modules.append(_inline("compat:shim", shim()))
    modules.append(_inline("main", guest.main))
    # No `timeout_ms`: it would cap a start_stream too. `allowed_hosts` stays empty: Extism's own HTTP function would
    # pass the network policy by.
    manifest = msgspec.json.encode({"wasm": modules, "allowed_hosts": []})
    return Linked(manifest, guest.initialisers, (hashlib.sha256(wasm).digest(), ceilings), file)


def _in_memory(data: bytes) -> MemoryFile | None:
    try:
        return MemoryFile(data)
    except OSError:
        return None  # the manifest itself can have the module


def _inline(name: str, data: bytes) -> dict[str, str]:
    return {"name": name, "data": base64.b64encode(data).decode()}
