"""A plugin's configuration from a file, so that no secret needs to be typed or committed.

    api_key = { env = "WOOX_API_KEY" }          # the value of an environment variable
    api_secret = { file = "secrets/woox" }      # the contents of a file, relative to this one
    depth = 5

The same in JSON: ``{"api_key": {"env": "WOOX_API_KEY"}, "depth": 5}``. Other tables are values like any other, but one
that was most likely meant as a reference and is none is refused: the plugin would be given it in the place of the
secret. No message ever shows a value.
"""

from __future__ import annotations

import difflib
import json
import math
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compat.errors import ConfigFileError
from detectors.wording import shown

__all__ = ["read_config"]


def read_config(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a plugin's configuration, for ``config=`` of ``open_plugin`` and ``StreamManager.register``.

    Args:
        path: A TOML or JSON file, told apart by its suffix, ``.toml`` or ``.json``.

    Raises:
        ConfigFileError: It is neither, or not well-formed, or refers to something that is not there.
        OSError: It cannot be read.
    """
    path = Path(path)
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise ConfigFileError(str(path), "its name ends in neither .toml nor .json", remedy="Rename it to what it is")
    data = path.read_bytes()
    try:
        config = parse(data.decode())
    except _TwiceError as error:
        problem = f"the name {shown(str(error))} stands twice in one table"
        raise ConfigFileError(str(path), problem, remedy="Keep one of them") from None
    except ValueError as error:  # also UnicodeDecodeError, whose text shows a byte
        problem = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
        raise ConfigFileError(str(path), f"it is no {path.suffix[1:].upper()}: {problem}") from None
    except RecursionError:
        raise ConfigFileError(str(path), "it is nested too deeply") from None
    if not isinstance(config, dict):
        raise ConfigFileError(str(path), "it holds no names and values", remedy='Write {"name": "value", ...}')
    try:
        return {name: _resolve(path, name, value) for name, value in config.items()}
    except RecursionError:
        raise ConfigFileError(str(path), "it is nested too deeply") from None


class _TwiceError(Exception):
    """A name stands twice in one table."""


def _parse_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_table)


def _table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, in which Python would let the last of two equal names win; TOML's parser refuses them itself."""
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise _TwiceError(name)
        table[name] = value
    return table


_PARSERS: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": _parse_json}


def _resolve(path: Path, name: str, value: Any) -> Any:
    """A value with every reference in it replaced by what it refers to."""
    if isinstance(value, dict):
        how = _reference(path, name, value)
        if how is not None:
            return _REFERENCES[how](path, name, value[how])
        return {part: _resolve(path, f"{name}.{part}", inner) for part, inner in value.items()}
    if isinstance(value, list):
        return [_resolve(path, f"{name}[{index}]", inner) for index, inner in enumerate(value)]
    if not isinstance(value, str | int | float | None):
        raise ConfigFileError(str(path), f"{shown(name)} is a date or time", remedy="Put it in quotes")
    if isinstance(value, float) and not math.isfinite(value):
        problem = f"{shown(name)} is not a finite number, and plugins are given JSON, which has no other"
        raise ConfigFileError(str(path), problem, remedy="Write a number, or put it in quotes")
    return _text(path, name, value) if isinstance(value, str) else value


def _reference(path: Path, name: str, table: dict[str, Any]) -> str | None:
    """As what a table is a reference, ``env`` or ``file``; ``None`` for one that is a value.

    A table that holds further tables is a value whatever its keys.

    Raises:
        ConfigFileError: It was most likely meant as a reference and is none.
    """
    if any(isinstance(inner, dict) for inner in table.values()):
        return None
    found = [how for how in _REFERENCES if how in table]
    if not found:
        _refuse_near_miss(path, name, table)
        return None
    how = found[0]
    if len(table) > 1:
        keys = " and ".join(shown(key) for key in (how, next(key for key in table if key != how)))
        problem = f"{shown(name)} has both {keys}, and a reference to the environment or a file has one key alone"
        remedy = f"Remove the other keys, or rename {how} if no reference is meant"
    elif not isinstance(table[how], str):
        problem = f"{shown(name)}.{how} names {_MEANT[how]}, and is not a text"
        remedy = f"Put what it names in quotes, or rename {how} if no reference is meant"
    else:
        return how
    raise ConfigFileError(str(path), problem, remedy=remedy)


def _refuse_near_miss(path: Path, name: str, table: dict[str, Any]) -> None:
    """Refuse ``{ fiel = "x" }``."""
    if len(table) != 1:
        return
    ((key, value),) = table.items()
    for how in _REFERENCES if isinstance(value, str) else ():
        if _is_near(key, how):
            problem = f"{shown(name)} has the key {shown(key)}, which is no reference to the environment or a file"
            raise ConfigFileError(str(path), problem, remedy=f"Did you mean {how}?")


def _is_near(key: str, how: str) -> bool:
    """Whether a key is a slip of the finger away; words of their own, like ``end`` and ``filter``, are not."""
    key = key.strip().lower()
    close = difflib.SequenceMatcher(None, key, how).ratio() >= 0.75
    return sorted(key) == sorted(how) or (close and abs(len(key) - len(how)) <= 1)


def _text(path: Path, name: str, value: str) -> str:
    """A text that can be given to a plugin, which is given UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ConfigFileError(str(path), f"{name} cannot be written in UTF-8") from None
    return value


def _from_environment(path: Path, name: str, variable: str) -> str:
    try:
        return _text(path, name, os.environ[variable])
    except (KeyError, ValueError):
        problem = f"{name} comes from the environment variable {variable}, which is not set"
        raise ConfigFileError(str(path), problem, remedy=f"Set {variable}") from None


def _from_file(path: Path, name: str, target: str) -> str:
    source = path.parent
    try:
        source = path.parent / Path(target).expanduser()
        content = source.read_bytes()
        # An editor may begin the file with a mark and ends its last line; neither is a part of the secret.
        return content.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: it is in the home of a user that there is not
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        if isinstance(error, RuntimeError) or "\0" in target:
            reason = "there can be no such path"
        problem = f"{name} comes from the file {shown(target)}, which cannot be read: {reason}"
        remedy = "The path is relative to the configuration file"
        if isinstance(error, PermissionError):
            remedy = f"Allow it to yourself: chmod u+r '{source}'"
        raise ConfigFileError(str(path), problem, remedy=remedy) from None


_REFERENCES: dict[str, Callable[[Path, str, str], str]] = {"env": _from_environment, "file": _from_file}
_MEANT = {"env": "an environment variable", "file": "a file"}
