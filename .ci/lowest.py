"""Print a constraints file with the lowest version of each dependency that the metadata allows.

Tools of the developers, and what dependencies depend on, stay as pinned in constraints.txt.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def lowest() -> dict[str, str]:
    """The lowest version of each direct dependency."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: dict[str, str] = {}
    extras = metadata["project"]["optional-dependencies"]
    for text in (*metadata["project"]["dependencies"], *extras["socks"]):
        requirement = Requirement(text)
        bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
        if len(bounds) != 1:
            sys.exit(f"pyproject.toml: {text!r} has no single lower bound; give it one, like {requirement.name}>=1.0")
        found[canonicalize_name(requirement.name)] = bounds[0]
    return found


if __name__ == "__main__":
    wanted = lowest()
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if canonicalize_name(line.partition("==")[0]) not in wanted:
            print(line)
    for name, version in wanted.items():
        print(f"{name}=={version}")
