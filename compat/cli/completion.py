"""``plugin-compat completion``: the script that lets a shell complete commands, options, files and exports."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from compat.cli.command import Command

__all__ = ["completion"]


@click.command(cls=Command, short_help="Complete commands in bash, zsh or fish.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print what a SHELL needs to complete this command: its subcommands, options, files, and a plugin's exports.

    \b
    bash, in ~/.bashrc:                     eval "$(plugin-compat completion bash)"
    zsh, in ~/.zshrc:                       eval "$(plugin-compat completion zsh)"
    fish, in ~/.config/fish/config.fish:    plugin-compat completion fish | source
    """
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 - the choice names only those that there are
    click.echo(made(ctx.find_root().command, {}, "plugin-compat", "_PLUGIN_COMPAT_COMPLETE").source())
    return 0
