"""``plugin-compat simulate``: the demo's exchange as a server, to try plugins and commands against."""

from __future__ import annotations

import asyncio
import errno
import os

import click

from compat.cli.command import Command
from compat.cli.loop import on_event_loop
from compat.cli.parameters import POSITIVE, Whole
from compat.demo.bundled import plugin_path
from compat.demo.exchange import Exchange
from detectors.errors import UsageError

__all__ = ["simulate"]

_PORT_REMEDIES = {
    errno.EADDRINUSE: "Choose another port, or leave --port away: the system chooses a free one",
    errno.EACCES: "Choose a port above 1023, or leave --port away: the system chooses a free one",
}
_KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"


@click.command(cls=Command, short_help="Serve a simulated exchange to try plugins on.")
@click.option(
    "--port", type=Whole(0, 65_535), metavar="PORT", default=0, help="The port to listen on; by default a free one."
)
@click.option("--rate", type=POSITIVE, default=5.0, show_default=True, help="Candles a second.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the simulated market.")
@click.option(
    "--drop-every",
    type=POSITIVE,
    metavar="SECONDS",
    help="Drop all connections so often.",
)
def simulate(port: int, rate: float, seed: int, drop_every: float | None) -> int:
    """Serve a simulated exchange on loopback until Ctrl-C, and print commands to try on it.

    The two plugins of the demo come with plugin-compat; they trade on this exchange.
    """

    async def serve() -> None:
        async with Exchange(seed=seed, rate=rate, port=port) as exchange:
            click.echo("\n".join(_welcome(exchange)))
            while True:
                await asyncio.sleep(drop_every or 3_600)
                if drop_every is not None:
                    await exchange.drop_all()
                    click.echo(f"dropped all connections, as every {drop_every:g} s", err=True)

    try:
        on_event_loop(serve())
    except OSError as error:
        remedy = _PORT_REMEDIES.get(error.errno or 0)
        if remedy is None:
            raise
        raise UsageError(f"cannot listen on port {port}: {os.strerror(error.errno or 0)}", remedy=remedy) from error
    return 0


def _welcome(exchange: Exchange) -> list[str]:
    legacy, generic = plugin_path("legacy"), plugin_path("generic")
    options = f"--rewrite wss://stream.simex.example={exchange.ws_url} --allow-private"
    return [
        f"SimEx is open on {exchange.ws_url} and {exchange.http_url}; Ctrl-C closes it. To try in another terminal:",
        "",
        f"  plugin-compat inspect {legacy} {generic}",
        f"  plugin-compat info {generic}",
        f"  plugin-compat call {legacy} list_markets --format json",
        f"  plugin-compat run {legacy} '{_KEY}' {options}",
        f"  plugin-compat run {generic} '{_KEY}' {options}",
    ]
