"""Which modules a command line names: files, folders, patterns and standard input."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from compat.cli.command import BadValue
from compat.cli.parameters import FILE

__all__ = ["MODULES", "STDIN", "files"]

#: Stands for standard input.
STDIN = Path("-")


class _Modules(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """One argument, as the files that it names."""

    name = "PATH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Path, ...]:
        if isinstance(value, tuple):
            return value
        text = os.fsdecode(value) if isinstance(value, bytes) else str(value)
        path = Path(text)
        if text == str(STDIN):
            return (STDIN,)
        try:
            if text and path.is_dir():
                return self._within(path, param, ctx)
            if not path.exists() and glob.has_magic(text):
                return self._matching(text, param, ctx)
        except PermissionError as error:
            hint = "Copy it somewhere where you may read it"
            raise BadValue(f"the folder '{error.filename}' may not be entered.", hint, param, ctx) from None
        return (FILE.convert(value, param, ctx),)

    @staticmethod
    def _within(folder: Path, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Path, ...]:
        os.scandir(folder).close()  # a folder that may not be read looks like an empty one otherwise
        found = tuple(sorted(path for path in folder.rglob("*.wasm") if path.is_file()))
        if not found:
            raise BadValue(f"there is no .wasm file in the folder '{folder}'.", "Name the files", param, ctx)
        return found

    @staticmethod
    def _matching(pattern: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Path, ...]:
        found = tuple(Path(name) for name in sorted(glob.glob(pattern, recursive=True)) if Path(name).is_file())  # noqa: PTH207 - a pattern may be absolute
        if not found:
            raise BadValue(f"no file matches '{pattern}'.", "'**' stands for folders at any depth", param, ctx)
        return found

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


MODULES = _Modules()


def files(arguments: tuple[tuple[Path, ...], ...]) -> Iterator[Path]:
    """All files that the arguments name, each once, in their order."""
    return iter(dict.fromkeys(path for paths in arguments for path in paths))
