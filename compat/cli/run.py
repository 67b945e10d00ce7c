"""``plugin-compat run``: stream from a plugin to stdout."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import attrs
import click
import msgspec

from adapters.contract import Stream, StreamData, StreamKey
from adapters.times import rfc3339
from compat.cli.command import Command
from compat.cli.loop import on_event_loop
from compat.cli.output import Output
from compat.cli.parameters import KEY, POSITIVE, Open, Whole, format_option, opens_plugin
from compat.cli.progress import waiting
from compat.cli.telling import Telling
from detectors.errors import CompatError

__all__ = ["run"]

_PIECE = 64 * 2**10  # bytes that are written at once


@click.command(cls=Command, short_help="Stream from a plugin to stdout.")
@opens_plugin
@click.argument("key", type=KEY)
@click.option("--count", type=Whole(min=1), metavar="N", help="Stop after so many items; without it, run until Ctrl-C.")
@click.option("--idle-limit", type=POSITIVE, metavar="SECONDS", help="Start anew when no item comes for so long.")
@format_option
def run(open_: Open, key: StreamKey, count: int | None, idle_limit: float | None, style: str) -> int:
    """Stream KEY from the plugin FILE.

    KEY has the form type:source:identifier?name=value&name=value. The type is usually ohlcv, which are candles, with
    the parameter timeframe; a plugin may have others, and 'info FILE' shows them if it says so. The source is a name of
    your choice. Quote it for the shell. The plugin reaches the addresses that it declares and no others.

    Events (gaps, reconnects, ...) are told on stderr, with their time in UTC; so is, at the end, the number of items
    and gaps. Items are counted from 0, as in their "sequence". With --format ndjson, events are JSON objects, one a
    line: {"event", "sequence", "timestamp", "message"}, with "state" for a state and "lost" for a gap whose size is
    known. "sequence" is that of the item before which it happened. One that stands for several of its kind has their
    "count", and "until" if not all happened before the same item. The last has the event "end", "items" and "gaps". An
    error is told in words.

    \b
    Examples:
      plugin-compat run woox.wasm 'ohlcv:woox:PERP_BTC_USDT?timeframe=1m' --count 10
      plugin-compat run woox.wasm 'ohlcv:woox:PERP_BTC_USDT?timeframe=1m' --config-file woox.toml --format ndjson
      plugin-compat run woox.wasm 'ohlcv:woox:PERP_BTC_USDT?timeframe=1m' \\
          --rewrite wss://wss.woox.io=ws://127.0.0.1:8080 --allow-private
    """
    on_event_loop(_stream(open_, key, count, idle_limit, style))
    return 0


async def _stream(open_: Open, key: StreamKey, count: int | None, idle_limit: float | None, style: str) -> None:
    telling = Telling(style)
    with waiting(f"waiting for the first item of {key}") as begun:
        async with open_() as plugin:
            stream = plugin.stream(key, idle_limit=idle_limit)
            state = stream.state
            try:
                async with stream:
                    stream.follow(telling.event)
                    try:
                        await _write_items(stream, _FORMATS[style], count, telling, begun)
                    finally:
                        state = stream.state  # before it is closed
            except asyncio.CancelledError:
                telling.end(interrupted=state)
                raise
            except CompatError:
                if telling.items:  # or the error says it all
                    telling.end()
                raise
            telling.end()


async def _write_items(
    stream: Stream, layout: _Layout, count: int | None, telling: Telling, begun: Callable[[], None]
) -> None:
    output, pending = Output(), bytearray(layout.begin)
    try:
        async for item in stream:
            begun()
            pending += (layout.between if telling.items else b"") + layout.item(item)
            telling.items += 1
            if telling.items == count:
                break
            # A reader sees an item at once; a flood is written in larger pieces.
            if len(pending) >= _PIECE or not stream.stats.buffered:
                await output.write(pending)
                pending.clear()
    finally:
        pending += layout.end
        await output.write(pending, patient=False)


def _text(item: StreamData) -> bytes:
    return b"%s %s %s\n" % (rfc3339(item.timestamp).encode(), str(item.key).encode(), _in_one_line(item.data))


def _json(item: StreamData) -> bytes:
    fields = {
        "key": str(item.key),
        "timestamp": item.timestamp,
        "dataType": item.data_type,
        "sequence": item.sequence,
        "data": msgspec.Raw(_in_one_line(item.data)),
    }
    return msgspec.json.encode(fields)


def _ndjson(item: StreamData) -> bytes:
    return _json(item) + b"\n"


def _in_one_line(data: bytes) -> bytes:
    """A payload as the plugin wrote it, unless it wrote several lines; numbers keep their digits in any case."""
    if b"\n" not in data and b"\r" not in data:
        return data
    try:
        return msgspec.json.format(data, indent=-1)
    except msgspec.DecodeError:  # half a surrogate pair, which msgspec does not read; in JSON no text holds line ends
        return data.replace(b"\r", b" ").replace(b"\n", b" ")


@attrs.frozen
class _Layout:
    """How items are written, and what stands around them."""

    item: Callable[[StreamData], bytes]
    begin: bytes = b""
    between: bytes = b""
    end: bytes = b""


_FORMATS = {
    "text": _Layout(_text),
    "ndjson": _Layout(_ndjson),
    # One document, whole however the run ends.
    "json": _Layout(lambda item: b"\n" + _json(item), b'{"schemaVersion":1,"items":[', b",", b"\n]}\n"),
}
