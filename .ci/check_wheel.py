"""Check that a wheel holds exactly what belongs into it. Usage: check_wheel.py WHEEL."""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

PACKAGES = {"adapters", "compat", "detectors"}
WAT = tuple(
    f"adapters/companion/wat/{name}.wat"
    for name in (
        "1-imports",
        "2-heap",
        "3-blocks",
        "4-handles",
        "5-exchange",
        "6-kernel",
        "7-calls",
        "8-json",
        "9-messages",
        "10-batches",
        "11-clock",
        "shim",
    )
)
MUST_HOLD = (
    *WAT,
    "compat/__init__.pyi",
    "compat/demo/exchange.py",
    "compat/demo/plugins/legacy.wasm",
    "compat/demo/plugins/generic.wasm",
    *(f"{package}/py.typed" for package in sorted(PACKAGES)),
)
MAY_HOLD = re.compile(
    r"\.py$|/py\.typed$|^compat/__init__\.pyi$|^compat/demo/plugins/(legacy|generic)\.wasm$|^[^/]+\.dist-info/"
)
LARGEST = 5 * 1_000_000  # bytes


def problems(wheel: Path) -> list[str]:
    """What is wrong with it."""
    names = [name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")]
    top = {name.partition("/")[0] for name in names if not re.match(r"[^/]+\.dist-info/", name)}
    found = [f"it is larger than {LARGEST:,} bytes"] if wheel.stat().st_size > LARGEST else []
    if top != PACKAGES:
        found.append(f"its top level is {sorted(top)}, not {sorted(PACKAGES)}")
    found += [f"{name} is missing" for name in MUST_HOLD if name not in names]
    found += [f"{name} does not belong into it" for name in names if not MAY_HOLD.search(name) and name not in WAT]
    return found


if __name__ == "__main__":
    path = Path(sys.argv[1])
    wrong = problems(path)
    for problem in wrong:
        print(f"{path.name}: {problem}", file=sys.stderr)
    print(f"{path.name}: {path.stat().st_size:,} bytes")
    sys.exit(bool(wrong))
