"""How something is done with each toolchain: the words that make a remedy one that its reader can type.

A table from the name of a toolchain to the way it exports a function, builds a reactor and so on. A module that does
not tell its toolchain gets the first row, which speaks of none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from detectors.toolchain import Toolchain

__all__ = ["ADVICE", "Advice", "advice_for"]


@attrs.frozen
class Advice:
    """What to do with one toolchain; each a clause that follows "Rebuild" or stands alone, without its full stop.

    Attributes:
        export: How a function is exported under a name, ``{}`` in the text.
        reactor: How a reactor is built.
        declare: How an import is declared, with its namespace and name; empty where that is not known.
        strip: How debug information is left out.
    """

    export: str = "export a function {} without parameters that returns an i32"
    reactor: str = "build it as a WASI reactor, which exports _initialize and no _start"
    declare: str = ""
    strip: str = "run wasm-tools strip --all over the built module"


_GENERAL = Advice()

ADVICE: dict[str, Advice] = {
    "Go": Advice(
        export="write //go:wasmexport {} above a func() int32",
        reactor="build with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o plugin.wasm",
        declare="//go:wasmimport {} {}",
        strip='build with -ldflags="-s -w"',
    ),
    "TinyGo": Advice(
        export="write //go:wasmexport {} above a func() int32",
        reactor="build with tinygo build -target wasip1 -buildmode=c-shared -o plugin.wasm",
        declare="//go:wasmimport {} {}",
        strip="build with tinygo build -no-debug",
    ),
    "Rust": Advice(
        export="write #[plugin_fn] above pub fn {} (extism-pdk)",
        reactor='build a library, crate-type = ["cdylib"] in Cargo.toml, for wasm32-wasip1 and not a program',
        declare='#[host_fn("{}")] extern "ExtismHost" {{ fn {}(...) }}',
        strip="set strip = true under [profile.release] in Cargo.toml and build with --release",
    ),
    "Zig": Advice(
        export="write export fn {}() i32",
        reactor="build without an entry (-fno-entry -rdynamic, or exe.entry = .disabled and exe.rdynamic = true)",
        declare='extern "{}" fn {}(u64) u64',
        strip="build with -O ReleaseSmall -fstrip",
    ),
    "AssemblyScript": Advice(
        export="write export function {}(): i32 in the entry file",
        reactor="build with asc --exportStart _initialize",
        declare='@external("{}", "{}")',
        strip="build with asc --optimize and without --debug",
    ),
    "C/C++": Advice(
        export='write __attribute__((export_name("{}"))) before the function',
        reactor="link with -mexec-model=reactor",
        declare='__attribute__((import_module("{}"), import_name("{}")))',
        strip="link with -Wl,--strip-all",
    ),
    "JavaScript": Advice(
        export="export a function {} from the script and declare it in its .d.ts",
        reactor="build with extism-js",
        strip="run wasm-tools strip --all over the built module",
    ),
}


def advice_for(toolchain: Toolchain | None) -> Advice:
    """Return what to say to whoever builds with this toolchain."""
    return _GENERAL if toolchain is None else ADVICE.get(toolchain.name, _GENERAL)
