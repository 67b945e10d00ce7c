"""The two plugins that come with this package, one of each kind; both trade on the simulated exchange."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Literal

__all__ = ["plugin_path"]


def plugin_path(kind: Literal["legacy", "generic"]) -> Path:
    """The file of the plugin of a kind."""
    return Path(str(importlib.resources.files("compat.demo") / "plugins" / f"{kind}.wasm"))
