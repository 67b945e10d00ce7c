from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest
import wasmtime

from detectors.module import read_module

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detectors.module import ModuleInterface


class Build(Protocol):
    def __call__(self, exports: Iterable[str] = (), imports: Iterable[tuple[str, str]] = (), extra: str = "") -> bytes:
        """Return a module with plain exports `() -> i32`, imports `(i64) -> i64` and extra text."""


class Read(Protocol):
    def __call__(
        self, exports: Iterable[str] = (), imports: Iterable[tuple[str, str]] = (), extra: str = ""
    ) -> ModuleInterface:
        """Return the interface of such a module."""


def _build(exports: Iterable[str] = (), imports: Iterable[tuple[str, str]] = (), extra: str = "") -> bytes:
    lines = [f'(import "{module}" "{name}" (func (param i64) (result i64)))' for module, name in imports]
    lines += [f'(func (export "{name}") (result i32) i32.const 0)' for name in exports]
    return bytes(wasmtime.wat2wasm(f"(module {' '.join(lines)} {extra})"))


@pytest.fixture(scope="session")
def build() -> Build:
    return _build


@pytest.fixture(scope="session")
def read() -> Read:
    return lambda exports=(), imports=(), extra="": read_module(_build(exports, imports, extra))
