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
from adapters.net.policy import NetworkPolicy, parse_rewrite
from adapters.net.tls import Tls, TlsError
from adapters.secrets import Redactor
from adapters.settings import AdapterSettings
from compat.cli.command import BadValue, Session
from compat.configuration import read_config
from compat.errors import ConfigFileError
from compat.plugin import Opening, open_plugin
from detectors.errors import UsageError
from detectors.report import inspect
from detectors.rules import INTERFACES

__all__ = ["EXPORT", "FILE", "KEY", "POSITIVE", "Open", "Whole", "format_option", "opens_plugin"]


_MOST_NAMES = 5  # that are listed


class _File(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """A file that is there and can be read.

    Args:
        suffixes: How the names of such files end.
    """

    name = "FILE"

    def __init__(self, *suffixes: str) -> None:
        self._suffixes = suffixes

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        text = os.fsdecode(value) if isinstance(value, bytes) else str(value)
        if not text:
            raise BadValue("the path is empty.", f"Name a {self._wanted} file", param, ctx)
        path = Path(text)
        try:
            if path.is_dir():
                raise BadValue(f"'{path}' is a folder.", self._files_in(path), param, ctx)
            if not path.exists():
                hint = _misplaced(path, param, ctx) or _missing(path) or self._near(path)
                raise BadValue(f"'{path}' does not exist.", hint, param, ctx)
        except PermissionError:
            hint = "Copy it somewhere where you may read it"
            raise BadValue(f"a folder on the way to '{path}' may not be entered.", hint, param, ctx) from None
        if not os.access(path, os.R_OK):
            raise BadValue(f"'{path}' cannot be read: permission denied.", f"Allow it: chmod +r '{path}'", param, ctx)
        return path

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]

    @property
    def _wanted(self) -> str:
        return " or ".join(self._suffixes)

    def _names_in(self, folder: Path) -> list[str]:
        """The files in a folder that may be meant, and whose names can be typed."""
        try:
            found = [path for path in folder.iterdir() if path.suffix.lower() in self._suffixes and path.is_file()]
        except OSError:
            return []
        return sorted(path.name for path in found if path.name.isprintable())

    def _files_in(self, folder: Path) -> str:
        names = self._names_in(folder)
        more = ", …" if len(names) > _MOST_NAMES else ""
        return f"Name a file in it: {', '.join(names[:_MOST_NAMES])}{more}" if names else f"Name a {self._wanted} file"

    def _near(self, path: Path) -> str:
        """What may have been meant instead of a file that does not exist."""
        close = difflib.get_close_matches(path.name, self._names_in(path.parent), n=1)
        if close:
            return f"Did you mean '{path.with_name(close[0])}'?"
        return "Check the path" if path.is_absolute() else "Check the path; it is relative to this folder"


def _misplaced(path: Path, param: click.Parameter | None, ctx: click.Context | None) -> str:
    """What to say if the file does not come first, as it should; empty if that is not what is wrong."""
    if str(path).count(":") >= 2:
        return "That looks like a stream key: the file comes first, then the key"
    if ctx is None or not isinstance(param, click.Argument) or param.nargs != 1:
        return ""
    others = [text for text in ctx.ensure_object(Session).arguments if text.endswith(".wasm") and Path(text).is_file()]
    return f"The plugin's file comes first: {ctx.command_path} {others[0]} ..." if others else ""


def _missing(path: Path) -> str:
    """Why there can be no such file at all, whatever its name; empty if there could be one."""
    if path.is_symlink():
        return f"It is a link to '{path.readlink()}', where nothing is"
    if path.parent.is_dir():
        return ""
    for above in path.parents:
        if above.exists() and not above.is_dir():
            return f"'{above}' is a file, not a folder"
    return f"The folder '{path.parent}' does not exist either"


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
            if Path(str(value)).is_file():
                hint = "That is a file: the plugin's file comes first, then the key"
            raise BadValue(f"{error.message}.", hint, param, ctx) from None


