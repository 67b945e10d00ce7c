"""The command line ``plugin-compat``. Data goes to stdout, everything else to stderr.

Exit codes: 0 fine; 1 the plugin or the run has a problem; 2 wrong usage; 130 interrupted
(143 by SIGTERM, see ``compat/__main__.py``).
"""

from __future__ import annotations

import signal
import sys
import warnings

import click

from compat.cli.call import call
from compat.cli.command import Session, tell
from compat.cli.completion import completion
from compat.cli.demo import demo
from compat.cli.info import info
from compat.cli.inspect import inspect
from compat.cli.run import run
from compat.cli.simulate import simulate

__all__ = ["cli", "main"]

_EPILOG = """
\b
Try it:
  plugin-compat demo
  plugin-compat inspect PLUGIN.wasm
  plugin-compat run PLUGIN.wasm 'ohlcv:woox:PERP_BTC_USDT?timeframe=1m'

Data goes to stdout, everything else to stderr. Exit codes: 0 fine, 1 the plugin or the run has a problem, 2 wrong
usage, 130 interrupted
(143 by SIGTERM, see ``compat/__main__.py``).
"""


class _InOrder(click.Group):
    """Lists the commands in the order in which a newcomer needs them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_InOrder,
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="plugin-compat")
@click.pass_context
def cli(ctx: click.Context) -> int:
    """Run legacy and generic WebAssembly datasource plugins through one interface."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
    return 2  # what a command returns goes before this


for _command in (demo, inspect, info, run, call, simulate, completion):
    cli.add_command(_command)


def main() -> None:
    """Run the command line and exit with its code."""
    session = Session()
    try:
        code = cli.main(prog_name="plugin-compat", standalone_mode=False, obj=session)
    except click.exceptions.Abort:
        # Whoever presses Ctrl-C again while the interpreter ends wants no traceback either.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        warnings.simplefilter("ignore")
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - it is told, and shown with --debug
        sys.exit(tell(error, session))
    sys.exit(code if isinstance(code, int) else 0)
