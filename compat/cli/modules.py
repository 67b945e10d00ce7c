"""Which modules a command line names: files, folders, patterns and standard input."""

from __future__ import annotations

import glob
import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from compat.cli.command import BadValue
from compat.cli.parameters import FILE

__all__ = ["MODULES", "STDIN", "files"]

#: Stands for standard input: this object, and not any path that is written like it.
STDIN = Path("-")


class _Modules(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5
    """One argument, as the files that it names."""

    name = "PATH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Path, ...]:
        if isinstance(value, tuple):
            return value
        text = os.fsdecode(value) if isinstance(value, bytes) else str(value)
        path = Path(text)
        if text == "-":
            return (STDIN,)
        try:
            if text and path.is_dir():
                return self._within(path, param, ctx)
            if not path.exists() and glob.has_magic(text):
                return self._matching(text, param, ctx)
        except PermissionError as error:
            hint = "Copy it somewhere where you may read it"
            raise BadValue(f"the folder '{error.filename}' may not be entered.", hint, param, ctx) from None
        file = FILE.convert(value, param, ctx)
        return (file.absolute() if str(file) == "-" else file,)

    @staticmethod
    def _within(folder: Path, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Path, ...]:
        def fail(error: OSError) -> None:
            raise error

        # A folder that may not be read must not look like an empty one.
        entries = [Path(above, name) for above, _, names in os.walk(folder, onerror=fail) for name in names]
        found = tuple(sorted(path for path in entries if path.suffix == ".wasm" and path.is_file()))
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


def files(arguments: tuple[tuple[Path, ...], ...]) -> list[Path]:
    """All files that the arguments name, each once, in their order."""
    return list({(path, path is STDIN): path for paths in arguments for path in paths}.values())
