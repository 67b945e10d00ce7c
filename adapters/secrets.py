"""Keeping configuration values out of what people read. Nothing in a configuration is known not to be a secret."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec

__all__ = ["LONGEST_SECRET", "Redactor"]

#: Characters at the end of a text that are dropped where it was cut off: half a secret could not be told as one.
LONGEST_SECRET = 4 * 1024

_PEM_BEGIN = "-----BEGIN "
_PEM_BORDER = re.compile(r"-----(BEGIN|END) [A-Z0-9 ]+-----")  # no secret: it says only what follows
_SHORTEST = 4  # characters; shorter values would make nonsense of every text


class Redactor:
    """Replaces every value of a configuration in a text by ``***``.

    Args:
        config: Texts and numbers in it, however deep, are taken for secrets, also where they are written in one line,
            in Python, as JSON or in a URL; names are not. So is each line of a text of several, a key in PEM for
            example, except lines that say nothing: less than 4 characters, one character repeated, PEM's borders.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        texts = {form for text in _leaves(config) if len(text.strip()) >= _SHORTEST for form in _forms(text)}
        self._secrets = sorted((text for text in texts if len(text) >= _SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """``text`` without any of them."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _forms(text: str) -> Iterator[str]:
    """How a text is written as it stands, in one line, in Python, in JSON and in URLs; and so each line of several."""
    yield text
    yield text.strip()
    yield " ".join(text.split())
    yield repr(text)[1:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield quote(text, safe="")
    yield quote_plus(text)
    lines = _lines(text)
    if len(lines) > 1:  # what is told line by line shows one of them at a time
        for line in lines:
            if len(line) >= _SHORTEST and len(set(line)) > 1 and not _PEM_BORDER.fullmatch(line):
                yield from _forms(line)


def _lines(text: str) -> list[str]:
    r"""The lines of a text. In PEM, ``\n`` in two characters ends a line, too, as in variables of the environment."""
    if _PEM_BEGIN in text:
        text = text.replace("\\r", "").replace("\\n", "\n")
    return [line.strip() for line in text.splitlines()]


def _leaves(value: object) -> Iterator[str]:
    """Every text and number in it, as Python writes it and as the plugin is given it."""
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(part)
    elif isinstance(value, str):
        yield value
    elif value is not None and not isinstance(value, bool):
        yield str(value)
        with contextlib.suppress(TypeError):  # it cannot be given to a plugin
            yield msgspec.json.encode(value).decode().strip('"')
