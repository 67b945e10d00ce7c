"""A simulated exchange with a plugin of each kind, to try things on without a real one.

    async with compat.demo.Exchange() as exchange:
        path = compat.demo.plugin_path("legacy")
        plugin = await compat.open_plugin(path, rewrite=exchange.rewrites, allow_private=True)

The other modules of this package are the demo itself.
"""

from __future__ import annotations

from compat.demo.bundled import plugin_path
from compat.demo.exchange import Exchange

__all__ = ["Exchange", "plugin_path"]
