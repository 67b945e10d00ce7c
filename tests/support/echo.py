"""The hand-written guests that publish what they receive, and feeds for them."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Any

from compat import AdapterSettings, Opening, StreamData, open_plugin
from tests.support.plugins import wat
from tests.support.simex import QUICK
from tests.support.sockets import Connector

__all__ = ["PROFILES", "echoed", "messages", "open_echo", "open_module"]

_MOST = 200_000
_FILLER = "abcdefghijklmnopqrstuvwxyz" * (_MOST // 26 + 1)


def _mixed(draw: random.Random) -> int:
    return _MOST if draw.random() < 0.002 else draw.randint(50, 1_500)


#: Sizes of messages in bytes, drawn one after the other.
PROFILES: dict[str, Callable[[random.Random], int]] = {
    "constant": lambda _: 120,
    "mixed": _mixed,
    "log-uniform": lambda draw: int(math.exp(draw.uniform(math.log(30), math.log(63_000)))),
}


def messages(profile: str, count: int) -> Iterator[str]:
    """So many messages, no two alike, the same ones every time."""
    draw = random.Random(profile)
    for number in range(count):
        yield f"{number:06d} {_FILLER[number % 26 : number % 26 + PROFILES[profile](draw) - 7]}"


def echoed(item: StreamData) -> str:
    """The message that an item carries."""
    message = item.json()["echo"]["message"]
    assert isinstance(message, str)
    return message


def open_module(wasm: bytes, connector: Connector | None = None, *, name: str = "guest", **chosen: Any) -> Opening:
    """Open a module with sockets within the process."""
    settings = AdapterSettings(**{"connector": connector or Connector(), "backoff": QUICK, **chosen})
    return open_plugin(wasm, name=name, allow_private=True, settings=settings)


def open_echo(name: str, connector: Connector | None = None, **chosen: Any) -> Opening:
    """Open one of ``fixtures/wat``."""
    return open_module(wat(name), connector, **chosen)
