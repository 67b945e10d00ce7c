"""Modules for ``plugin-compat inspect``: what they are made of, and those that are broken."""

from __future__ import annotations

from pathlib import Path

import wasmtime

from tests.support.plugins import FIXTURES

__all__ = ["GOOD", "export", "module"]

GOOD = FIXTURES[0].path


def module(tmp_path: Path, *lines: str, name: str = "plugin.wasm") -> Path:
    path = tmp_path / name
    path.write_bytes(wasmtime.wat2wasm(f"(module {' '.join(lines)})"))
    return path


def export(name: str) -> str:
    return f'(func (export "{name}") (result i32) i32.const 0)'
