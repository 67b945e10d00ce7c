"""What every command has in common: ``--debug``, colours, a closed pipe, and how an error is told.

An error is one or two lines on stderr: what is wrong and where, then what to do about it.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
import click

from adapters.runtime.errors import PluginTrapError
from detectors.errors import CompatError
from detectors.machine import machine_error, remedy_of
from detectors.wording import shown

if TYPE_CHECKING:
    from compat.demo.plot import Pace

__all__ = ["BadValue", "Command", "Session", "UnknownCommand", "debug_option", "tell"]


@attrs.define
class Session:
    """One use of the command line.

    Attributes:
        debug: Whether to show tracebacks and what the library logs.
        redact: Takes secrets out of what is shown.
        pace: How fast the demo goes; ``None``: as suits where it is shown.
        arguments: What the command was given, as it stands. There may be secrets in it.
    """

    debug: bool = False
    redact: Callable[[str], str] = str
    pace: Pace | None = None
    arguments: tuple[str, ...] = attrs.field(default=(), repr=False)


class BadValue(click.BadParameter):
    """A value that makes no sense, with a hint at one that does."""

    def __init__(self, message: str, hint: str, param: click.Parameter | None, ctx: click.Context | None) -> None:
        super().__init__(message, ctx, param)
        self.hint = hint


class UnknownCommand(click.UsageError):
    """A command that there is not, with a hint at one that there is."""

    def __init__(self, message: str, hint: str, ctx: click.Context) -> None:
        super().__init__(message, ctx)
        self.hint = hint


def debug_option() -> click.Option:
    """``--debug``, which may stand before a command's name or behind it."""
    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=_set_debug,
        help="Show the log, and a traceback of what goes wrong.",
    )


class Command(click.Command):
    """A command of ``plugin-compat``. It returns its exit code."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(debug_option())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; what is wrong with them is told of this command."""
        ctx.ensure_object(Session).arguments = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx  # the parser does not say of which command it speaks
            raise

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
    message, hint, code = _words(error)
    no_color = False if os.environ.get("NO_COLOR") else None
    label = click.style("error:", fg="red", bold=True)
    with contextlib.suppress(OSError):  # if nobody can be told, the exit code still says it
        if session.debug and not isinstance(error, click.ClickException):
            trace = f"{error.trace.rstrip()}\n" if isinstance(error, PluginTrapError) else ""
            click.echo(session.redact("".join([*traceback.format_exception(error), trace])), err=True, nl=False)
        click.echo(f"{label} {_in_one_line(session.redact(message))}", err=True, color=no_color)
        if hint:
            click.echo(f"  {_in_one_line(session.redact(hint))}", err=True, color=no_color)
    return code


_OS_REMEDIES = {
    errno.ENOSPC: "Make room where the output goes, or write it elsewhere",
    errno.EACCES: "Copy it somewhere where you may read it",
}


def _in_one_line(text: str) -> str:
    """Text as it can be told: plugins may put line breaks and commands for terminals into what they say."""
    line = " ".join(text.split())
    return shown(line, 12 * len(line))


def _words(error: Exception) -> tuple[str, str, int]:
    """What happened, what to do about it, and the exit code."""
    if isinstance(error, click.UsageError):
        return *_words_of_wrong_usage(error), error.exit_code
    if isinstance(error, click.ClickException):
        return error.format_message(), "", error.exit_code
    if isinstance(error, CompatError):
        return error.message, error.remedy, 1
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or error}", _OS_REMEDIES.get(error.errno or 0) or remedy_of(error), 1
    lacking = machine_error(error)
    if lacking is not None:
        return lacking.message, lacking.remedy, 1
    return (
        f"unexpected {type(error).__name__}: {error}",
        "This is a defect of plugin-compat: please report it with what the same command prints with --debug",
        1,
    )


def _words_of_wrong_usage(error: click.UsageError) -> tuple[str, str]:
    hint = error.hint if isinstance(error, BadValue | UnknownCommand) else ""
    see = f"See '{error.ctx.command_path if error.ctx is not None else 'plugin-compat'} --help'"
    # What was one argument too many may be a secret.
    message, extra = re.subn(
        r"^(Got unexpected extra arguments?) \(.*\)$", r"\1.", error.format_message(), flags=re.DOTALL
    )
    if extra and error.ctx is not None:
        usage = " ".join(error.ctx.get_usage().removeprefix("Usage:").split())
        hint = f"It takes: {usage}. {see}"
    return message, hint or see
