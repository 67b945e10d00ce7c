"""A plugin's configuration from a file, so that no secret needs to be typed or committed.

    api_key = { env = "WOOX_API_KEY" }          # the value of an environment variable
    api_secret = { file = "secrets/woox" }      # the contents of a file, relative to this one
    depth = 5

The same in JSON: ``{"api_key": {"env": "WOOX_API_KEY"}, "depth": 5}``. A table with ``env`` or ``file`` as its only key
is such a reference wherever it stands. No message ever shows a value.
"""

from __future__ import annotations

import json
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


_PARSERS: dict[str, Callable[[str], Any]] = {".toml": tomllib.loads, ".json": json.loads}


def _resolve(path: Path, name: str, value: Any) -> Any:
    """A value with every reference in it replaced by what it refers to."""
    if isinstance(value, dict):
        if len(value) == 1:
            ((how, target),) = value.items()
            if how in _REFERENCES and isinstance(target, str):
                return _REFERENCES[how](path, name, target)
        return {part: _resolve(path, f"{name}.{part}", inner) for part, inner in value.items()}
    if isinstance(value, list):
        return [_resolve(path, f"{name}[{index}]", inner) for index, inner in enumerate(value)]
    if not isinstance(value, str | int | float | None):
        raise ConfigFileError(str(path), f"{name} is a date or time", remedy="Put it in quotes")
    return _text(path, name, value) if isinstance(value, str) else value


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
        raise ConfigFileError(str(path), problem, remedy="The path is relative to the configuration file") from None


_REFERENCES: dict[str, Callable[[Path, str, str], str]] = {"env": _from_environment, "file": _from_file}
