"""The companion's two constant modules, put together from the text that is packaged beside this file.

``compat`` is made of the numbered parts and one line for each host function; ``compat:shim`` is one file. They are
translated by wasmtime, which is at hand, so there is no binary to build, to keep or to trust.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib import resources

import wasmtime

from adapters.companion.exchange import HOST_OPERATIONS
from detectors.rules import HOST_FUNCTIONS, HostFunction

__all__ = ["companion", "companion_text", "shim"]


@functools.cache
def companion() -> bytes:
    """The module ``compat``, in the binary format."""
    return bytes(wasmtime.wat2wasm(companion_text()))


def companion_text() -> str:
    """The module ``compat``, in the text format."""
    files = (path for path in _files() if path.name[0].isdecimal())
    parts = [path.read_text(encoding="utf-8") for path in sorted(files, key=lambda path: int(path.name.split("-")[0]))]
    lines = [line for function in HOST_FUNCTIONS for line in _host_function(function)]
    return "\n".join(["(module", *parts, *lines, ")"])


@functools.cache
def shim() -> bytes:
    """The module ``compat:shim``, in the binary format."""
    (text,) = (path.read_text(encoding="utf-8") for path in _files() if path.name == "shim.wat")
    return bytes(wasmtime.wat2wasm(text))


def _files() -> list[resources.abc.Traversable]:
    return list((resources.files("adapters.companion") / "wat").iterdir())


#: The functions of ``10-batches.wat`` and ``11-clock.wat`` that take certain requests; all others simply cross.
_WAYS = {
    "ws_receive": "take",
    "ws_connect": "ask_anew",
    "ws_close": "ask_anew",
    "publish_stream_data": "publish",
    "log_record": "note",
    "time_now": "now",
}


def _host_function(function: HostFunction) -> Iterator[str]:
    """A host function under every signature that plugins import it with."""
    for number, type_ in enumerate(function.accepted):
        name = f"host.{function.name}.{number}" if number else f"host.{function.name}"
        argument = "(local.get 0)" if function.request else "(i64.const 0)"
        ask = f"(call ${_WAYS.get(function.name, 'ask')} (i32.const {HOST_OPERATIONS[function.name]}) {argument})"
        result, call = ("(result i64)", ask) if type_.results else ("", f"(drop {ask})")
        yield f'(func (export "{name}") (param i64) {result} {call})'
