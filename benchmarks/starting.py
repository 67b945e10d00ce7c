"""What it takes before a plugin is touched: imports, the command, and the detector."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import wasmtime

from benchmarks.cases import Case, Outcome
from benchmarks.inspect import medians
from detectors.report import inspect

__all__ = ["inspecting", "starting"]

ROOT = Path(__file__).resolve().parent.parent
#: What neither ``import compat`` nor ``plugin-compat --version`` should load.
HEAVY = ("httpx", "rich", "wasmtime", "extism", "extism_sys")
_VERSION = "import sys; sys.argv = ['plugin-compat', '--version']; from compat.__main__ import main; main()"
_LOADED = f"import json, sys; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"


def starting(case: Case) -> Outcome:
    """An interpreter that does nothing, one that imports ``compat``, and the command asked for its version."""
    nothing, imported, version = medians(
        case.count, [lambda: _python("pass"), lambda: _python("import compat"), lambda: _python(_VERSION)]
    )
    loaded = json.loads(_python(f"import compat; {_LOADED}"))
    told = json.loads(
        _python(f"import atexit; atexit.register(lambda: exec({_LOADED!r})); {_VERSION}").splitlines()[-1]
    )
    values = {"pass": nothing * 1e3, "import": imported * 1e3, "version": version * 1e3}
    found = {f"import loads {name}": 1.0 for name in loaded} | {f"version loads {name}": 1.0 for name in told}
    return Outcome({**values, **found})


def _python(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def inspecting(case: Case) -> Outcome:
    """``inspect`` of a Go plugin beside wasmtime's validation of it."""
    data, engine = case.path.read_bytes(), wasmtime.Engine()
    validate, inspected = medians(case.count, [lambda: wasmtime.Module.validate(engine, data), lambda: inspect(data)])
    return Outcome({"validate": validate * 1e3, "inspect": inspected * 1e3})
