"""Reports as a command prints them: for people, as one JSON document, or as one JSON value a line."""

from __future__ import annotations

import asyncio
import json
import os
import select
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
import msgspec

__all__ = ["Output", "as_json", "print_reports", "wrapped"]

T = TypeVar("T")

_LABEL = 9  # columns
_WIDEST = 120  # columns


def print_reports(
    style: str,
    name: str,
    reports: Sequence[T],
    to_dict: Callable[[T], dict[str, Any]],
    describe: Callable[[T], Iterable[str]],
) -> None:
    """Print reports in the style asked for.

    Args:
        style: ``text``, ``json`` or ``ndjson``.
        name: What the list of them is called in the JSON document.
        reports: What to print.
        to_dict: One as plain values.
        describe: One as lines for people.
    """
    if style == "text":
        click.echo("\n\n".join("\n".join(describe(report)) for report in reports))
    elif style == "json":
        document = {"schemaVersion": 1, name: [to_dict(report) for report in reports]}
        click.echo(as_json(document, indented=True))
    else:
        for report in reports:
            click.echo(as_json({"schemaVersion": 1, **to_dict(report)}))


def as_json(value: object, *, indented: bool = False) -> str:
    """JSON whose texts, which may come from a module, cannot command a terminal: what does not print is escaped."""
    data = msgspec.json.encode(value)
    text = (msgspec.json.format(data) if indented else data).decode()
    if text.isascii():
        return text  # of these JSON itself has escaped what does not print
    return "".join(letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1] for letter in text)


def wrapped(label: str, items: Iterable[str]) -> str:
    """A label and a list behind it; on a terminal broken into aligned lines, elsewhere one line."""
    text = f"  {label:<{_LABEL}}{', '.join(items)}"
    if not sys.stdout.isatty():
        return text
    width = min(shutil.get_terminal_size().columns, _WIDEST)
    return textwrap.fill(
        text, width, subsequent_indent=" " * (_LABEL + 2), break_long_words=False, break_on_hyphens=False
    )


class Output:
    """stdout for a program with an event loop, which must go on while whoever reads pauses."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._fd = sys.stdout.fileno()

    async def write(self, data: bytes | bytearray, *, patient: bool = True) -> None:
        """Write all of it.

        Args:
            data: What to write.
            patient: Whether to wait for a reader that pauses; what does not fit is left out otherwise.
        """
        rest = memoryview(bytes(data))
        while rest:
            if not self._takes():
                if not patient:
                    return
                await self._room()
            # As much as fits into a pipe that has room at all: writing it cannot block.
            rest = rest[os.write(self._fd, rest[: select.PIPE_BUF]) :]

    def _takes(self) -> bool:
        return bool(select.select([], [self._fd], [], 0)[1])

    async def _room(self) -> None:
        loop, room = asyncio.get_running_loop(), asyncio.Event()
        loop.add_writer(self._fd, room.set)  # not for a file, but a file always has room
        try:
            await room.wait()
        finally:
            loop.remove_writer(self._fd)
