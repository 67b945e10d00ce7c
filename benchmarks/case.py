"""Run one case of the benchmarks in this process and print its outcome: ``python -m benchmarks.case CASE``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable

import msgspec

from benchmarks.cases import Case, Outcome

__all__ = ["CASES", "run_here"]

#: Where each ``Case.what`` is measured: a module, loaded only then, so that no case pays for another's imports.
CASES = {
    "product": "benchmarks.product:product",
    "bare": "benchmarks.bare:bare",
    "plain-sdk": "benchmarks.plain_sdk:plain_sdk",
    "go": "benchmarks.go_host:go_host",
    "sockets": "benchmarks.sockets:sockets",
    "plain-consumer": "benchmarks.sockets:plain_consumer",
    "opening": "benchmarks.opening:opening",
    "bare-opening": "benchmarks.opening:bare_opening",
    "many": "benchmarks.opening:many",
    "guest-memory": "benchmarks.opening:guest_memory",
    "bare-memory": "benchmarks.opening:bare_memory",
    "starting": "benchmarks.starting:starting",
    "inspecting": "benchmarks.starting:inspecting",
    "where": "benchmarks.where:where",
}


def run_here(case: Case) -> Outcome:
    """Run a case in this process."""
    module, _, function = CASES[case.what].partition(":")
    measure: Callable[[Case], Outcome] = getattr(importlib.import_module(module), function)
    return measure(case)


if __name__ == "__main__":
    print(msgspec.json.encode(run_here(msgspec.json.decode(sys.argv[1], type=Case))).decode())
