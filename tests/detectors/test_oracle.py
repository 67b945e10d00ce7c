"""Random modules, two thousand of them nightly: imports, exports and signatures are what wasm-tools says they are."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from detectors.module import read_module
from tests.detectors.examples import few_and_many
from tests.support.wasm_tools import interface, modules

SHAPES: dict[str, dict[str, object]] = {
    "default": {},
    "large interface": {
        "min-types": 10,
        "min-imports": 5,
        "max-imports": 50,
        "min-funcs": 5,
        "min-exports": 10,
    },
    "all proposals": {
        "gc-enabled": True,
        "exceptions-enabled": True,
        "memory64-enabled": True,
        "threads-enabled": True,
        "tail-call-enabled": True,
        "wide-arithmetic-enabled": True,
        "max-memories": 5,
        "max-tables": 5,
        "min-types": 5,
        "min-exports": 5,
    },
    "WebAssembly 1.0": {
        "simd-enabled": False,
        "reference-types-enabled": False,
        "bulk-memory-enabled": False,
        "multi-value-enabled": False,
        "gc-enabled": False,
        "min-imports": 3,
        "min-exports": 3,
    },
}


@pytest.mark.ours
@few_and_many(50, 500)
@pytest.mark.parametrize("shape", SHAPES)
def test_the_interface_is_the_one_that_wasm_tools_reads(shape: str, examples: int, tmp_path: Path) -> None:
    named = 0
    for seed, data in itertools.islice(modules(SHAPES[shape]), examples):
        found = read_module(data)
        assert (found.imports, found.exports) == interface(data, tmp_path), f"seed {seed}"
        named += len(found.imports) + len(found.exports)
    assert named > examples  # of which there is something to compare
