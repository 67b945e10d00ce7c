"""``plugin-compat demo``: one market through a legacy and a generic plugin at once."""

from __future__ import annotations

import asyncio

import click

from compat.demo.comparison import compare

__all__ = ["demo"]


@click.command()
@click.option("--candles", type=click.IntRange(1, 10_000), default=10, show_default=True, help="Candles to compare.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the simulated market.")
def demo(candles: int, seed: int) -> int:
    """Show both kinds of plugin side by side.

    An exchange is simulated on loopback; a legacy and a generic plugin of that exchange, both built with the real Go
    toolchain, stream the same market over real WebSockets through the same interface. Exits with 1 unless both deliver
    the same candles.
    """
    agreed = asyncio.run(compare(candles, seed, click.echo))
    return 0 if agreed else 1
