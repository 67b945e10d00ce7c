"""A simulated exchange with a plugin of each kind, to try things on without a real one.

async with compat.demo.Exchange() as exchange:
async with compat.open_plugin(
compat.demo.plugin_path("legacy"), rewrite=exchange.rewrites, allow_private=True
) as plugin:
...
"""

from __future__ import annotations

from compat.demo.bundled import plugin_path
from compat.demo.exchange import Exchange

__all__ = ["Exchange", "plugin_path"]
