"""The two plugins that come with this package, one of each kind; both trade on the simulated exchange."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from detectors.errors import UsageError

__all__ = ["plugin_path"]


_KINDS = ("legacy", "generic")


def plugin_path(kind: str) -> Path:
    """The file of the plugin of a kind, ``legacy`` or ``generic``.

    Raises:
        UsageError: There is none of that kind.
    """
    if kind not in _KINDS:
        raise UsageError(f"no plugin of kind {kind!r} comes with the package", remedy=f"There are {', '.join(_KINDS)}")
    return Path(str(importlib.resources.files("compat.demo") / "plugins" / f"{kind}.wasm"))
