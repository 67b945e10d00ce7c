"""What every command has in common: ``--debug``, colours, a closed pipe, and how an error is told.

An error is one or two lines on stderr: what is wrong and where, then what to do about it.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import Any

import attrs
import click

from detectors.errors import CompatError
from detectors.wording import shown

__all__ = ["BadValue", "Command", "Session", "tell"]


@attrs.define
class Session:
    """One use of the command line.

    Attributes:
        debug: Whether to show tracebacks and what the library logs.
        redact: Takes secrets out of what is shown.
    """

    debug: bool = False
    redact: Callable[[str], str] = str


class BadValue(click.BadParameter):
    """A value that makes no sense, with a hint at one that does."""

    def __init__(self, message: str, hint: str, param: click.Parameter | None, ctx: click.Context | None) -> None:
        super().__init__(message, ctx, param)
        self.hint = hint


class Command(click.Command):
    """A command of ``plugin-compat``. It returns its exit code."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(
                ["--debug"],
                is_flag=True,
                expose_value=False,
                callback=_set_debug,
                help="Show the log, and a traceback of what goes wrong.",
            )
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; a reader of stdout that has seen enough and gone is no failure."""
        if sys.stdout is None:
            msg = "stdout is closed"
            raise click.ClickException(msg)
        ctx.color = False if os.environ.get("NO_COLOR") else None
        logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
        # Not the root: libraries log headers, which carry secrets.
        logging.getLogger("compat").setLevel(logging.DEBUG if ctx.ensure_object(Session).debug else logging.NOTSET)
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Keep the interpreter from flushing into the closed pipe.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return code


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).debug = True


def tell(error: Exception, session: Session) -> int:
    """Tell an error on stderr. Returns the exit code."""
    if session.debug and not isinstance(error, click.ClickException):
        click.echo(session.redact("".join(traceback.format_exception(error))), err=True, nl=False)
    message, hint, code = _words(error)
    no_color = False if os.environ.get("NO_COLOR") else None
    label = click.style("error:", fg="red", bold=True)
    click.echo(f"{label} {_in_one_line(session.redact(message))}", err=True, color=no_color)
    if hint:
        click.echo(f"  {_in_one_line(session.redact(hint))}", err=True, color=no_color)
    return code


_OS_REMEDIES = {
    errno.EADDRINUSE: "Choose another port, or let the system choose a free one",
    errno.ENOSPC: "Make room where the output goes, or write it elsewhere",
    errno.EACCES: "Copy it somewhere where you may read it",
}


def _in_one_line(text: str) -> str:
    """Text as it can be told: plugins may put line breaks and commands for terminals into what they say."""
    line = " ".join(text.split())
    return shown(line, len(line))


def _words(error: Exception) -> tuple[str, str, int]:
    """What happened, what to do about it, and the exit code."""
    if isinstance(error, click.UsageError):
        program = error.ctx.command_path if error.ctx is not None else "plugin-compat"
        hint = error.hint if isinstance(error, BadValue) and error.hint else f"See '{program} --help'"
        # What was one argument too many may be a secret.
        message = re.sub(r"^(Got unexpected extra arguments?) \(.*\)$", r"\1.", error.format_message(), flags=re.DOTALL)
        return message, hint, error.exit_code
    if isinstance(error, click.ClickException):
        return error.format_message(), "", error.exit_code
    if isinstance(error, CompatError):
        return error.message, error.remedy, 1
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", _OS_REMEDIES.get(error.errno or 0, ""), 1
    return (
        f"unexpected {type(error).__name__}: {error}",
        "This is a defect of plugin-compat: please report it with what the same command prints with --debug",
        1,
    )
