"""``plugin-compat run``: stream from a plugin to stdout."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

import click
import msgspec

from adapters.contract import EventKind, Stream, StreamData, StreamKey
from adapters.errors import KeyFormatError
from adapters.net.policy import parse_rewrite
from adapters.times import rfc3339
from compat.plugin import open_plugin

__all__ = ["run"]


class _Key(click.ParamType[StreamKey]):
    name = "KEY"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> StreamKey:
        try:
            return StreamKey.parse(str(value))
        except KeyFormatError as error:
            self.fail(str(error), param, ctx)


class _Pair(click.ParamType[tuple[str, str]]):
    """``NAME=VALUE``."""

    name = "NAME=VALUE"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        name, equals, rest = str(value).partition("=")
        if not equals or not name:
            # The value may be a secret typed in the wrong place: it is not repeated.
            self.fail("it is not of the form NAME=VALUE", param, ctx)
        return name, rest


class _Rewrite(click.ParamType[tuple[str, str]]):
    name = "FROM=TO"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        try:
            return parse_rewrite(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("key", type=_Key())
@click.option("--config", type=_Pair(), multiple=True, help="A configuration value; can be given several times.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after so many items; without it, run until Ctrl-C.")
@click.option("--rewrite", type=_Rewrite(), multiple=True, help="Replace a URL prefix, to use another host.")
@click.option("--allow-private", is_flag=True, help="Let the plugin reach loopback and private addresses.")
@click.option("--format", "style", type=click.Choice(["text", "ndjson"]), default="text", help="How to print items.")
def run(  # noqa: PLR0917 - click passes parameters by name
    file: Path,
    key: StreamKey,
    config: tuple[tuple[str, str], ...],
    count: int | None,
    rewrite: tuple[tuple[str, str], ...],
    allow_private: bool,
    style: str,
) -> int:
    """Stream KEY from the plugin FILE.

    KEY has the form type:source:identifier?name=value, for example 'ohlcv:woox:PERP_BTC_USDT?timeframe=1m'. The plugin
    reaches the addresses that it declares and no others. Events (gaps, reconnects, ...) are told on stderr.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    write = _FORMATS[style]

    async def stream_items() -> None:
        async with (
            open_plugin(
                file, config=dict(config) or None, rewrite=dict(rewrite) or None, allow_private=allow_private
            ) as plugin,
            plugin.stream(key) as stream,
        ):
            telling = asyncio.create_task(_tell(stream))
            try:
                await _write_items(stream, write, count)
            finally:
                telling.cancel()

    try:
        asyncio.run(stream_items())
    except BrokenPipeError:
        # Whoever read the items has seen enough; keep the interpreter from flushing into the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


async def _write_items(stream: Stream, write: Callable[[StreamData], bytes], count: int | None) -> None:
    output = sys.stdout.buffer
    left = count
    async for item in stream:
        output.write(write(item))
        # A reader sees an item at once; a flood is written in larger pieces.
        if not stream.stats.buffered:
            output.flush()
        if left is not None:
            left -= 1
            if not left:
                break
    output.flush()


async def _tell(stream: Stream) -> None:
    async for event in stream.events():
        if event.kind is not EventKind.STATE:  # the end is told by the error or the exit
            click.echo(f"{event.kind}: {event.message}", err=True)


def _text(item: StreamData) -> bytes:
    return b"%s %s %s\n" % (rfc3339(item.timestamp).encode(), str(item.key).encode(), _in_one_line(item.data))


def _ndjson(item: StreamData) -> bytes:
    fields = {
        "key": str(item.key),
        "timestamp": item.timestamp,
        "dataType": item.data_type,
        "sequence": item.sequence,
        "data": msgspec.Raw(_in_one_line(item.data)),
    }
    return msgspec.json.encode(fields) + b"\n"


def _in_one_line(data: bytes) -> bytes:
    """A payload as the plugin wrote it, unless it wrote several lines; numbers keep their digits in any case."""
    return msgspec.json.format(data, indent=-1) if b"\n" in data or b"\r" in data else data


_FORMATS: dict[str, Callable[[StreamData], bytes]] = {"text": _text, "ndjson": _ndjson}
