"""``plugin-compat call``: the raw way in, one export of a plugin."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from compat.cli.command import BadValue, Command
from compat.cli.loop import on_event_loop
from compat.cli.parameters import EXPORT, POSITIVE, Open, format_option, opens_plugin
from compat.cli.progress import waiting

__all__ = ["call"]


class _Input(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """JSON as it stands, or any bytes as ``@FILE`` or ``-`` for stdin: whoever takes the trouble means them."""

    name = "JSON"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value
        text = str(value)
        if text == "-":  # a shell that completes the line must not be kept waiting
            return b"" if ctx is not None and ctx.resilient_parsing else sys.stdin.buffer.read()
        if text == "@":
            raise BadValue("@ is followed by nothing.", "Write @ and a file's path, such as @request.json", param, ctx)
        if text.startswith("@"):
            try:
                return Path(text[1:]).read_bytes()
            except OSError as error:
                raise BadValue(
                    f"'{text[1:]}': {error.strerror}.", "@ is followed by a file's path", param, ctx
                ) from None
        try:
            msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            # Not repeated: it may hold a secret.
            hint = """Quote it for the shell, such as '{"symbol": "BTC-USDT"}', or give it as @FILE or - (stdin)"""
            raise BadValue("it is no JSON.", hint, param, ctx) from None
        return text.encode()


@click.command(cls=Command, short_help="Call one export of a plugin: the raw way in.")
@opens_plugin
@click.argument("export", type=EXPORT)
@click.argument("data", metavar="[JSON]", type=_Input(), default=b"", required=False)
@click.option("--timeout", type=POSITIVE, default=30.0, show_default=True, help="Seconds.")
@format_option
def call(open_: Open, export: str, data: bytes, timeout: float, style: str) -> int:
    """Call one EXPORT of the plugin FILE with JSON as its input, and print its output as it is.

    JSON may be given as it stands, as @FILE, or as - to read stdin; without it the input is empty. What comes from a
    file or stdin reaches the plugin byte for byte, whether it is JSON or not. The plugin is configured first, if a
    configuration is given, and reaches the addresses that it declares.

    \b
    Examples:
      plugin-compat call woox.wasm get_timeframes
      plugin-compat call woox.wasm handle_command '{"name": "getMarkets", "params": {}}' --format json
    """

    async def ask() -> bytes:
        async with open_() as plugin:
            return await plugin.call(export, data, timeout=timeout)

    with waiting(f"calling {export}"):
        output = on_event_loop(ask())
    try:
        click.echo(_FORMATS[style](output))
    except msgspec.DecodeError:
        msg = f"the output of {export} is no JSON; --format text shows it as it is"
        raise click.ClickException(msg) from None
    return 0


_FORMATS: dict[str, Callable[[bytes], bytes]] = {
    "text": lambda output: output.removesuffix(b"\n"),
    "json": lambda output: msgspec.json.format(output, indent=2),
    "ndjson": lambda output: msgspec.json.format(output, indent=-1),
}
