"""The command line ``plugin-compat``. Data goes to stdout, everything else to stderr.

Exit codes: 0 fine; 1 the plugin or the run has a problem; 2 wrong usage; 130 interrupted
(143 by SIGTERM, see ``compat/__main__.py``).
"""

from __future__ import annotations

import difflib
import signal
import sys
import warnings
from pathlib import Path

import click

from compat.cli.call import call
from compat.cli.command import Session, UnknownCommand, debug_option, tell
from compat.cli.completion import completion
from compat.cli.demo import demo
from compat.cli.info import info
from compat.cli.inspect import inspect
from compat.cli.run import run
from compat.cli.simulate import simulate
from compat.version import TOLD, VERSION

__all__ = ["cli", "main"]

_EPILOG = """
\b
Try it:
  plugin-compat demo
  plugin-compat inspect PLUGIN.wasm
  plugin-compat run PLUGIN.wasm 'ohlcv:woox:PERP_BTC_USDT?timeframe=1m'

Data goes to stdout, everything else to stderr. Exit codes: 0 fine, 1 the plugin or the run has a problem, 2 wrong
usage, 130 interrupted (143 by SIGTERM).
"""


class _Commands(click.Group):
    """Lists the commands in the order in which a newcomer needs them, and knows what may be meant by others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchOption:
            raise
        except click.UsageError:
            raise UnknownCommand(f"No such command '{args[0]}'.", self._meant(args), ctx) from None

    def _meant(self, args: list[str]) -> str:
        """What may have been meant by a command that there is not; empty if nobody knows."""
        name, *others = args
        if name == "help":
            about = f"{others[0]} " if others and others[0] in self.commands else ""
            return f"Write 'plugin-compat {about}--help'"
        if name.endswith(".wasm") or Path(name).is_file():
            return f"The command comes before the file: plugin-compat inspect {name}, or plugin-compat run {name} KEY"
        close = difflib.get_close_matches(name, self.commands, n=1)
        return f"Did you mean '{close[0]}'? See 'plugin-compat --help'" if close else ""


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(VERSION, message=TOLD)
@click.pass_context
def cli(ctx: click.Context) -> int:
    """Run legacy and generic WebAssembly datasource plugins through one interface."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
    return 2  # what a command returns goes before this


cli.params.append(debug_option())
for _command in (demo, inspect, info, run, call, simulate, completion):
    cli.add_command(_command)


def main(session: Session | None = None) -> None:
    """Run the command line and exit with its code.

    Args:
        session: What is chosen beforehand; by default nothing.
    """
    session = session or Session()
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
