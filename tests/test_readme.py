"""The README's program runs as it stands, and its commands are those that there are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from compat.cli import cli

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_program_runs_as_it_stands() -> None:
    (program,) = re.findall(r"```python\n(import asyncio\n.*?)```", README, re.DOTALL)
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=50)
    assert (finished.returncode, finished.stderr) == (0, "")
    lines = finished.stdout.splitlines()
    assert len(lines) == 8
    assert [line.split()[0] for line in lines] == ["legacy", "0", "1", "2", "generic", "0", "1", "2"]
    assert all("Candle(" in line for line in lines if line[0].isdigit())


def test_every_command_is_listed_and_no_other() -> None:
    listed = re.findall(r"^    plugin-compat (\w+)", README, re.MULTILINE)
    assert sorted(listed) == sorted(cli.commands)


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) >= 5
    for target in targets:
        assert (Path(__file__).parents[1] / target).is_file(), target
