"""The arguments and options that several commands share, and the plugin that they describe."""

from __future__ import annotations

import difflib
import functools
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import click
from click.shell_completion import CompletionItem

from adapters.contract import StreamKey
from adapters.errors import KeyFormatError
from adapters.net.policy import parse_rewrite
from adapters.secrets import Redactor
from compat.cli.command import BadValue, Session
from compat.configuration import read_config
from compat.errors import ConfigFileError
from compat.plugin import Plugin, open_plugin
from detectors.errors import UsageError
from detectors.report import inspect

__all__ = ["EXPORT", "FILE", "KEY", "POSITIVE", "Open", "format_option", "opens_plugin"]


class _File(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """A file that is there and can be read.

    Args:
        suffixes: How the names of such files end.
    """

    name = "FILE"

    def __init__(self, *suffixes: str) -> None:
        self._suffixes = suffixes

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(os.fsdecode(value) if isinstance(value, bytes) else str(value))
        try:
            if path.is_dir():
                raise BadValue(f"'{path}' is a folder.", self._files_in(path), param, ctx)
            if not path.exists():
                raise BadValue(f"'{path}' does not exist.", _near(path), param, ctx)
        except PermissionError:
            hint = "Copy it somewhere where you may read it"
            raise BadValue(f"a folder on the way to '{path}' may not be entered.", hint, param, ctx) from None
        if not os.access(path, os.R_OK):
            raise BadValue(f"'{path}' cannot be read: permission denied.", f"Allow it: chmod +r '{path}'", param, ctx)
        return path

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]

    def _files_in(self, folder: Path) -> str:
        try:
            names = sorted(path.name for path in folder.iterdir() if path.suffix in self._suffixes)[:5]
        except OSError:
            names = []
        return f"Name a file in it: {', '.join(names)}" if names else f"Name a {' or '.join(self._suffixes)} file"


def _near(path: Path) -> str:
    """What may have been meant instead of a file that does not exist."""
    if str(path).count(":") >= 2:
        return "That looks like a stream key: the file comes first, then the key"
    try:
        names = [other.name for other in path.parent.iterdir()]
    except OSError:
        return f"The folder '{path.parent}' does not exist either"
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"Did you mean '{path.with_name(close[0])}'?" if close else "Check the path; it is relative to this folder"


class _ConfigFile(_File):
    """A plugin's configuration, read."""

    def __init__(self) -> None:
        super().__init__(".toml", ".json")

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, dict):
            return value
        try:
            return read_config(super().convert(value, param, ctx))
        except ConfigFileError as error:
            raise BadValue(f"'{error.path}': {error.problem}.", error.remedy, param, ctx) from None


class _Key(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    name = "KEY"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> StreamKey:
        try:
            return StreamKey.parse(str(value))
        except KeyFormatError as error:
            hint = "Write type:source:identifier?name=value, such as 'ohlcv:woox:PERP_BTC_USDT?timeframe=1m'"
            if Path(str(value)).exists():
                hint = "That is a file: the plugin's file comes first, then the key"
            raise BadValue(f"{error.message}.", hint, param, ctx) from None


class _Export(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    name = "EXPORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        file = ctx.params.get("file")
        try:
            exports = inspect(file).exports if file is not None else ()
        except OSError:
            return []
        return [CompletionItem(item.name) for item in exports if item.name.startswith(incomplete)]


class _Positive(click.FloatRange):
    """A number greater than 0, which the one that is no number is not."""

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value!r} is not in the range x>0.", param, ctx)
        return found


class _Pair(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """``NAME=VALUE``."""

    name = "NAME=VALUE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, equals, rest = str(value).partition("=")
        if not equals or not name:
            # The value may be a secret typed in the wrong place: it is not repeated.
            self.fail("it is not of the form NAME=VALUE", param, ctx)
        return name, rest


class _Rewrite(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    name = "FROM=TO"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        try:
            return parse_rewrite(str(value))
        except UsageError as error:
            raise BadValue(f"{error.message}.", error.remedy, param, ctx) from None


FILE, CONFIG_FILE, KEY, EXPORT = _File(".wasm"), _ConfigFile(), _Key(), _Export()

POSITIVE = _Positive()

format_option = click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "ndjson"]),
    default="text",
    show_default=True,
    help="For people, as one JSON document, or as one JSON value a line.",
)

_PLUGIN_OPTIONS = (
    click.option(
        "--config",
        type=_Pair(),
        multiple=True,
        help="A value of the plugin's configuration; can be given several times, and goes before the file's.",
    ),
    click.option(
        "--config-file",
        type=CONFIG_FILE,
        help="The plugin's configuration: TOML or JSON. Secrets need not stand in it: "
        'api_key = {env = "WOOX_KEY"} takes a value from the environment, {file = "path"} from a file.',
    ),
    click.option("--kind", metavar="KIND", help="Run it as legacy or generic, where it can be run as both."),
    click.option("--rewrite", type=_Rewrite(), multiple=True, help="Replace a URL prefix, to use another host."),
    click.option("--allow-private", is_flag=True, help="Let the plugin reach loopback and private addresses."),
)


class Open(Protocol):
    """Opens the plugin that the command line describes."""

    def __call__(self) -> Plugin:
        """Open it. See ``compat.open_plugin``."""
        ...


def opens_plugin(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command the argument FILE and the options of a plugin; the function gets an ``Open`` in their place."""

    @functools.wraps(function)
    def command(
        *,
        file: Path,
        config: tuple[tuple[str, str], ...],
        config_file: dict[str, Any] | None,
        kind: str | None,
        rewrite: tuple[tuple[str, str], ...],
        allow_private: bool,
        **others: Any,
    ) -> int:
        values: dict[str, Any] = {**(config_file or {}), **dict(config)}
        click.get_current_context().ensure_object(Session).redact = Redactor(values)
        open_ = functools.partial(
            _open, file, values or None, kind=kind, rewrite=dict(rewrite), allow_private=allow_private
        )
        return function(open_, **others)

    for option in reversed(_PLUGIN_OPTIONS):
        command = option(command)
    return click.argument("file", type=FILE)(command)


def _open(file: Path, config: Mapping[str, Any] | None, **options: Any) -> Plugin:
    return open_plugin(file, config=config, **options)
