"""The plugins that are tested against, as a table, and what is known of each."""

from __future__ import annotations

import functools
from pathlib import Path

import attrs
import pytest
import wasmtime

from compat import PluginKind, StreamKey

__all__ = [
    "BOTH_KINDS",
    "COMMAND",
    "FIXTURES",
    "GENERIC",
    "LEGACY",
    "MISBUILT",
    "PLUGINS",
    "SLEEPING",
    "PluginFixture",
    "candle_key",
    "wat",
    "wat_text",
]

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
        longest: Characters by which its candles may be padded.
        says: What it says by itself that is worth a warning.
    """

    id: str
    path: Path
    kind: PluginKind
    title: str
    credential: str = "api_key"
    sends_credential: bool = False
    tells_time: bool = False
    stream_types: tuple[str, ...] = ("ohlcv",)
    longest: int = 60_000
    says: tuple[str, ...] = ()


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
    # What plugins in the field do and those above do not: they call host functions while they are initialised, have a
    # start section, park with a message unread, free memory, have fixed buffers.
    PluginFixture(
        "legacy-assemblyscript-start",
        _ROOT / "fixtures" / "assemblyscript" / "legacy-callback-start" / "plugin.wasm",
        PluginKind.LEGACY,
        "SimEx (AssemblyScript)",
        sends_credential=True,
        stream_types=(),
    ),
    PluginFixture(
        "legacy-rust",
        _ROOT / "fixtures" / "rust" / "legacy" / "plugin.wasm",
        PluginKind.LEGACY,
        "SimEx (Rust)",
        sends_credential=True,
        stream_types=(),
    ),
    PluginFixture(
        "generic-init",
        _FIXTURES / "generic-init" / "plugin.wasm",
        PluginKind.GENERIC,
        "simex-generic-init",
        tells_time=True,
        says=("initialising, on standard error",),
    ),
    PluginFixture(
        "generic-parking",
        _FIXTURES / "generic-parking" / "plugin.wasm",
        PluginKind.GENERIC,
        "simex-generic-parking",
        tells_time=True,
    ),
    PluginFixture(
        "generic-rust",
        _ROOT / "fixtures" / "rust" / "generic" / "plugin.wasm",
        PluginKind.GENERIC,
        "simex-rust",
        sends_credential=True,
    ),
    PluginFixture(
        "generic-zig-fixed-buffer",
        _ROOT / "fixtures" / "zig" / "generic-fixed-buffer" / "plugin.wasm",
        PluginKind.GENERIC,
        "simex-zig-fixed-buffer",
        longest=3_000,
    ),
)

PLUGINS = {fixture.id: fixture for fixture in FIXTURES}
LEGACY, COMMAND = PLUGINS["legacy-callback"], PLUGINS["legacy-command"]
GENERIC, SLEEPING = PLUGINS["generic-blocking"], PLUGINS["generic-sleeping"]
BOTH_KINDS = pytest.mark.parametrize("fixture", [LEGACY, GENERIC], ids=["legacy", "generic"])


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
