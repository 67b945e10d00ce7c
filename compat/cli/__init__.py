"""The command line ``plugin-compat``. Data goes to stdout, everything else to stderr.

Exit codes: 0 fine; 1 the plugin or the run has a problem; 2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import sys

import click

from compat.cli.demo import demo
from compat.cli.inspect import inspect
from compat.cli.run import run
from detectors.errors import CompatError

__all__ = ["cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="plugin-compat")
def cli() -> None:
    """Run legacy and generic datasource plugins through one interface."""


cli.add_command(inspect)
cli.add_command(run)
cli.add_command(demo)


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except CompatError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except OSError as error:
        click.echo(f"error: {error.filename or 'the system'}: {error.strerror or error}", err=True)
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)
