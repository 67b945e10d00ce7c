"""The guests that the benchmarks run: every plugin of the tests, and the hand-written ones, as one table."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import msgspec

from benchmarks.feed import ACKNOWLEDGEMENT, Feed
from compat import StreamData
from compat.demo.market import GENESIS
from tests.support.plugins import FIXTURES, PluginFixture, wat

__all__ = ["GUESTS", "KEY", "Guest", "fixture"]

KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"

_DESERVING = ("generic-blocking", "generic-parking", "generic-rust")
_LONG = 10_000  # characters: a plugin that takes no longer candles has a buffer of a fixed size
_ECHOING = ("frees-late", "reuses-block", "reuses-every-1000", "reuses-late", "parks")
_COMING_BACK = ("reuses-every-1000", "reuses-late")

#: The number of an item's message in the feed; ``None`` if the item is not what the plugin should have made of it.
Number = Callable[[StreamData, Feed], int | None]


@attrs.frozen
class Guest:
    """A guest of the benchmarks.

    Attributes:
        name: Its name in ``fixtures/README.md``.
        wasm: Reads its module.
        number: Reads what it publishes.
        first: The number of the first message of a connection that it makes an item of; -1: the acknowledgement.
        largest: Bytes that it takes in a message; ``None``: as many as come.
        long: Whether it is worth the most messages.
        comes_back: Whether it uses blocks again that others have freed long since, and may be replaced for that.
    """

    name: str
    wasm: Callable[[], bytes]
    number: Number
    first: int = 0
    largest: int | None = None
    long: bool = False
    comes_back: bool = False


def _number_of_candle(item: StreamData, feed: Feed) -> int | None:
    return feed.number_of(item.candle())


def _number_of_echo(item: StreamData, feed: Feed) -> int | None:
    message = item.json()["echo"]["message"]
    if message == ACKNOWLEDGEMENT:
        return -1
    try:
        number = (msgspec.json.decode(message, type=_Opened).t - GENESIS) // 60
    except msgspec.DecodeError:
        return None
    return number if number >= 0 and message == feed.message(number) else None


class _Opened(msgspec.Struct):
    t: int


def fixture(name: str) -> PluginFixture:
    """A plugin of the tests, by its name."""
    return next(found for found in FIXTURES if found.id == name)


def _plugin(found: PluginFixture) -> Guest:
    return Guest(
        found.id,
        found.path.read_bytes,
        _number_of_candle,
        largest=found.longest if found.longest < _LONG else None,
        long=found.id in _DESERVING,
    )


def _written(name: str) -> Guest:
    return Guest(name, lambda: wat(name), _number_of_echo, first=-1, comes_back=name in _COMING_BACK)


#: By name, those that are given the most messages first.
GUESTS: dict[str, Guest] = {
    guest.name: guest
    for guest in sorted((*map(_plugin, FIXTURES), *map(_written, _ECHOING)), key=lambda guest: not guest.long)
}
