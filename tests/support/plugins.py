"""The plugins that are tested against, as a table, and what is known of each."""

from __future__ import annotations

import functools
from pathlib import Path

import attrs
import wasmtime

from compat import PluginKind, StreamKey

__all__ = ["FIXTURES", "MISBUILT", "PluginFixture", "candle_key", "wat", "wat_text"]

_ROOT = Path(__file__).parents[2]
_FIXTURES = _ROOT / "fixtures" / "plugins"
_DEMO = _ROOT / "compat" / "demo" / "plugins"

MISBUILT = _FIXTURES / "generic-misbuilt" / "plugin.wasm"


@attrs.frozen
class PluginFixture:
    """A built plugin of ``fixtures/README.md``.

    Attributes:
        id: Its name there.
        path: Its file.
        kind: What it is.
        title: The name that it gives itself.
        credential: The configuration name that refuses the value ``invalid``.
        sends_credential: Whether it sends the credential to the exchange, as the header ``X-Api-Key``.
        tells_time: Whether it says of what it publishes when that was, by the guest's clock.
        stream_types: What it says it offers.
    """

    id: str
    path: Path
    kind: PluginKind
    title: str
    credential: str = "api_key"
    sends_credential: bool = False
    tells_time: bool = False
    stream_types: tuple[str, ...] = ("ohlcv",)


FIXTURES: tuple[PluginFixture, ...] = (
    PluginFixture(
        "legacy-callback",
        _DEMO / "legacy.wasm",
        PluginKind.LEGACY,
        "SimEx",
        sends_credential=True,
        stream_types=(),
    ),
    PluginFixture(
        "legacy-command",
        _FIXTURES / "legacy-command" / "plugin.wasm",
        PluginKind.LEGACY,
        "SimEx",
        credential="apiKey",
        sends_credential=True,
        stream_types=(),
    ),
    PluginFixture(
        "legacy-command-base64",
        _FIXTURES / "legacy-command-base64" / "plugin.wasm",
        PluginKind.LEGACY,
        "SimEx",
        credential="apiKey",
        sends_credential=True,
        stream_types=(),
    ),
    PluginFixture(
        "legacy-assemblyscript",
        _ROOT / "fixtures" / "assemblyscript" / "legacy-callback" / "plugin.wasm",
        PluginKind.LEGACY,
        "SimEx (AssemblyScript)",
        sends_credential=True,
        stream_types=(),
    ),
    PluginFixture(
        "generic-blocking", _DEMO / "generic.wasm", PluginKind.GENERIC, "simex-generic-blocking", tells_time=True
    ),
    PluginFixture(
        "generic-goroutine",
        _FIXTURES / "generic-goroutine" / "plugin.wasm",
        PluginKind.GENERIC,
        "simex-generic-goroutine",
        tells_time=True,
    ),
    PluginFixture(
        "generic-sleeping",
        _FIXTURES / "generic-sleeping" / "plugin.wasm",
        PluginKind.GENERIC,
        "SimEx (sleeping)",
        tells_time=True,
        stream_types=(),
    ),
    PluginFixture(
        "generic-zig", _ROOT / "fixtures" / "zig" / "generic-blocking" / "plugin.wasm", PluginKind.GENERIC, "simex-zig"
    ),
)


def candle_key(symbol: str = "BTC-USDT", timeframe: str = "1m", *, type_: str = "ohlcv") -> StreamKey:
    """The key of a stream of candles of SimEx."""
    return StreamKey(type_, "simex", symbol, {"timeframe": timeframe})


@functools.cache
def wat(name: str) -> bytes:
    """A hand-written guest of ``fixtures/wat``, compiled."""
    return bytes(wasmtime.wat2wasm(wat_text(name)))


def wat_text(name: str) -> str:
    """Its text."""
    return (_ROOT / "fixtures" / "wat" / f"{name}.wat").read_text()