class _Export(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    name = "EXPORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if text.startswith(("{", "[", '"', "@")) or text in ("", "-"):
            # Not repeated: it may hold a secret.
            hint = "The export comes first, then the JSON: plugin-compat call FILE EXPORT [JSON]"
            raise BadValue("it is no export's name.", hint, param, ctx)
        return text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        file = ctx.params.get("file")
        try:
            exports = inspect(file).exports if file is not None else ()
        except OSError:
            return []
        return [CompletionItem(item.name) for item in exports if item.name.startswith(incomplete)]


class Whole(click.IntRange):
    """A whole number in a range."""

    name = "whole number"


class _Positive(click.FloatRange):
    """A number greater than 0, which the one that is no number is not."""

    name = "number"

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


class _Secret(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """The name of a variable of the environment, for the value of which it stands."""

    name = "NAME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        found = os.environ.get(str(value))
        if found is None:
            # Not repeated: it may be the secret itself.
            hint = "Write the variable's name, without $; the secret itself does not belong on a command line"
            raise BadValue("the environment has no such variable.", hint, param, ctx)
        return found


FILE, CONFIG_FILE, KEY, EXPORT = _File(".wasm"), _ConfigFile(), _Key(), _Export()

_PEM = _File(".pem", ".crt", ".key")

POSITIVE = _Positive()

format_option = click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json", "ndjson"]),
    default="text",
    show_default=True,
    help="For people, as one JSON document, or as one JSON value a line.",
)

_KINDS = tuple(dict.fromkeys(str(interface.kind) for interface in INTERFACES))

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
    click.option("--kind", type=click.Choice(_KINDS), help="What to run it as, where it can be run as several."),
    click.option("--rewrite", type=_Rewrite(), multiple=True, help="Replace a URL prefix, to use another host."),
    click.option("--allow-private", is_flag=True, help="Let the plugin reach loopback and private addresses."),
    click.option(
        "--trust-proxy",
        is_flag=True,
        help="Where the environment names a proxy, let that look up host names, and judge where they lead.",
    ),
    click.option("--ca-file", type=_PEM, help="Trust these authorities in TLS, in place of the system's."),
    click.option("--client-cert", type=_PEM, help="Show this certificate to servers that ask for one."),
    click.option("--client-key", type=_PEM, help="Its private key, if it is in another file."),
    click.option(
        "--client-key-password-env",
        "key_password",
        type=_Secret(),
        help="The variable of the environment that holds the key's password.",
    ),
)


class Open(Protocol):
    """Opens the plugin that the command line describes."""

    def __call__(self) -> Opening:
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
        trust_proxy: bool,
        ca_file: Path | None,
        client_cert: Path | None,
        client_key: Path | None,
        key_password: str | None,
        **others: Any,
    ) -> int:
        values: dict[str, Any] = {**(config_file or {}), **dict(config)}
        secrets = {**values, "key password": key_password}
        click.get_current_context().ensure_object(Session).redact = Redactor(secrets)
        open_ = functools.partial(
            _open,
            file,
            values or None,
            kind=kind,
            rewrite=dict(rewrite),
            allow_private=allow_private,
            settings=AdapterSettings(
                policy=NetworkPolicy(trust_proxy=trust_proxy),
                tls=_tls(ca_file, client_cert, client_key, key_password),
            ),
        )
        return function(open_, **others)

    for option in reversed(_PLUGIN_OPTIONS):
        command = option(command)
    return click.argument("file", type=FILE)(command)


_TLS_OPTIONS = {  # by the attributes of ``Tls``, in their order, the parameters
    "ca": "ca_file",
    "certificate": "client_cert",
    "key": "client_key",
    "key_password": "key_password",
}


def _tls(*given: Any) -> Tls | None:
    if all(value is None for value in given):
        return None
    try:
        return Tls(*given)
    except TlsError as error:
        ctx = click.get_current_context()
        at_fault = next(param for param in ctx.command.params if param.name == _TLS_OPTIONS[error.at_fault])
        raise BadValue(f"{error.message.removeprefix('TLS: ')}.", error.remedy, at_fault, ctx) from None


def _open(file: Path, config: Mapping[str, Any] | None, **options: Any) -> Opening:
    return open_plugin(file, config=config, **options)
